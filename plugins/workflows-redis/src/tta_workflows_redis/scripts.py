"""What happens in one step on the server: the keys of a script are all of one run, or one key alone."""

from __future__ import annotations

# KEYS: as `RunKeys` has them; where all keys are on one server, those of the index may follow. ARGV[1]: the run's id.
_COMMON = """
local RUN, INPUT, RECORDS, OUTGOING, SAID, WAITING = unpack(KEYS)

-- Tell the processes that wait for a change of this run.
local function wake()
  for _, channel in ipairs(redis.call('SMEMBERS', WAITING)) do redis.call('PUBLISH', channel, ARGV[1]) end
end

-- Let the run end by itself: what was said and done in it, and what is kept of it after that.
local function expire(content, summary)
  for _, key in ipairs({INPUT, RECORDS, OUTGOING, SAID}) do redis.call('PEXPIRE', key, content) end
  redis.call('PEXPIRE', RUN, summary)
end

-- A key that has come into being ends with the others.
local function expire_with_input(key)
  redis.call('PEXPIRE', key, redis.call('PTTL', INPUT))
end

-- Return fields of the run, or nil and what to answer instead.
local function fields(...)
  local found = redis.call('HMGET', RUN, 'format', ...)
  if not found[1] then return nil, {'none'} end
  if found[1] ~= '1' then return nil, {'format', found[1]} end
  return found
end

-- What brings a run to its end, the closing records among so many more, fits up to twice the limits.
local function is_full(length, bytes, more, more_bytes, closing, closing_bytes, most, most_bytes)
  if length + more > 2 * most or bytes + more_bytes > 2 * most_bytes then return true end
  if more == closing and more_bytes == closing_bytes then return false end
  return length + more - closing > most or bytes + more_bytes - closing_bytes > most_bytes
end

local function let_go(token, content, summary)
  redis.call('HSET', RUN, 'holder', '', 'released', token)
  expire(content, summary)
end
"""

# Enters a run in its index. KEYS from FIRST on: the unfinished runs, then indices, sorted sets of runs by their
# creation.
_ENTER = """
local function enter(first, created_at, run, most, ttl)
  for n = first, #KEYS do
    redis.call('ZADD', KEYS[n], created_at, run)
    if n > first then
      redis.call('ZREMRANGEBYRANK', KEYS[n], 0, -most - 1)
      if redis.call('PTTL', KEYS[n]) < tonumber(ttl) / 2 then redis.call('PEXPIRE', KEYS[n], ttl) end
    end
  end
end
"""

# KEYS from the seventh on: as for ENTER, or none. ARGV: id, token, this call's name, head without its input, input,
# owner, time to live in ms, status, most records, most bytes, the bytes of all records, when it was created, how many
# runs an index keeps, its time to live in ms, then the first records.
CREATE = (
    _COMMON
    + _ENTER
    + """
local found, refusal = fields('made_by')
if found then return {found[2] == ARGV[3] and 'new' or 'exists'} end
if refusal[1] == 'format' then return refusal end
local more, bytes = #ARGV - 14, #ARGV[5] + ARGV[11]
if is_full(0, 0, more, bytes, 0, 0, tonumber(ARGV[9]), tonumber(ARGV[10])) then return {'full'} end
redis.call('DEL', RECORDS, OUTGOING, SAID)
redis.call('HSET', RUN, 'format', '1', 'made_by', ARGV[3], 'head', ARGV[4], 'owner', ARGV[6], 'holder', ARGV[2],
  'number', '0', 'status', ARGV[8], 'bytes', bytes, 'outgoing', '0', 'ended_at', '', 'code', '', 'aside', '',
  'released', '')
redis.call('PEXPIRE', RUN, ARGV[7])
redis.call('SET', INPUT, ARGV[5], 'PX', ARGV[7])
for n = 15, #ARGV do redis.call('RPUSH', RECORDS, ARGV[n]) end
if more > 0 then redis.call('PEXPIRE', RECORDS, ARGV[7]) end
enter(7, ARGV[12], ARGV[1], ARGV[13], ARGV[14])
return {'new'}
"""
)

# KEYS[7]: the unfinished runs, or none. ARGV: id, token, number, expected length or -1, status, most records, most
# bytes, how many of the records are closing, and their bytes, time of the end or '', its code, time to live in ms, and
# '' twice, or times to live of what was said, and of the rest, for a run that is let go of; how many records, the
# records, then outgoing ids and values in turn.
COMMIT = (
    _COMMON
    + """
local found, refusal = fields('holder', 'number', 'bytes', 'outgoing', 'released', 'ended_at')
if not found then return refusal end
local holder = found[2]
if holder == '' then holder = found[6] end
if holder ~= ARGV[2] then return {'fenced'} end
local length = redis.call('LLEN', RECORDS)
-- The answer to it was lost, and it is sent again.
if found[3] == ARGV[3] then return {'ok', length} end
if found[2] == '' then return {'fenced'} end
if tonumber(ARGV[3]) ~= found[3] + 1 then return {'number', found[3]} end
if ARGV[4] ~= '-1' and tonumber(ARGV[4]) ~= length then return {'behind', length} end
local more = tonumber(ARGV[15])
local last = 15 + more
local more_bytes = 0
for n = 16, #ARGV do more_bytes = more_bytes + #ARGV[n] end
if is_full(length, found[4] + 0, more, more_bytes, tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[6]),
  tonumber(ARGV[7])) then return {'full'} end
local lets_go = ARGV[13] ~= ''
if lets_go and (#ARGV > last or (ARGV[10] == '' and found[7] == '') or redis.call('EXISTS', OUTGOING) == 1) then
  return {'unfinished'}
end
for n = 16, last do redis.call('RPUSH', RECORDS, ARGV[n]) end
if length == 0 then expire_with_input(RECORDS) end
local sent = tonumber(found[5])
for n = last + 1, #ARGV, 2 do
  sent = sent + 1
  -- By this number they keep their order: a hash has none.
  redis.call('HSET', OUTGOING, ARGV[n], string.format('%012d', sent) .. ARGV[n + 1])
end
if #ARGV > last then expire_with_input(OUTGOING) end
redis.call('HSET', RUN, 'number', ARGV[3], 'status', ARGV[5], 'bytes', found[4] + more_bytes, 'outgoing', sent)
if ARGV[10] ~= '' then redis.call('HSET', RUN, 'ended_at', ARGV[10], 'code', ARGV[11]) end
if lets_go then
  let_go(ARGV[2], ARGV[13], ARGV[14])
  if KEYS[7] then redis.call('ZREM', KEYS[7], ARGV[1]) end
elseif redis.call('PTTL', RUN) < tonumber(ARGV[12]) / 2 then
  -- A run that goes on lives on.
  expire(ARGV[12], ARGV[12])
end
wake()
return {'ok', length + more}
"""
)

# ARGV: id, this call's name, the id of what is said or '', whether a run that is over takes it, too, most records, most
# bytes, closing, the record.
APPEND = (
    _COMMON
    + """
local found, refusal = fields('ended_at', 'bytes', 'aside')
if not found then return refusal end
if redis.call('EXISTS', INPUT) == 0 or found[4] ~= '' then return {'none'} end
if ARGV[3] ~= '' then
  local by = redis.call('HGET', SAID, ARGV[3])
  if by then return {by == ARGV[2] and 'added' or 'twice'} end
end
if found[2] ~= '' and ARGV[4] ~= '1' then return {'ended'} end
local length = redis.call('LLEN', RECORDS)
local more = #ARGV[8] + #ARGV[3]
local is_closing = tonumber(ARGV[7])
if is_full(length, found[3] + 0, 1, more, is_closing, is_closing * more, tonumber(ARGV[5]), tonumber(ARGV[6])) then
  return {'full'}
end
if ARGV[3] ~= '' then
  redis.call('HSET', SAID, ARGV[3], ARGV[2])
  expire_with_input(SAID)
end
redis.call('RPUSH', RECORDS, ARGV[8])
if length == 0 then expire_with_input(RECORDS) end
redis.call('HSET', RUN, 'bytes', found[3] + more)
wake()
return {'added'}
"""
)

# ARGV: id, how many records are known.
READ = (
    _COMMON
    + """
local found, refusal = fields('head', 'status', 'aside')
if not found then return refusal end
local input = redis.call('GET', INPUT)
if not input then return {'gone', found[2], found[3]} end
return {'ok', found[2], found[3], input, redis.call('LRANGE', RECORDS, ARGV[2], -1),
  redis.call('HVALS', OUTGOING), found[4]}
"""
)

# ARGV: id, how many records are known, the channel to call on, for how long in ms.
WAIT = (
    _COMMON
    + """
if redis.call('EXISTS', INPUT) == 0 or redis.call('LLEN', RECORDS) > tonumber(ARGV[2]) then return 1 end
redis.call('SADD', WAITING, ARGV[3])
redis.call('PEXPIRE', WAITING, ARGV[4])
return 0
"""
)

# ARGV: id, token, whose it is as far as the caller knows, time to live in ms.
TAKE = (
    _COMMON
    + """
local found, refusal = fields('holder', 'aside')
if not found then return refusal end
if redis.call('EXISTS', INPUT) == 0 then return {'none'} end
if found[3] ~= '' then return {'aside'} end
if found[2] == ARGV[2] then return {'ok'} end
if found[2] ~= ARGV[3] then return {'other', found[2]} end
redis.call('HSET', RUN, 'holder', ARGV[2], 'number', '0', 'released', '')
expire(ARGV[4], ARGV[4])
return {'ok'}
"""
)

# ARGV: id, token, the ids that were sent.
SENT = (
    _COMMON
    + """
local found, refusal = fields('holder')
if not found then return refusal end
if found[2] ~= ARGV[2] then return {'fenced'} end
for n = 3, #ARGV do redis.call('HDEL', OUTGOING, ARGV[n]) end
return {'ok'}
"""
)

# ARGV: id, token, times to live in ms of what was said, and of the rest.
RELEASE = (
    _COMMON
    + """
local found, refusal = fields('holder', 'ended_at', 'released')
if not found then return refusal end
if found[4] == ARGV[2] then return {'ok'} end
if found[2] ~= ARGV[2] then return {'fenced'} end
if found[3] == '' or redis.call('HLEN', OUTGOING) > 0 then return {'unfinished'} end
let_go(ARGV[2], ARGV[3], ARGV[4])
return {'ok'}
"""
)

# ARGV: id, token, the reason, for how long it is kept in ms.
SET_ASIDE = (
    _COMMON
    + """
local found, refusal = fields('holder', 'released')
if not found then return refusal end
if found[3] == ARGV[2] then return {'ok'} end
if found[2] ~= ARGV[2] then return {'fenced'} end
redis.call('HSET', RUN, 'holder', '', 'released', ARGV[2], 'aside', ARGV[3], 'status', 'set-aside')
expire(ARGV[4], ARGV[4])
wake()
return {'ok'}
"""
)

# ARGV: id, token, how many records are known, time to live in ms.
PARK = (
    _COMMON
    + """
local found, refusal = fields('holder', 'released')
if not found then return refusal end
if found[3] == ARGV[2] then return {'ok'} end
if found[2] ~= ARGV[2] then return {'fenced'} end
local length = redis.call('LLEN', RECORDS)
if length ~= tonumber(ARGV[3]) then return {'behind', length} end
redis.call('HSET', RUN, 'holder', '', 'released', ARGV[2], 'status', 'paused')
expire(ARGV[4], ARGV[4])
wake()
return {'ok'}
"""
)

# ARGV: id, this call's name, the id of what is asked or '', whether a run that is over is to be unfinished, most
# records, most bytes, time to live in ms, the record. Says whether the run has a holder, who sees to it.
REOPEN = (
    _COMMON
    + """
local found, refusal = fields('ended_at', 'bytes', 'holder', 'released')
if not found then return refusal end
if redis.call('EXISTS', INPUT) == 0 then return {'none'} end
if ARGV[3] ~= '' then
  local by = redis.call('HGET', SAID, ARGV[3])
  if by then return {by == ARGV[2] and 'added' or 'twice', found[4] ~= '' and 1 or 0} end
end
if found[4] ~= '' and found[2] ~= '' then return {'held'} end
local length = redis.call('LLEN', RECORDS)
local more = #ARGV[8] + #ARGV[3]
if is_full(length, found[3] + 0, 1, more, 1, more, tonumber(ARGV[5]), tonumber(ARGV[6])) then return {'full'} end
if found[4] == '' then
  redis.call('HSET', RUN, 'aside', '', 'released', '', 'status', 'running')
  expire(ARGV[7], ARGV[7])
end
if ARGV[3] ~= '' then
  redis.call('HSET', SAID, ARGV[3], ARGV[2])
  expire_with_input(SAID)
end
redis.call('RPUSH', RECORDS, ARGV[8])
if length == 0 then expire_with_input(RECORDS) end
redis.call('HSET', RUN, 'bytes', found[3] + more)
if ARGV[4] == '1' then redis.call('HSET', RUN, 'ended_at', '', 'code', '') end
wake()
return {'added', found[4] ~= '' and 1 or 0}
"""
)

# What somebody else has written under a run's keys ends by itself, too. ARGV: id, for how long it is kept in ms.
QUARANTINE = (
    _COMMON
    + """
expire(ARGV[2], ARGV[2])
return {'ok'}
"""
)

# ARGV: id, owner.
DELETE = (
    _COMMON
    + """
if redis.call('HGET', RUN, 'owner') ~= ARGV[2] then return 0 end
wake()
redis.call('DEL', RUN, INPUT, RECORDS, OUTGOING, SAID, WAITING)
return 1
"""
)

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: the leases, a sorted set of tokens by the time at which they end, in ms. ARGV: token, ttl in ms.
JOIN = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PERSIST', KEYS[1])
return 1
"""
)

# What is over never comes back: others may have seen it so, and taken what it held.
RENEW = (
    _NOW
    + """
local until_ = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not until_ or tonumber(until_) <= now then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
"""
)

# ARGV: token, the channel of what may be claimed. It stays as one that is over, so that others see that there may be
# something to take.
LEAVE = """
redis.call('ZADD', KEYS[1], 'XX', 0, ARGV[1])
redis.call('PUBLISH', ARGV[2], '')
return 1
"""

# KEYS: the reopened runs, a set. ARGV: a run, for how long it stays there in ms, the channel of what may be claimed.
VACATE = """
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], '')
return 1
"""

# KEYS: the leases, the reopened runs. ARGV: how many of those to take. Return the tokens that hold, those that are
# over, and the runs.
LEASES = (
    _NOW
    + """
return {redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf'), redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now),
  redis.call('SPOP', KEYS[2], ARGV[1])}
"""
)

# For where a run and its index are on different servers. ARGV: time, run, how many an index keeps, its time to live in
# ms.
ENTER = (
    _ENTER
    + """
enter(1, ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return 1
"""
)

# KEYS: a slot, a sorted set of the runs that hold it by when they came. ARGV: run, how many may, time to live in ms.
ENTER_SLOT = (
    _NOW
    + """
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('ZADD', KEYS[1], 'NX', now, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
)
