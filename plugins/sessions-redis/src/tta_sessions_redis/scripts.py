"""What happens in one step on the server: each script's keys are of one session, or one index, and so of one slot."""

from __future__ import annotations

# KEYS: as `Keys.all` has them: the value (a session's hash, or an index), the places to which a corrupt one is moved,
# last the reasons by place.
_COMMON = """
local places = #KEYS - 2

-- Move KEYS[1], whatever it is, to the first free place. Where all are taken it stays: nothing is ever overwritten.
local function quarantine(reason, ttl)
  for n = 1, places do
    if redis.call('EXISTS', KEYS[1 + n]) == 0 then
      redis.call('RENAME', KEYS[1], KEYS[1 + n])
      redis.call('PEXPIRE', KEYS[1 + n], ttl)
      -- pcall: the reasons' key may hold something foreign, too, and the move mustn't fail for that.
      redis.pcall('HSET', KEYS[#KEYS], n, reason)
      redis.call('PEXPIRE', KEYS[#KEYS], ttl)
      return {'corrupt', reason, KEYS[1 + n]}
    end
  end
  return {'corrupt', reason, ''}
end

-- What a newer release has written may mean something else by all of it: it is left alone, and said to be there.
local function newer()
  if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return nil end
  local format = redis.call('HGET', KEYS[1], 'format') or ''
  if string.match(format, '^%d+$') and tonumber(format) > 1 then return {'newer', format} end
  return nil
end

-- Say what is wrong with the session, or nil; one that isn't there is all right.
local function corruption()
  local kind = redis.call('TYPE', KEYS[1]).ok
  if kind == 'none' then return nil end
  if kind ~= 'hash' then return 'it is a ' .. kind end
  local found = redis.call('HMGET', KEYS[1], 'format', 'version', 'created', 'updated', 'context', 'user')
  for n, name in ipairs({'format', 'version', 'created', 'updated', 'context', 'user'}) do
    if not found[n] then return 'it has no ' .. name end
  end
  if found[1] ~= '1' then return 'its format is unknown' end
  for n = 2, 4 do
    -- Lua's numbers are doubles: 16 digits are as many as they hold exactly.
    if not string.match(found[n], '^%d+$') or #found[n] > 16 then return 'its numbers are none' end
  end
  return nil
end
"""

# ARGV: time to live of what is corrupt, in ms, as of all scripts but DELETE.
READ = (
    _COMMON
    + """
local later = newer()
if later then return later end
local reason = corruption()
if reason then return quarantine(reason, ARGV[1]) end
return {'ok', redis.call('HMGET', KEYS[1], 'version', 'user', 'created', 'updated', 'context')}
"""
)

# For what only the reader can see, since Redis can't decode a context: move it, if it is still what was read.
# ARGV: time to live of what is corrupt, the context's SHA-1, the reason.
QUARANTINE = (
    _COMMON
    + """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {'ok'} end
if redis.sha1hex(redis.call('HGET', KEYS[1], 'context') or '') ~= ARGV[2] then return {'ok'} end
return quarantine(ARGV[3], ARGV[1])
"""
)

# ARGV: time to live of what is corrupt, expected version, user, created (0: now), context, time to live, this commit's
# name.
COMMIT = (
    _COMMON
    + """
local later = newer()
if later then return later end
local reason = corruption()
if reason then return quarantine(reason, ARGV[1]) end
local stored = redis.call('HMGET', KEYS[1], 'version', 'commit', 'created', 'updated')
local version = tonumber(stored[1] or '0')
local expected = tonumber(ARGV[2])
if version ~= expected then
  -- The client sends a commit again whose answer was lost: by its name it is known to have been done.
  if version == expected + 1 and stored[2] == ARGV[7] then
    -- A replica that has this write has the first one, too: so WAIT can vouch for a repeated commit.
    redis.call('PEXPIRE', KEYS[1], ARGV[6])
    return {'ok', stored[1], stored[3], stored[4]}
  end
  return {'conflict', stored[1] or '0'}
end
local time = redis.call('TIME')
-- Microseconds as text: as a number, Lua would write 1.7e+15.
local now = time[1] .. string.rep('0', 6 - #time[2]) .. time[2]
-- After a failover the clock may be behind; a session is never updated before it was.
if stored[4] and tonumber(stored[4]) > tonumber(now) then now = stored[4] end
local created = ARGV[4]
if created == '0' then created = now end
version = string.format('%d', expected + 1)
redis.call('HSET', KEYS[1], 'format', '1', 'version', version, 'user', ARGV[3], 'created', created,
  'updated', now, 'context', ARGV[5], 'commit', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return {'ok', version, created, now}
"""
)

# What belongs to nobody any more can be deleted by anybody; what was quarantined goes with its person only.
# ARGV: the user who must own it, or none for any owner.
DELETE = """
local kind = redis.call('TYPE', KEYS[1]).ok
local owner = ''
if kind == 'hash' then owner = redis.call('HGET', KEYS[1], 'user') or '' end
if ARGV[1] ~= '' and owner ~= '' and owner ~= ARGV[1] then return {0, owner} end
local found = redis.call('DEL', KEYS[1])
if ARGV[1] ~= '' then
  for n = 2, #KEYS do redis.call('DEL', KEYS[n]) end
end
return {found, owner}
"""

# KEYS: a person's index, a sorted set of sessions by the time at which the entry ends; then places and reasons.
# ARGV: time to live of what is corrupt, the session, for how long the entry counts.
INDEX = (
    _COMMON
    + """
local kind = redis.call('TYPE', KEYS[1]).ok
local result = {'ok'}
if kind ~= 'none' and kind ~= 'zset' then
  result = quarantine('it is a ' .. kind, ARGV[1])
  if result[3] == '' then return result end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return result
"""
)

# Return whether the index is whole (none of this person's is in quarantine), and the first sessions in it.
# KEYS as of INDEX; ARGV: time to live of what is corrupt, how many.
LIST = (
    _COMMON
    + """
local kind = redis.call('TYPE', KEYS[1]).ok
local whole = 1
if kind ~= 'none' and kind ~= 'zset' then
  quarantine('it is a ' .. kind, ARGV[1])
  kind = redis.call('TYPE', KEYS[1]).ok
end
for n = 1, places do
  if redis.call('EXISTS', KEYS[1 + n]) == 1 then whole = 0 end
end
if kind == 'none' or kind == 'zset' then return {whole, redis.call('ZRANGE', KEYS[1], 0, ARGV[2] - 1)} end
return {0, {}}
"""
)
