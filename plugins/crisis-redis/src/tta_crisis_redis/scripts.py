"""What happens in one step on the server: all keys share a slot."""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# A *place* is when an intervention was opened, and its id: lists are sorted sets of places, in the order of texts.

# KEYS: intervention, packet, all, list of its status, its session's, index of the owner, list of the resolved.
# ARGV: id, place, format, the intervention packed, owner, session, status, how many there may be, packet, for how long
# that is kept in ms.
OPEN = """
local ITEM, PACKET, ALL, STATUS, SESSION, OWNER, RESOLVED = unpack(KEYS)
local found = redis.call('HMGET', ITEM, 'format', 'packed')
if found[1] then
  if found[1] ~= ARGV[3] then return {'format', found[1]} end
  return {'known', found[2]}
end
if redis.call('ZCARD', ALL) >= tonumber(ARGV[8]) then
  return {'full', redis.call('ZRANGE', RESOLVED, 0, 0)[1] or ''}
end
redis.call('HSET', ITEM, 'format', ARGV[3], 'version', '1', 'packed', ARGV[4], 'owner', ARGV[5], 'session', ARGV[6],
  'status', ARGV[7], 'place', ARGV[2])
redis.call('SET', PACKET, ARGV[9], 'PX', ARGV[10])
redis.call('ZADD', ALL, 0, ARGV[2])
redis.call('ZADD', STATUS, 0, ARGV[2])
redis.call('ZADD', SESSION, 0, ARGV[2])
if ARGV[5] ~= '' then redis.call('SADD', OWNER, ARGV[1]) end
return {'opened', ARGV[4]}
"""

# KEYS: intervention, list of the status that it gets, those of the others, ends. ARGV: format, expected version, this
# call's name, the intervention packed, status, end (what is left of it when it has ended), for how long it is kept, in
# ms, once it is resolved.
PUT = (
    _NOW
    + """
local ITEM, STATUS, FIRST, SECOND, ENDS = unpack(KEYS)
local found = redis.call('HMGET', ITEM, 'format', 'version', 'made_by', 'place')
if found[1] and found[1] ~= ARGV[1] then return {'format', found[1]} end
-- The answer to it was lost, and it is sent again.
if found[3] == ARGV[3] then return {'ok'} end
if (found[2] or '0') ~= ARGV[2] or not found[2] then return {'changed', found[2] or '0'} end
redis.call('HSET', ITEM, 'version', ARGV[2] + 1, 'made_by', ARGV[3], 'packed', ARGV[4], 'status', ARGV[5])
redis.call('ZREM', FIRST, found[4])
redis.call('ZREM', SECOND, found[4])
redis.call('ZADD', STATUS, 0, found[4])
if ARGV[5] == 'resolved' then
  -- It ends by itself; its places are taken out by whoever looks at `ends`.
  redis.call('PEXPIRE', ITEM, ARGV[7])
  redis.call('ZADD', ENDS, now + ARGV[7], ARGV[6])
end
return {'ok'}
"""
)

# KEYS: intervention, packet, all, the three lists of statuses, its session's, index of the owner, ends, traces.
# ARGV: id, place, end, owner that it must have or '', what is kept of it or '', how much of that.
DELETE = """
local ITEM, PACKET, ALL, OPEN, SEEN, RESOLVED, SESSION, OWNER, ENDS, TRACES = unpack(KEYS)
local owner = redis.call('HGET', ITEM, 'owner')
if ARGV[4] ~= '' and owner and owner ~= ARGV[4] then
  redis.call('SREM', OWNER, ARGV[1])
  return 0
end
local found = redis.call('DEL', ITEM)
redis.call('DEL', PACKET)
for _, list in ipairs({ALL, OPEN, SEEN, RESOLVED, SESSION}) do redis.call('ZREM', list, ARGV[2]) end
redis.call('SREM', OWNER, ARGV[1])
redis.call('ZREM', ENDS, ARGV[3])
if found == 1 and ARGV[5] ~= '' then
  redis.call('LPUSH', TRACES, ARGV[5])
  redis.call('LTRIM', TRACES, 0, ARGV[6] - 1)
end
return found
"""

# Places of what has ended. KEYS: ends. ARGV: how many at most.
ENDED = (
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
"""
)

# What can't be read is moved, and not looked at again. KEYS: intervention, all, the three lists of statuses, where it
# goes. ARGV: what was read, for how long it is kept in ms.
QUARANTINE = """
local found = redis.call('HMGET', KEYS[1], 'packed', 'place')
if found[1] ~= ARGV[1] then return 0 end
for n = 2, 5 do if found[2] then redis.call('ZREM', KEYS[n], found[2]) end end
redis.call('RENAME', KEYS[1], KEYS[6])
redis.call('PEXPIRE', KEYS[6], ARGV[2])
return 1
"""

# KEYS: feedback. ARGV: feedback packed, how much is kept, for how long after the last in ms.
JUDGE = """
redis.call('LREM', KEYS[1], 0, ARGV[1])
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
