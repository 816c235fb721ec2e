-- KEYS: queue, body, high, normal, low, holds, lease, audit, idle.
-- ARGV: as for cycle.lua. The usual way out: holds are acknowledged whole, messages of one priority wait, none of them was
-- received before, and nothing is due. It does what cycle.lua would, with less to look at.
-- Replies: ids, values, deadline (us), us until the next is due (-1: called), odd; or 0 if this isn't the usual case: nothing is done,
-- and cycle.lua is to be asked.
local QUEUE, BODY, HIGH, NORMAL, LOW, HOLDS, LEASE, AUDIT, IDLE = unpack(KEYS)
local call, attempt = redis.call, redis.pcall
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local state = call('HMGET', QUEUE, 'settings', 'until', 'next', 'odds', 'flow')
local next_due, flow = tonumber(state[3]) or 0, state[5]
local packed = state[1]
if not packed or #packed ~= 104 then
  packed = ARGV[1]
end
local _, _, _, _, _, _, visibility, life, _, _, _, dead_life, steps = struct.unpack('>ddddddddddddd', packed)
visibility = tonumber(ARGV[7]) or visibility
if state[4] or now >= next_due or (tonumber(state[2]) or 0) < now / 1000 + (life + dead_life + visibility) * 1000
  or flow and #flow ~= 16 then
  return 0
end
local high, normal, low = call('LLEN', HIGH), call('LLEN', NORMAL), call('LLEN', LOW)
local waiting, limit = high + normal + low, tonumber(ARGV[6])
local called, odd = false, 0
if ARGV[9] ~= '' then
  local there = attempt('SISMEMBER', IDLE, ARGV[8])
  if type(there) == 'table' then
    odd = 1
  elseif there == 0 then
    called, limit = true, 0
  end
end
local list = normal == waiting and NORMAL or high == waiting and HIGH or low == waiting and LOW
if not list and limit > 0 then
  return 0
end

local at, done, acknowledged = 10, 0, nil
while at < #ARGV do
  local last = at + 1 + tonumber(ARGV[at + 1])
  local joined = table.concat(ARGV, ' ', at + 2, last)
  if call('HGET', HOLDS, ARGV[at]) ~= joined then
    return 0
  end
  acknowledged = acknowledged and acknowledged .. ' ' .. joined or joined
  done, at = done + last - at - 1, last + 1
end

local ids, values = {}, {}
if limit > 0 and waiting > 0 then
  ids = call('LPOP', list, limit) or {}
  values = attempt('HMGET', BODY, unpack(ids))
  local fine = not values.err
  for i = 1, fine and #ids or 0 do
    local value = values[i]
    fine = fine and value and #value >= 17 and struct.unpack('>d', value) > now
  end
  if not fine then
    for i = #ids, 1, -1 do
      call('LPUSH', list, ids[i])
    end
    call('PEXPIREAT', list, state[2])
    return 0
  end
end

at = 10
while at < #ARGV do
  local last = at + 1 + tonumber(ARGV[at + 1])
  -- A hold that stands there twice was acknowledged by then.
  if call('HDEL', HOLDS, ARGV[at]) == 1 then
    call('ZREM', LEASE, ARGV[at])
    call('HDEL', BODY, unpack(ARGV, at + 2, last))
  end
  at = last + 1
end

local deadline, delivered = 0, nil
local count = #ids
if count > 0 then
  deadline = string.format('%.0f', now + visibility * 1000000)
  delivered = table.concat(ids, ' ')
  call('HSET', HOLDS, ARGV[5], delivered)
  call('ZADD', LEASE, deadline, ARGV[5])
end
if count + done > 0 then
  local before, finished = 0, 0
  if flow then
    before, finished = struct.unpack('>dd', flow)
  end
  flow = struct.pack('>dd', before + count, finished + done)
  if count > 0 and tonumber(deadline) < next_due then
    next_due = tonumber(deadline)
    call('HSET', QUEUE, 'flow', flow, 'next', deadline)
  else
    call('HSET', QUEUE, 'flow', flow)
  end
  if steps >= 1 then
    local step
    if acknowledged and delivered then
      step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'acknowledged', acknowledged, 'delivered', delivered)
    elseif delivered then
      step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'delivered', delivered)
    else
      step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'acknowledged', acknowledged)
    end
    odd = type(step) == 'table' and 1 or odd
  end
end

if ARGV[9] ~= '' and not called and (count > 0 or ARGV[9] == '0') then
  attempt('SREM', IDLE, ARGV[8])
end
if waiting > count then
  for _ = 1, 64 do
    local entry = attempt('SPOP', IDLE)
    if type(entry) ~= 'string' then
      odd = entry and 1 or odd
      break
    end
    if call('PUBLISH', ARGV[3] .. string.sub(entry, 1, 12), ARGV[2] .. string.sub(entry, 13, 25)) > 0 and ARGV[4] ~= '1' then
      break
    end
  end
elseif count == 0 and limit > 0 and ARGV[8] ~= '' and ARGV[9] ~= '0' then
  local added = attempt('SADD', IDLE, ARGV[8])
  if type(added) == 'table' then
    odd = 1
  elseif added == 1 or call('PTTL', IDLE) < 15000 then
    call('PEXPIRE', IDLE, 30000)
  end
end
return {ids, values, deadline, called and -1 or string.format('%.0f', next_due - now), odd}
