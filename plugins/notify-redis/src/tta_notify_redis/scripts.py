"""What happens in one step on the server: all keys share a slot."""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# What is looked at by nobody ends by itself; a little later than the list of ends says, which is how lists lose it.
_PLACE = """
local function place_in_time(entry, wakes, leases, ends, key, wake, retention)
  if wake == '' then
    redis.call('ZREM', wakes, key)
    redis.call('ZADD', ends, now + retention, key)
    redis.call('PEXPIRE', entry, retention + 3600000)
    return
  end
  redis.call('ZREM', ends, key)
  redis.call('PERSIST', entry)
  if redis.call('ZSCORE', leases, key) then
    redis.call('ZREM', wakes, key)
  else
    redis.call('ZADD', wakes, wake, key)
  end
end
"""

# KEYS: entry, all, its status, wakes, leases, ends, index of the owner, group, the entry that the group led to.
# ARGV: key, this call's name, format, packed, version, status, place, wake or '', owner, window in ms or 0, the key
# that the group led to or '', most, retention in ms, repeats, channel.
ADD = (
    _NOW
    + _PLACE
    + """
local ENTRY, ALL, STATUS, WAKES, LEASES, ENDS, OWNER, GROUP, FIRST = unpack(KEYS)
local found = redis.call('HGET', ENTRY, 'made_by')
-- The answer to it was lost, and it is sent again.
if found == ARGV[2] then return {'stored'} end
if redis.call('EXISTS', ENTRY) == 1 then return {'known'} end
if ARGV[10] ~= '0' then
  local first = redis.call('GET', GROUP) or ''
  if first ~= ARGV[11] then return {'group', first} end
  if first ~= '' and redis.call('EXISTS', FIRST) == 1 then
    redis.call('HINCRBY', FIRST, 'repeats', 1)
    return {'joined', first}
  end
end
if redis.call('ZCARD', ALL) >= tonumber(ARGV[12]) then return {'full', redis.call('ZCARD', ALL)} end
if ARGV[10] ~= '0' then redis.call('SET', GROUP, ARGV[1], 'PX', ARGV[10]) end
redis.call('HSET', ENTRY, 'format', ARGV[3], 'made_by', ARGV[2], 'packed', ARGV[4], 'version', ARGV[5],
  'status', ARGV[6], 'place', ARGV[7], 'owner', ARGV[9], 'repeats', ARGV[14])
redis.call('ZADD', ALL, 0, ARGV[7])
redis.call('ZADD', STATUS, 0, ARGV[7])
if ARGV[9] ~= '' then redis.call('SADD', OWNER, ARGV[1]) end
place_in_time(ENTRY, WAKES, LEASES, ENDS, ARGV[1], ARGV[8], ARGV[13])
redis.call('PUBLISH', ARGV[15], '')
return {'stored'}
"""
)

# Whose lease is over comes first, whatever its time: nobody has given it back. KEYS: wakes, leases, tokens, ends.
# ARGV: now by the caller's clock in seconds, most, time to live of a lease in ms, beginning of the tokens.
TAKE = (
    _NOW
    + """
local WAKES, LEASES, TOKENS, ENDS = unpack(KEYS)
local most = tonumber(ARGV[2])
local taken = redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, most)
for _, key in ipairs(redis.call('ZRANGEBYSCORE', WAKES, '-inf', ARGV[1], 'LIMIT', 0, most - #taken)) do
  taken[#taken + 1] = key
end
for _, key in ipairs(taken) do
  redis.call('ZREM', WAKES, key)
  redis.call('ZADD', LEASES, now + ARGV[3], key)
  redis.call('HSET', TOKENS, key, ARGV[4] .. ':' .. key)
end
return {taken, redis.call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, 50)}
"""
)

# KEYS: entry, wakes, leases, tokens, ends, then the lists of statuses. ARGV: key, expected version, this call's name,
# format, packed, status, place, wake or '', lease or '', whether to give it back, retention in ms, channel, owner,
# which of the lists is its status's.
PUT = (
    _NOW
    + _PLACE
    + """
local ENTRY, WAKES, LEASES, TOKENS, ENDS = unpack(KEYS)
local found = redis.call('HMGET', ENTRY, 'format', 'version', 'made_by', 'status')
if found[1] and found[1] ~= ARGV[4] then return {'format', found[1]} end
if found[3] == ARGV[3] then return {'ok'} end
if ARGV[9] ~= '' and redis.call('HGET', TOKENS, ARGV[1]) ~= ARGV[9] then return {'lease'} end
if found[2] ~= ARGV[2] then return {'changed', found[2] or 'none'} end
redis.call('HSET', ENTRY, 'version', ARGV[2] + 1, 'made_by', ARGV[3], 'packed', ARGV[5], 'status', ARGV[6],
  'owner', ARGV[13])
if found[4] ~= ARGV[6] then
  for n = 6, #KEYS do redis.call('ZREM', KEYS[n], ARGV[7]) end
  redis.call('ZADD', KEYS[5 + ARGV[14]], 0, ARGV[7])
end
if ARGV[9] ~= '' and ARGV[10] == '1' then
  redis.call('HDEL', TOKENS, ARGV[1])
  redis.call('ZREM', LEASES, ARGV[1])
end
place_in_time(ENTRY, WAKES, LEASES, ENDS, ARGV[1], ARGV[8], ARGV[11])
if ARGV[9] == '' then redis.call('PUBLISH', ARGV[12], '') end
return {'ok'}
"""
)

# KEYS: entry, wakes, leases, tokens, ends, index of the owner, all, then the lists of statuses. ARGV: key, place,
# expected version or '' for whatever has ended or is gone, lease or ''.
REMOVE = (
    _NOW
    + """
local ENTRY, WAKES, LEASES, TOKENS, ENDS, OWNER = unpack(KEYS)
local version = redis.call('HGET', ENTRY, 'version')
if ARGV[3] == '' then
  local ends = redis.call('ZSCORE', ENDS, ARGV[1])
  if version and not (ends and tonumber(ends) <= now) then return {'changed', version} end
else
  if ARGV[4] ~= '' and redis.call('HGET', TOKENS, ARGV[1]) ~= ARGV[4] then return {'lease'} end
  if version ~= ARGV[3] then return {'changed', version or 'none'} end
end
redis.call('DEL', ENTRY)
redis.call('ZREM', WAKES, ARGV[1])
redis.call('ZREM', LEASES, ARGV[1])
redis.call('HDEL', TOKENS, ARGV[1])
redis.call('ZREM', ENDS, ARGV[1])
redis.call('SREM', OWNER, ARGV[1])
for n = 7, #KEYS do redis.call('ZREM', KEYS[n], ARGV[2]) end
return {'ok'}
"""
)

# What can't be read is kept for a while, and not looked at again. KEYS: entry, wakes, leases, tokens. ARGV: key, what
# was read, for how long in ms.
QUARANTINE = """
if redis.call('HGET', KEYS[1], 'packed') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
"""
