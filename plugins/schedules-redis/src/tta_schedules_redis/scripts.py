"""What happens in one step on the server: all keys share a slot."""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# The lease is a hash: token, and until when it holds, in ms by Redis's clock.
# KEYS: lease. ARGV: the token that is held or '', a new token, ttl in ms.
HOLD = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'token', 'until')
local token = ARGV[2]
if held[1] and tonumber(held[2]) > now then
  -- Ours, or that of this very call, whose answer was lost.
  if held[1] ~= ARGV[1] and held[1] ~= ARGV[2] then return '' end
  token = held[1]
end
redis.call('HSET', KEYS[1], 'token', token, 'until', now + ARGV[3])
return token
"""
)

# KEYS: lease. ARGV: token, channel.
LEAVE = """
if redis.call('HGET', KEYS[1], 'token') == ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', ARGV[2], '')
end
return 1
"""

# KEYS: schedule, names, wakes, history, index of the owner, lease. ARGV: name, expected version, this call's name,
# format, the schedule packed, wake or '', owner, most schedules, time to live of the schedule in ms or 0, how many
# records are kept, for how long in ms, token of the lease or '', channel, then the records.
PUT = (
    _NOW
    + """
local ENTRY, NAMES, WAKES, HISTORY, OWNER, LEASE = unpack(KEYS)
local found = redis.call('HMGET', ENTRY, 'format', 'version', 'made_by', 'owner')
if found[1] and found[1] ~= ARGV[4] then return {'format', found[1]} end
-- The answer to it was lost, and it is sent again.
if found[3] == ARGV[3] then return {'ok'} end
if ARGV[12] ~= '' then
  local held = redis.call('HMGET', LEASE, 'token', 'until')
  if held[1] ~= ARGV[12] or tonumber(held[2]) <= now then return {'lease'} end
end
if (found[2] or '0') ~= ARGV[2] then return {'changed', found[2] or '0'} end
if not found[1] and redis.call('ZCARD', NAMES) >= tonumber(ARGV[8]) and not redis.call('ZSCORE', NAMES, ARGV[1]) then
  return {'full', redis.call('ZCARD', NAMES)}
end
redis.call('HSET', ENTRY, 'format', ARGV[4], 'version', ARGV[2] + 1, 'made_by', ARGV[3], 'packed', ARGV[5],
  'owner', ARGV[7])
if ARGV[9] == '0' then redis.call('PERSIST', ENTRY) else redis.call('PEXPIRE', ENTRY, ARGV[9]) end
redis.call('ZADD', NAMES, 0, ARGV[1])
if ARGV[6] == '' then redis.call('ZREM', WAKES, ARGV[1]) else redis.call('ZADD', WAKES, ARGV[6], ARGV[1]) end
if ARGV[7] ~= '' then redis.call('SADD', OWNER, ARGV[1]) end
for n = 14, #ARGV do redis.call('LPUSH', HISTORY, ARGV[n]) end
if #ARGV >= 14 then
  redis.call('LTRIM', HISTORY, 0, ARGV[10] - 1)
  redis.call('PEXPIRE', HISTORY, ARGV[11])
end
if ARGV[12] == '' then redis.call('PUBLISH', ARGV[13], '') end
return {'ok'}
"""
)

# KEYS: schedule, names, wakes, history, index of the owner. ARGV: name, version, owner, channel.
REMOVE = """
local ENTRY, NAMES, WAKES, HISTORY, OWNER = unpack(KEYS)
local version = redis.call('HGET', ENTRY, 'version')
if (version or '0') ~= ARGV[2] then return {'changed', version or '0'} end
redis.call('DEL', ENTRY)
redis.call('ZREM', NAMES, ARGV[1])
redis.call('ZREM', WAKES, ARGV[1])
if ARGV[3] ~= '' then
  redis.call('SREM', OWNER, ARGV[1])
  redis.call('DEL', HISTORY)
end
redis.call('PUBLISH', ARGV[4], '')
return {'ok'}
"""

# Forget one schedule of a person, whatever became of it since. KEYS: as REMOVE. ARGV: name, owner.
FORGET = """
local ENTRY, NAMES, WAKES, HISTORY, OWNER = unpack(KEYS)
local owner = redis.call('HGET', ENTRY, 'owner')
redis.call('SREM', OWNER, ARGV[1])
-- By that name there may be another's by now, and its history.
if owner and owner ~= ARGV[2] then return 0 end
redis.call('DEL', HISTORY)
if not owner then return 0 end
redis.call('DEL', ENTRY)
redis.call('ZREM', NAMES, ARGV[1])
redis.call('ZREM', WAKES, ARGV[1])
return 1
"""

# What can't be read is kept for a while, and not looked at again. KEYS: schedule, wakes. ARGV: name, what was read,
# for how long in ms.
QUARANTINE = """
if redis.call('HGET', KEYS[1], 'packed') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1
"""

# An entry that leads nowhere, since what it led to has ended. KEYS: schedule, names, wakes. ARGV: name.
DROP = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
"""
