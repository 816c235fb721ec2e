-- Adds, removes and shows subscriptions: who wants which messages.
--
-- KEYS: FILTERS (HASH id -> queue and filter, msgpack), ENDS (ZSET of ids by when they end, us), REVISION (a number).
-- ARGV: what, then by what, with the reply:
--   add: id, filter, time to live (s), how many there may be   when it ends (us), or nothing where there are too many
--   remove: id                                                 1, or 0 where there was none
--   look: revision                                              now (us), revision; and if it is another, ids, filters, ends
-- A process remembers all of them, and asks with each publish whether its revision is still the one: so a publish costs one GET.
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function int(number)
  return string.format('%.0f', number)
end

local function changed()
  local last = call('ZRANGE', ENDS, -1, -1, 'WITHSCORES')
  -- A time is a revision that nobody has seen before, even after all of this was gone for a while.
  local revision = math.max(now, (tonumber(call('GET', REVISION)) or 0) + 1)
  call('SET', REVISION, int(revision))
  if last[2] then
    for _, key in ipairs(KEYS) do
      call('PEXPIREAT', key, int(last[2] / 1000 + 60000))
    end
  else
    call('PEXPIRE', REVISION, 60000)
  end
end

if ARGV[1] == 'look' then
  local revision = call('GET', REVISION) or ''
  if revision == ARGV[2] then
    return {int(now), revision}
  end
  local ids = call('ZRANGE', ENDS, 0, -1, 'WITHSCORES')
  local names, ends = {}, {}
  for i = 1, #ids, 2 do
    names[#names + 1], ends[#ends + 1] = ids[i], ids[i + 1]
  end
  local filters = {}
  for i = 1, #names, 1000 do
    for _, filter in ipairs(call('HMGET', FILTERS, unpack(names, i, math.min(i + 999, #names)))) do
      filters[#filters + 1] = filter
    end
  end
  return {int(now), revision, names, filters, ends}
end

local over = call('ZRANGEBYSCORE', ENDS, '-inf', int(now), 'LIMIT', 0, 1000)
if #over > 0 then
  call('ZREM', ENDS, unpack(over))
  call('HDEL', FILTERS, unpack(over))
end
if ARGV[1] == 'remove' then
  local there = call('ZREM', ENDS, ARGV[2])
  call('HDEL', FILTERS, ARGV[2])
  changed()
  return there
end
if not call('ZSCORE', ENDS, ARGV[2]) and call('ZCARD', ENDS) >= tonumber(ARGV[5]) then
  return false
end
local at = int(now + tonumber(ARGV[4]) * 1000000)
call('ZADD', ENDS, at, ARGV[2])
call('HSET', FILTERS, ARGV[2], ARGV[3])
changed()
return at
