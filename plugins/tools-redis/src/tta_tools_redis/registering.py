"""What happens to tools and builds in one step on the server."""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local clock = string.format('%d.%03d', time[1], math.floor(time[2] / 1000))
"""

# A tool is a HASH and its status a STRING; `changes` is a ZSET of names by the number of their last change, of which
# the newest thousand stay; `changed` holds that number, and up to which one names were dropped.
_NOTE = """
local function note(CHANGES, CHANGED, channel, name)
  local number = redis.call('HINCRBY', CHANGED, 'number', 1)
  redis.call('ZADD', CHANGES, number, name)
  local over = redis.call('ZCARD', CHANGES) - 1000
  if over > 0 then
    local gone = redis.call('ZPOPMIN', CHANGES, over)
    redis.call('HSET', CHANGED, 'floor', gone[#gone])
  end
  redis.call('PUBLISH', channel, number)
end
"""

_ROW = """
local function row(TOOL, STATUS)
  local found = redis.call('HMGET', TOOL, 'format', 'packed', 'idle', 'created', 'used', 'seen')
  if not found[1] then return {} end
  for place = 2, 6 do found[place] = found[place] or '' end
  found[7] = redis.call('GET', STATUS) or 'active'
  return found
end
"""

# KEYS: two of each tool.
READ = (
    _ROW
    + """
local rows = {}
for place = 1, #KEYS, 2 do table.insert(rows, row(KEYS[place], KEYS[place + 1])) end
return rows
"""
)

_REGISTER = """
-- arguments: id, name, format, packed, signature, who makes it, created ('': now), how many may be, channel
local function register(TOOL, STATUS, INDEX, CHANGES, CHANGED, arguments)
  local id, name, format, packed, signature, maker, created, most, channel = unpack(arguments)
  local found = redis.call('HMGET', TOOL, 'format', 'signature', 'maker', 'idle')
  if found[1] then
    if found[1] ~= format then return {'format', found[1]} end
    if found[4] == '1' and redis.call('GET', STATUS) == 'deprecated' and found[2] == signature then
      redis.call('SET', STATUS, 'active')
      redis.call('HSET', TOOL, 'idle', '0', 'seen', clock)
      note(CHANGES, CHANGED, channel, name)
    end
    -- The answer to this very call was lost, and it is sent again.
    return {found[3] == maker and 'new' or 'there', row(TOOL, STATUS)}
  end
  if redis.call('ZSCORE', INDEX, id) == false and redis.call('ZCARD', INDEX) >= tonumber(most) then return {'full'} end
  if created == '' then created = clock end
  redis.call('DEL', TOOL)
  redis.call('HSET', TOOL, 'format', format, 'packed', packed, 'signature', signature, 'maker', maker, 'idle', '0',
    'created', created, 'used', '0', 'seen', clock)
  redis.call('SET', STATUS, 'active')
  redis.call('ZADD', INDEX, 0, id)
  note(CHANGES, CHANGED, channel, name)
  return {'new', row(TOOL, STATUS)}
end
"""

# KEYS: tool, status, index, changes, changed. ARGV: as `register` has them.
REGISTER = _NOW + _NOTE + _ROW + _REGISTER + "\nreturn register(KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV)"

# KEYS: as of REGISTER. ARGV: name, channel.
DEPRECATE = (
    _NOTE
    + """
local TOOL, STATUS, _, CHANGES, CHANGED = unpack(KEYS)
if redis.call('EXISTS', TOOL) == 0 then return 0 end
redis.call('SET', STATUS, 'deprecated')
redis.call('HSET', TOOL, 'idle', '0')
note(CHANGES, CHANGED, ARGV[2], ARGV[1])
return 1
"""
)

# KEYS: tool. ARGV: when it was used, when it was seen; neither goes back.
TOUCH = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for place, field in ipairs({'used', 'seen'}) do
  local before = tonumber(redis.call('HGET', KEYS[1], field) or 0) or 0
  if tonumber(ARGV[place]) > before then redis.call('HSET', KEYS[1], field, ARGV[place]) end
end
return 1
"""

# KEYS: index, changes, changed, and two of each tool. ARGV: deprecate before, prune before, channel, the ids.
CLEAN = (
    _NOTE
    + """
local INDEX, CHANGES, CHANGED = unpack(KEYS)
local done = {}
for number = 1, #ARGV - 3 do
  local id, TOOL, STATUS = ARGV[number + 3], KEYS[2 * number + 2], KEYS[2 * number + 3]
  local name = string.match(id, '^[^:]*')
  local last = 0
  for _, time in ipairs(redis.call('HMGET', TOOL, 'created', 'used', 'seen')) do
    last = math.max(last, tonumber(time or 0) or 0)
  end
  done[number] = ''
  if redis.call('EXISTS', TOOL) == 0 then
    redis.call('ZREM', INDEX, id)
  elseif redis.call('GET', STATUS) == 'deprecated' then
    if last < tonumber(ARGV[2]) then
      redis.call('DEL', TOOL, STATUS)
      redis.call('ZREM', INDEX, id)
      note(CHANGES, CHANGED, ARGV[3], name)
      done[number] = 'pruned'
    end
  elseif last < tonumber(ARGV[1]) then
    redis.call('SET', STATUS, 'deprecated')
    redis.call('HSET', TOOL, 'idle', '1')
    note(CHANGES, CHANGED, ARGV[3], name)
    done[number] = 'deprecated'
  end
end
return done
"""
)

# Somebody may have registered it anew: only what was seen is set aside. KEYS: as of REGISTER, and where it goes.
# ARGV: id, name, channel, what was seen packed, for how long it is kept there in ms.
SET_ASIDE = (
    _NOTE
    + """
local TOOL, STATUS, INDEX, CHANGES, CHANGED, BROKEN = unpack(KEYS)
if (redis.call('HGET', TOOL, 'packed') or '') ~= ARGV[4] then return 0 end
redis.call('RENAME', TOOL, BROKEN)
redis.call('PEXPIRE', BROKEN, ARGV[5])
redis.call('DEL', STATUS)
redis.call('ZREM', INDEX, ARGV[1])
note(CHANGES, CHANGED, ARGV[3], ARGV[2])
return 1
"""
)

# KEYS: changes, changed. ARGV: after which change.
CHANGES = """
local found = redis.call('HMGET', KEYS[2], 'number', 'floor')
local number, floor, after = tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(ARGV[1])
if after > number or after < floor then return {number} end
return {number, redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. after, '+inf')}
"""

# KEYS: build, builds. ARGV: signature, token, by, ttl in ms, how many may be at once, a tool that is no longer there,
# for how long it is remembered what was built in ms.
CLAIM_BUILD = (
    _NOW
    + """
local BUILD, BUILDS = unpack(KEYS)
local found = redis.call('HMGET', BUILD, 'token', 'by', 'tool')
if found[3] and found[3] ~= '' then
  if found[3] ~= ARGV[6] then
    redis.call('PEXPIRE', BUILD, ARGV[7])
    return {'tool', found[3]}
  end
elseif found[1] and found[1] ~= ARGV[2] then
  return {'theirs', found[2], redis.call('PTTL', BUILD)}
end
redis.call('ZREMRANGEBYSCORE', BUILDS, '-inf', now)
if redis.call('ZCARD', BUILDS) >= tonumber(ARGV[5]) then return {'full'} end
redis.call('DEL', BUILD)
redis.call('HSET', BUILD, 'token', ARGV[2], 'by', ARGV[3], 'tool', '')
redis.call('PEXPIRE', BUILD, ARGV[4])
redis.call('ZADD', BUILDS, now + ARGV[4], ARGV[1])
if redis.call('PTTL', BUILDS) < tonumber(ARGV[4]) then redis.call('PEXPIRE', BUILDS, ARGV[4]) end
return {'ours'}
"""
)

# KEYS: build, builds. ARGV: signature, token, ttl in ms.
RENEW_BUILD = (
    _NOW
    + """
local found = redis.call('HMGET', KEYS[1], 'token', 'tool')
if found[1] ~= ARGV[2] or found[2] ~= '' then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
return 1
"""
)

# KEYS: build, builds. ARGV: signature, token.
GIVE_UP_BUILD = """
local found = redis.call('HMGET', KEYS[1], 'token', 'tool')
if found[1] == ARGV[2] and found[2] == '' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return 0
"""

# KEYS: build, builds, then as of REGISTER. ARGV: signature, token, for how long it is remembered in ms, then as
# `register` has them.
FINISH_BUILD = (
    _NOW
    + _NOTE
    + _ROW
    + _REGISTER
    + """
local BUILD, BUILDS = KEYS[1], KEYS[2]
local found = redis.call('HMGET', BUILD, 'token', 'tool')
if found[1] ~= ARGV[2] or (found[2] ~= '' and found[2] ~= ARGV[4]) then return {'lost'} end
local answer = register(KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], {unpack(ARGV, 4)})
if answer[1] == 'new' or answer[1] == 'there' then
  redis.call('HSET', BUILD, 'tool', ARGV[4])
  redis.call('PEXPIRE', BUILD, ARGV[3])
  redis.call('ZREM', BUILDS, ARGV[1])
end
return answer
"""
)
