"""What happens in one step on the server: each script's keys are of one session, or one index, and so of one slot."""

from __future__ import annotations

from tta_sessions import QUEUE

from .keys import QUARANTINED

# KEYS: as `Keys.all` has them: the value (a session's hash, or an index), the places to which a corrupt one is moved,
# the reasons by place; of a session then the queue of its turns, and their texts.
_COMMON = (
    f"local places = {QUARANTINED}\n"
    """
local reasons = KEYS[places + 2]

-- Move KEYS[1], or another key, whatever it is, to the first free place. Where all are taken it stays: nothing is ever
-- overwritten.
local function quarantine(reason, ttl, key)
  for n = 1, places do
    if redis.call('EXISTS', KEYS[1 + n]) == 0 then
      redis.call('RENAME', key or KEYS[1], KEYS[1 + n])
      redis.call('PEXPIRE', KEYS[1 + n], ttl)
      -- pcall: the reasons' key may hold something foreign, too, and the move mustn't fail for that.
      redis.pcall('HSET', reasons, n, reason)
      redis.call('PEXPIRE', reasons, ttl)
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

-- Microseconds as text: as a number, Lua would write 1.7e+15.
local function clock()
  local time = redis.call('TIME')
  return time[1] .. string.rep('0', 6 - #time[2]) .. time[2]
end
"""
)

# A turn in a queue is an array in msgpack, of texts throughout: times in microseconds and other numbers are digits. The
# texts that persons wrote lie beside, by run, since they end before the turns do.
_QUEUE = (
    _COMMON + f"local most = {QUEUE}\n"
    """
local queue, texts = KEYS[places + 3], KEYS[places + 4]
local RUN, USER, HOLDER, SEED, TOLD, AT, UNTIL, FIELDS = 2, 3, 4, 5, 6, 7, 8, 8

local function number(text) return string.match(text, '^%d+$') and #text <= 16 end

-- Return the turns that wait, or nil and what is wrong: then it is quarantined, or a newer release's and left alone.
local function admissions(quarantine_ttl)
  local kind = redis.call('TYPE', queue).ok
  if kind == 'none' then return {} end
  local function corrupt(reason) return nil, quarantine('of its turns: ' .. reason, quarantine_ttl, queue) end
  if kind ~= 'list' then return corrupt('they are a ' .. kind) end
  if redis.call('LLEN', queue) > most then return corrupt('there are too many') end
  local found = {}
  for n, packed in ipairs(redis.call('LRANGE', queue, 0, -1)) do
    local ok, entry = pcall(cmsgpack.unpack, packed)
    if not ok or type(entry) ~= 'table' or type(entry[1]) ~= 'string' then return corrupt('one is no turn') end
    if string.match(entry[1], '^%d+$') and tonumber(entry[1]) > 1 then return nil, {'newer', entry[1]} end
    if entry[1] ~= '1' or #entry ~= FIELDS then return corrupt('the format of one is unknown') end
    for field = 1, FIELDS do
      if type(entry[field]) ~= 'string' then return corrupt('a field of one is no text') end
    end
    if not (number(entry[TOLD]) and number(entry[AT]) and number(entry[UNTIL])) then
      return corrupt('the numbers of one are none')
    end
    found[n] = entry
  end
  local there = redis.call('TYPE', texts).ok
  if there ~= 'none' and there ~= 'hash' then
    quarantine('of its turns: the texts are a ' .. there, quarantine_ttl, texts)
  end
  return found
end

local function find(entries, run)
  for n, entry in ipairs(entries) do
    if entry[RUN] == run then return n, entry end
  end
  return nil
end

local function remove(entries, n)
  redis.call('LREM', queue, 1, cmsgpack.pack(entries[n]))
  -- pcall: texts that are foreign stay where there was no place left for them.
  redis.pcall('HDEL', texts, entries[n][RUN])
end

-- Return a turn as its reader takes it; the text of an old one goes.
local function shown(entry, now, life)
  local text = ''
  if entry then
    if tonumber(now) - tonumber(entry[AT]) > tonumber(life) then
      redis.pcall('HDEL', texts, entry[RUN])
    else
      local found = redis.pcall('HGET', texts, entry[RUN])
      if type(found) == 'string' then text = found end
    end
    return {entry[RUN], entry[USER], entry[HOLDER], entry[SEED], entry[TOLD], entry[AT], entry[UNTIL], text}
  end
  return {}
end

local function later(now, ttl) return string.format('%.0f', tonumber(now) + tonumber(ttl)) end
"""
)

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
# name; the run and the holder of the turn that it is, or none.
COMMIT = (
    _QUEUE
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
  if ARGV[8] == '' then return {'conflict', stored[1] or '0'} end
end
local entries = {}
if ARGV[8] ~= '' then
  local wrong
  entries, wrong = admissions(ARGV[1])
  if not entries then return wrong end
  local first = entries[1]
  if not first or first[RUN] ~= ARGV[8] or first[HOLDER] ~= ARGV[9] then return {'fenced'} end
  if version ~= expected then return {'conflict', stored[1] or '0'} end
end
local now = clock()
-- After a failover the clock may be behind; a session is never updated before it was.
if stored[4] and tonumber(stored[4]) > tonumber(now) then now = stored[4] end
local created = ARGV[4]
if created == '0' then created = now end
version = string.format('%d', expected + 1)
redis.call('HSET', KEYS[1], 'format', '1', 'version', version, 'user', ARGV[3], 'created', created,
  'updated', now, 'context', ARGV[5], 'commit', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if ARGV[8] ~= '' then remove(entries, 1) end
return {'ok', version, created, now}
"""
)

# ARGV: time to live of what is corrupt, run, user, holder, seed, text, how long it is held, in microseconds, how long
# the text may be kept, and how long the turn is known, in ms; whether a session that begins with it has its place.
ADMIT = (
    _QUEUE
    + """
local entries, wrong = admissions(ARGV[1])
if not entries then return wrong end
local now = clock()
local _, entry = find(entries, ARGV[2])
if not entry then
  if #entries >= most then return {'busy'} end
  if ARGV[10] == '' and #entries == 0 and redis.call('EXISTS', KEYS[1]) == 0 then return {'new'} end
  entry = {'1', ARGV[2], ARGV[3], ARGV[4], ARGV[5], '0', now, later(now, ARGV[7])}
  redis.call('RPUSH', queue, cmsgpack.pack(entry))
  redis.call('HSET', texts, ARGV[2], ARGV[6])
  redis.call('PEXPIRE', texts, ARGV[8])
  redis.call('PEXPIRE', queue, ARGV[9])
end
return {'ok', shown(entry, now, ARGV[8] .. '000')}
"""
)

# ARGV: time to live of what is corrupt, run, holder, how long from now, in microseconds, how much was told, how long a
# text may be kept, in ms.
HOLD = (
    _QUEUE
    + """
local entries, wrong = admissions(ARGV[1])
if not entries then return wrong end
local now = clock()
local n, entry = find(entries, ARGV[2])
local status = 'gone'
if entry then
  status = 'waits'
  if entry[HOLDER] == ARGV[3] or (n == 1 and tonumber(entry[UNTIL]) <= tonumber(now)) then
    entry[HOLDER] = ARGV[3]
    entry[UNTIL] = later(now, ARGV[4])
    if tonumber(ARGV[5]) > tonumber(entry[TOLD]) then entry[TOLD] = ARGV[5] end
    redis.call('LSET', queue, n - 1, cmsgpack.pack(entry))
    if n == 1 then status = 'held' end
  end
end
return {'ok', status, shown(entries[1], now, ARGV[6] .. '000')}
"""
)

# ARGV: time to live of what is corrupt, run, holder.
DROP = (
    _QUEUE
    + """
local entries, wrong = admissions(ARGV[1])
if not entries then return wrong end
local n, entry = find(entries, ARGV[2])
if not entry or (entry[HOLDER] ~= ARGV[3] and tonumber(entry[UNTIL]) > tonumber(clock())) then return {'ok', 0} end
remove(entries, n)
return {'ok', 1}
"""
)

# What belongs to nobody any more can be deleted by anybody; what was quarantined goes with its person only, and so do
# the turns of theirs in a session that is somebody else's.
# ARGV: time to live of what is corrupt; the user who must own it, or none for any owner.
DELETE = (
    _QUEUE
    + """
local kind = redis.call('TYPE', KEYS[1]).ok
local owner = ''
if kind == 'hash' then owner = redis.call('HGET', KEYS[1], 'user') or '' end
local entries, wrong = admissions(ARGV[1])
local turns = 0
if entries and ARGV[2] ~= '' then
  for n, entry in ipairs(entries) do
    if entry[USER] == ARGV[2] then
      remove(entries, n)
      turns = turns + 1
    end
  end
end
if ARGV[2] ~= '' and owner ~= '' and owner ~= ARGV[2] then return {turns, owner} end
local found = redis.call('DEL', KEYS[1])
if ARGV[2] == '' then
  redis.call('DEL', queue, texts)
else
  for n = 2, places + 2 do redis.call('DEL', KEYS[n]) end
  -- What is no queue may hold their turns, too.
  if not entries then redis.call('DEL', queue, texts) end
end
return {found + turns, owner}
"""
)

# KEYS: an index, of a person's sessions or of all: a sorted set of them by the time at which the entry ends; then
# places and reasons. ARGV: time to live of what is corrupt, the session, for how long the entry counts; how many there
# may be, or 0, of those that end no earlier than so many ms from now. Say whether the session is new in it.
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
local known = redis.call('ZSCORE', KEYS[1], ARGV[2])
local room = tonumber(ARGV[4])
if not known and room > 0 and redis.call('ZCOUNT', KEYS[1], now + ARGV[5], '+inf') >= room then return {'full'} end
if not known or tonumber(known) < now + ARGV[3] then redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[2]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if result[1] == 'ok' then result[2] = known and 0 or 1 end
return result
"""
)

# KEYS as of INDEX; ARGV: time to live of what is corrupt; count those that end no earlier than so many ms from now.
COUNT = (
    _COMMON
    + """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {'ok', 0} end
if kind ~= 'zset' then return quarantine('it is a ' .. kind, ARGV[1]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {'ok', redis.call('ZCOUNT', KEYS[1], now + ARGV[2], '+inf')}
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

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# A process shows that it runs. KEYS: processes. ARGV: its name, for how long in ms that holds.
BEAT = (
    _NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

# The processes that run. KEYS: processes.
ALIVE = (
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
"""
)

# A process has forgotten a person. KEYS: answers to one request. ARGV: its name, who of it could not, for how long in
# ms that is kept.
CONFIRM = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""

# KEYS: answers to one request. It returns names and what they said, by turns, also where the protocol has maps.
CONFIRMED = """
return redis.call('HGETALL', KEYS[1])
"""
