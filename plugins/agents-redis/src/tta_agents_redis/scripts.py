"""What the server does on its own: all keys share one slot, and all times are by its clock, in milliseconds.

``KEYS``: the cards (HASH), who has each, as ``seen at:process`` (HASH), when each expires (ZSET), what
was no card (LIST). A key that holds another type than it should is moved out of the way, and noted.
"""

from __future__ import annotations

_COMMON = """
local cards, holders, expiry, foreign = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = tonumber(ARGV[1])

-- Note that a foreign value was quarantined: a line each for when, where and why, then the value itself.
local function note(where, reason, raw)
  local function line(text) return string.gsub(text, '\\n', ' ') .. '\\n' end
  redis.call('LPUSH', foreign, now .. '\\n' .. line(where) .. line(reason) .. raw)
  redis.call('LTRIM', foreign, 0, 99)
  redis.call('PEXPIRE', foreign, kept)
end

-- Move a key of another type out of the way: each command on it would fail, and so would every process, for ever.
local function sound(key, kind)
  local found = redis.call('TYPE', key)['ok']
  if found == kind or found == 'none' then return end
  local to = key .. ':quarantined'
  redis.call('RENAME', key, to)
  redis.call('PEXPIRE', to, kept)
  if key == foreign then return end
  note(key, 'holds a ' .. found .. ', moved to ' .. to, '')
end

sound(foreign, 'list')
sound(cards, 'hash')
sound(holders, 'hash')
sound(expiry, 'zset')

local function drop(id)
  redis.call('HDEL', cards, id)
  redis.call('HDEL', holders, id)
  redis.call('ZREM', expiry, id)
end

-- Each script takes out what has expired, so no process need be alive for that. 500 at once bound its time; what is
-- left is passed over by its score, and taken out next time.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 500)) do drop(id) end

-- Which process has an address: nil where nobody that is alive does, '' where that can't be read.
local function holder(id)
  local till = redis.call('ZSCORE', expiry, id)
  if not till or tonumber(till) <= now then return nil end
  local found = redis.call('HGET', holders, id) or ''
  return string.match(found, '^%d+:(.*)$') or ''
end
"""

# ARGV: quarantine's ttl, channel, ttl, state's ttl, then per agent: address, process, whether to take the address
# from another, card, whether there is a state. KEYS from 5 on: each agent's state; ARGV's tail: the states.
BEAT = (
    _COMMON
    + """
local channel, ttl, state_ttl = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local answer, agents = {now}, #KEYS - 4
-- Where in ARGV the next agent's state stands: only those that have one send it, all after the last agent.
local state, change = 5 + agents * 5, false
for n = 1, agents do
  local at = n * 5
  local id, process = ARGV[at], ARGV[at + 1]
  local other = holder(id)
  if ARGV[at + 2] == '1' or not other or other == process then
    redis.call('HSET', cards, id, ARGV[at + 3])
    redis.call('HSET', holders, id, now .. ':' .. process)
    redis.call('ZADD', expiry, now + ttl, id)
    if ARGV[at + 4] == '1' then redis.call('SET', KEYS[4 + n], ARGV[state], 'PX', state_ttl) end
    answer[#answer + 1] = 1
    change = change or other ~= process
  else
    answer[#answer + 1] = 0
  end
  if ARGV[at + 4] == '1' then state = state + 1 end
end
-- The keys themselves end, too, when the last process has vanished; another's ttl may be longer, so never sooner.
for n = 1, 3 do
  if redis.call('PTTL', KEYS[n]) < ttl * 2 then redis.call('PEXPIRE', KEYS[n], ttl * 2) end
end
-- A heartbeat alone is no news: others would all look, once for each process and interval.
if change then redis.call('PUBLISH', channel, '') end
return answer
"""
)

# KEYS[5]: the state. ARGV: quarantine's ttl, channel, address, process or nothing, state's ttl, state or nothing.
LEAVE = (
    _COMMON
    + """
local other = holder(ARGV[3])
if not other or (ARGV[4] ~= '' and ARGV[4] ~= other) then return 0 end
if ARGV[6] then redis.call('SET', KEYS[5], ARGV[6], 'PX', ARGV[5]) end
drop(ARGV[3])
redis.call('PUBLISH', ARGV[2], '')
return 1
"""
)

# ARGV: quarantine's ttl, what an address begins with, whether that is all of it.
LOOK = (
    _COMMON
    + """
local begin, answer = ARGV[2], {now}
local function add(id, till)
  local card, who = redis.call('HGET', cards, id), redis.call('HGET', holders, id)
  -- Without a card, what is left of an agent is nobody's.
  if card then
    for _, each in ipairs({id, till, who or '', card}) do answer[#answer + 1] = each end
  else
    drop(id)
  end
end
if ARGV[3] == '1' then
  local till = redis.call('ZSCORE', expiry, begin)
  if till and tonumber(till) > now then add(begin, till) end
else
  local found = redis.call('ZRANGE', expiry, 0, -1, 'WITHSCORES')
  for n = 1, #found, 2 do
    if string.sub(found[n], 1, #begin) == begin and tonumber(found[n + 1]) > now then
      add(found[n], found[n + 1])
    end
  end
end
return answer
"""
)

# ARGV: quarantine's ttl, address, what it holds, reason.
REMOVE = (
    _COMMON
    + """
-- Meanwhile its agent may have told its card anew.
if redis.call('HGET', cards, ARGV[2]) ~= ARGV[3] then return 0 end
note(ARGV[2], ARGV[4], string.sub(ARGV[3], 1, 10000))
drop(ARGV[2])
return 1
"""
)

# KEYS[5]: the state. ARGV: quarantine's ttl, reason.
REFUSE = (
    _COMMON
    + """
if redis.call('EXISTS', KEYS[5]) == 0 then return 0 end
local to = KEYS[5] .. ':quarantined'
redis.call('RENAME', KEYS[5], to)
redis.call('PEXPIRE', to, kept)
note(KEYS[5], ARGV[2] .. ', moved to ' .. to, '')
return 1
"""
)

# One key of its own slot. ARGV: what it is moved to, quarantine's ttl.
FETCH = """
local found = redis.call('TYPE', KEYS[1])['ok']
if found == 'none' then return false end
if found == 'string' then return redis.call('GET', KEYS[1]) end
return redis.error_reply('FOREIGN holds a ' .. found)
"""

# What is kept of a person is listed in one key (ZSET, until when), which ends with the last of it.
_LIST = """
local function list(index, name, ttl)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local found = redis.call('TYPE', index)['ok']
  if found ~= 'zset' and found ~= 'none' then
    redis.call('RENAME', index, index .. ':quarantined')
    redis.call('PEXPIRE', index .. ':quarantined', ttl)
  end
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  redis.call('ZADD', index, now + ttl, name)
  if redis.call('PTTL', index) < tonumber(ttl) then redis.call('PEXPIRE', index, ttl) end
end
"""

# KEYS: the reply, its person's list if there is one. ARGV: value, ttl.
KEEP = (
    _LIST
    + """
local found = redis.call('TYPE', KEYS[1])['ok']
if found == 'string' then return redis.call('GET', KEYS[1]) end
if found ~= 'none' then return redis.error_reply('FOREIGN holds a ' .. found) end
if KEYS[2] then list(KEYS[2], KEYS[1], ARGV[2]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
"""
)

# KEYS: what to move, where to, its person's list if there is one. ARGV: ttl.
MOVE = (
    _LIST
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if KEYS[3] then list(KEYS[3], KEYS[2], ARGV[1]) end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
"""
)
