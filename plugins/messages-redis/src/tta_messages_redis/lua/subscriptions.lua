-- Adds, removes and shows subscriptions: who wants which messages.
--
-- KEYS: WISHES (HASH id -> queue and filter, msgpack), ENDS (ZSET of ids by when they end, us), CHANGED (a number).
-- ARGV: what, then by what, with the reply:
--   add: id, wish, time to live (s), how many there may be     when it ends (us), or nothing where there are too many
--   remove: id                                                 1, or 0 where there was none
--   look: version                                              now (us), version; and if it is another, ids, wishes, ends
-- A process remembers all of them, and asks with each publish whether its version is still the one: so a publish costs one GET.
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function int(number)
  return string.format('%.0f', number)
end

local function changed()
  local last = call('ZRANGE', ENDS, -1, -1, 'WITHSCORES')
  -- A time is a version that nobody has seen before, even after all of this was gone for a while.
  local version = math.max(now, (tonumber(call('GET', CHANGED)) or 0) + 1)
  call('SET', CHANGED, int(version))
  if last[2] then
    for _, key in ipairs(KEYS) do
      call('PEXPIREAT', key, int(last[2] / 1000 + 60000))
    end
  else
    call('PEXPIRE', CHANGED, 60000)
  end
end

if ARGV[1] == 'look' then
  local version = call('GET', CHANGED) or ''
  if version == ARGV[2] then
    return {int(now), version}
  end
  local ids = call('ZRANGE', ENDS, 0, -1, 'WITHSCORES')
  local names, ends = {}, {}
  for i = 1, #ids, 2 do
    names[#names + 1], ends[#ends + 1] = ids[i], ids[i + 1]
  end
  local wishes = {}
  for i = 1, #names, 1000 do
    for _, wish in ipairs(call('HMGET', WISHES, unpack(names, i, math.min(i + 999, #names)))) do
      wishes[#wishes + 1] = wish
    end
  end
  return {int(now), version, names, wishes, ends}
end

local over = call('ZRANGEBYSCORE', ENDS, '-inf', int(now), 'LIMIT', 0, 1000)
if #over > 0 then
  call('ZREM', ENDS, unpack(over))
  call('HDEL', WISHES, unpack(over))
end
if ARGV[1] == 'remove' then
  local there = call('ZREM', ENDS, ARGV[2])
  call('HDEL', WISHES, ARGV[2])
  changed()
  return there
end
if not call('ZSCORE', ENDS, ARGV[2]) and call('ZCARD', ENDS) >= tonumber(ARGV[5]) then
  return false
end
local at = int(now + tonumber(ARGV[4]) * 1000000)
call('ZADD', ENDS, at, ARGV[2])
call('HSET', WISHES, ARGV[2], ARGV[3])
changed()
return at
