-- Acknowledges and receives the usual way: the fast path out. It does what receive.lua would, with less to look at. It is eligible
-- if holds are acknowledged whole, messages of one priority wait, none of them was received before, and nothing is due;
-- otherwise it does nothing and replies 0, and receive.lua is to be asked. Why there are two is measured in STORAGE.md.
--
-- ARGV: 1 settings of the calling process, 2 '1' on a Cluster, then as receive.lua has them from 5 on: 3 hold, 4 limit,
-- 5 visibility, 6 entry, 7 waiting, then hold and ids of what is done, by turns.
-- Replies: ids, with blanks between; their values; deadline (us); us until the next is due, 0 if there are messages, or -1 if it was
-- woken; 1 if a key that the work doesn't depend on holds something foreign; or 0: nothing was done.
-- Atomicity: what is taken from the list is looked at afterwards, and goes back if it isn't eligible; nobody sees that. Nothing is
-- acknowledged before that is decided.
local call, attempt = redis.call, redis.pcall
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = call('HMGET', QUEUE, 'settings', 'state', 'irregular')
local packed, state = kept[1], kept[2]
if kept[3] or not state or #state ~= STATE_SIZE or packed and #packed ~= SETTINGS_SIZE then
  return 0
end
local mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags = struct.unpack(STATE, state)
local settings_mark, max_length, retries, backoff_base, backoff_factor, backoff_cap, jitter, visibility, ttl, starvation_limit,
  dedup_window, dead_limit, dead_ttl, audit_limit = struct.unpack(SETTINGS, packed or ARGV[1])
if mark ~= MARK or settings_mark ~= MARK then
  return 0
end
local FIRST = 8
local hold, limit, entry, waiting = ARGV[3], tonumber(ARGV[4]), ARGV[6], ARGV[7]
visibility = tonumber(ARGV[5]) or visibility
-- Nothing is due, and the keys live on for long enough.
if now >= next_due or ends < now / 1000 + (ttl + dead_ttl + visibility) * 1000 then
  return 0
end

-- It waits already, and its entry is gone: it was woken, or handed messages that are on their way. To take more now would
-- be more than it asked for.
local woken, foreign = false, 0
if waiting ~= '' then
  local there = attempt('SISMEMBER', IDLE, entry)
  if type(there) == 'table' then
    foreign = 1
  elseif there == 0 then
    woken, limit = true, 0
  end
end

-- An empty list isn't there, so EXISTS counts the others that have something.
local list, length = NORMAL, call('LLEN', NORMAL)
local others = call('EXISTS', HIGH, LOW)
if others > 0 and length == 0 then
  list = call('LLEN', HIGH) > 0 and HIGH or LOW
  length, others = call('LLEN', list), others - 1
end
if others > 0 and limit > 0 then
  return 0  -- Whose turn it is, receive.lua knows.
end

local acks
for i = FIRST, #ARGV, 2 do
  local joined = ARGV[i + 1]
  if call('HGET', HOLDS, ARGV[i]) ~= joined then
    return 0
  end
  acks = acks and acks .. ' ' .. joined or joined
end

local ids, values = {}, {}
if limit > 0 and length > 0 then
  call('ZCARD', LEASE)  -- Is it a ZSET? Fail now, before anything is taken.
  ids = call('LPOP', list, limit) or {}
  values = attempt('HMGET', BODY, unpack(ids))
  local fine = not values.err
  for i = 1, fine and #ids or 0 do
    local value = values[i]
    fine = fine and value and #value >= VALUE_SIZE and struct.unpack(EXPIRES, value) > now
  end
  if fine and flags >= TIMED then
    fine = type(attempt('ZREM', TTL, unpack(ids))) == 'number'
  end
  if not fine then
    for i = #ids, 1, -1 do
      call('LPUSH', list, ids[i])
    end
    call('PEXPIREAT', list, string.format('%.0f', ends))
    return 0
  end
end

for i = FIRST, #ARGV, 2 do
  -- A hold that stands there twice was acknowledged by then.
  if call('HDEL', HOLDS, ARGV[i]) == 1 then
    call('ZREM', LEASE, ARGV[i])
    local those = {}
    for id in string.gmatch(ARGV[i + 1], '[^ ]+') do
      those[#those + 1] = id
    end
    call('HDEL', BODY, unpack(those))
    acknowledged = acknowledged + #those
  end
end

local count, deadline, joined = #ids, 0, ''
if count > 0 then
  deadline = string.format('%.0f', now + visibility * 1000000)
  joined = table.concat(ids, ' ')
  call('HSET', HOLDS, hold, joined)
  call('ZADD', LEASE, deadline, hold)
  next_due = math.min(next_due, tonumber(deadline))
end
if count > 0 or acks then
  delivered = delivered + count
  state = struct.pack(STATE, mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags)
  call('HSET', QUEUE, 'state', state)
  if audit_limit >= 1 then
    local done
    if acks and count > 0 then
      done = attempt('XADD', AUDIT, 'MAXLEN', '~', audit_limit, '*', 'acknowledged', acks, 'delivered', joined)
    elseif acks then
      done = attempt('XADD', AUDIT, 'MAXLEN', '~', audit_limit, '*', 'acknowledged', acks)
    else
      done = attempt('XADD', AUDIT, 'MAXLEN', '~', audit_limit, '*', 'delivered', joined)
    end
    foreign = type(done) == 'table' and 1 or foreign
  end
end

if waiting ~= '' and not woken and (count > 0 or waiting == '0') then
  attempt('SREM', IDLE, entry)
end
if length + others > count then
  -- Something is left: wake the next, as `wake` of common.lua.
  for _ = 1, 64 do
    local other = attempt('SPOP', IDLE)
    if type(other) ~= 'string' then
      foreign = other and 1 or foreign
      break
    end
    local channel, queue = string.match(QUEUE, '^(.*:){(.*)}')
    local process, its_hold = string.match(other, '^(%S+) (%S+)')
    if process and call('PUBLISH', channel .. 'wake:' .. process, queue .. ' ' .. its_hold) > 0 and ARGV[2] ~= '1' then
      break
    end
  end
elseif count == 0 and limit > 0 and entry ~= '' and waiting ~= '0' then
  local added = attempt('SADD', IDLE, entry)
  if type(added) == 'table' then
    foreign = 1
  elseif added == 1 or call('PTTL', IDLE) < 15000 then
    call('PEXPIRE', IDLE, 30000)  -- Who waits looks once a second, so the entries of those that are gone end.
  end
end
return {joined, values, deadline, count > 0 and 0 or woken and -1 or string.format('%.0f', next_due - now), foreign}
