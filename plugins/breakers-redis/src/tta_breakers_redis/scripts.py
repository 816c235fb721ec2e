"""What the server does on its own: all breakers lie in one slot, and all times are by its clock.

``KEYS``: the records by name (HASH), when each was written, in ms (ZSET), what was no record (HASH). A record reads
``format stamp``, a line's end, and JSON. A key that holds another type than it should is moved out of the way.
"""

from __future__ import annotations

# ARGV: for how long, in ms, what is foreign is kept.
_COMMON = """
local records, written, foreign = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = ARGV[1]

local function sound(key, kind)
  local found = redis.call('TYPE', key)['ok']
  if found == kind or found == 'none' then return end
  redis.call('RENAME', key, key .. ':quarantined')
  redis.call('PEXPIRE', key .. ':quarantined', kept)
end

sound(records, 'hash')
sound(written, 'zset')
sound(foreign, 'hash')

local function drop(name)
  redis.call('HDEL', records, name)
  redis.call('ZREM', written, name)
end

-- What is no record is nobody's: it goes out of the way, for an operator to look at.
local function quarantine(name, value)
  if redis.call('HLEN', foreign) < 100 then
    redis.call('HSET', foreign, name, string.sub(value, 1, 10000))
    redis.call('PEXPIRE', foreign, kept)
  end
  drop(name)
end

-- Return a record and its stamp; nothing and '' where there is none.
local function find(name)
  local value = redis.call('HGET', records, name)
  if not value then return false, '' end
  local stamp = string.match(value, '^%d+ ([^\\n]*)\\n')
  if stamp then return value, stamp end
  quarantine(name, value)
  return false, ''
end
"""

# ARGV: what is foreign, channel, for how long a record is kept (ms), how many are; then of each swap the name, the
# stamp that is expected, and the record.
SWAP = (
    _COMMON
    + """
local channel, ttl, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local answer = {time[1], time[2]}
for n = 5, #ARGV, 3 do
  local name, expected, new = ARGV[n], ARGV[n + 1], ARGV[n + 2]
  local value, stamp = find(name)
  if stamp == expected then
    redis.call('HSET', records, name, new)
    redis.call('ZADD', written, now, name)
    -- The record itself: whoever hears of it need not ask.
    redis.call('PUBLISH', channel, name .. '\\n' .. new)
    value = new
  end
  answer[#answer + 1] = value or ''
end
-- Each write takes out what is old, or too much, so no process need be there for that; 100 at once bound its time.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', written, '-inf', now - ttl, 'LIMIT', 0, 100)) do drop(name) end
local excess = redis.call('HLEN', records) - most
if excess > 0 then
  for _, name in ipairs(redis.call('ZRANGE', written, 0, math.min(excess, 100) - 1)) do drop(name) end
end
redis.call('PEXPIRE', records, 2 * ttl)
redis.call('PEXPIRE', written, 2 * ttl)
return answer
"""
)

# ARGV: what is foreign. Return the time, and names and records in turn.
READ = (
    _COMMON
    + """
return {time[1], time[2], redis.call('HGETALL', records)}
"""
)

# ARGV: what is foreign, a name, what only the reader could see is no record.
QUARANTINE = (
    _COMMON
    + """
if redis.call('HGET', records, ARGV[2]) == ARGV[3] then quarantine(ARGV[2], ARGV[3]) end
"""
)
