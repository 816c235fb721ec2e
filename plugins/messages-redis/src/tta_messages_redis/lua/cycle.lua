-- ARGV: settings, queue, channel, all, hold (12 characters), limit, visibility (s, or ''), process ('' if it won't wait),
-- then id and token of what is done. Acknowledges, lets happen what is due, receives.
-- Replies: who died; '' or a digit for each that is done; odd; ids; values; infos, or none; deadline (us); us until the next
-- is due.
local FIRST = 9
local done, acks = (#ARGV - FIRST + 1) / 2, ''
local acknowledged
if done > 0 then
  local ids, all = {}, true
  for i = 1, done do
    ids[i] = ARGV[FIRST + 2 * i - 2]
  end
  local infos = call('HMGET', INFO, unpack(ids))
  local valid, codes, mine = ids, {}, {}
  for i = 1, done do
    local token, info = ARGV[FIRST + 2 * i - 1], infos[i]
    if not (info and (info == token or string.sub(info, 1, #token + 1) == token .. ':')) or mine[ids[i]] then
      all, codes[i] = false, '0'
    else
      codes[i], mine[ids[i]] = '1', true
    end
  end
  if not all then
    valid = {}
    for i = 1, done do
      if codes[i] == '1' then
        valid[#valid + 1] = ids[i]
      end
    end
    acks = table.concat(codes)
    count('stale', done - #valid)
  end
  if #valid > 0 then
    call('ZREM', LEASE, unpack(valid))
    call('HDEL', INFO, unpack(valid))
    call('HDEL', BODY, unpack(valid))
    count('acknowledged', #valid)
    acknowledged = table.concat(valid, ' ')
  end
end

if now >= next_due then
  sweep()
  local again = call('HMGET', QUEUE, 'g9', 'g5', 'g1')
  state[4], state[5], state[6] = again[1], again[2], again[3]
end

local limit = tonumber(ARGV[6])
local ids, values, infos, retried = {}, {}, {}, false
local ORDER = {HIGH, NORMAL, LOW}
local waits, left, kinds, total = {}, {}, 0, 0
for p = 1, 3 do
  waits[p] = call('LLEN', ORDER[p])
  left[p] = waits[p] - (tonumber(state[3 + p]) or 0)
  if left[p] > 0 then
    kinds = kinds + 1
  end
  total = total + waits[p]
end
local work = 20 * limit + 1000

-- Take messages from the head of a list, and clear away what is none on the way.
local function take(p, wanted)
  local list = ORDER[p]
  while wanted > 0 and work > 0 do
    local got = call('LPOP', list, math.min(wanted, 1000))
    if not got then
      return
    end
    local bodies, told = attempt('HMGET', BODY, unpack(got)), attempt('HMGET', INFO, unpack(got))
    if bodies.err or told.err then
      for i = #got, 1, -1 do
        call('LPUSH', list, got[i])
      end
      error('WRONGTYPE ' .. (bodies.err and BODY or INFO))
    end
    work, total = work - #got, total - #got
    for i = 1, #got do
      local id, value, info = got[i], bodies[i], told[i]
      if not whole(value) then
        if info and string.byte(info) == 33 then
          call('HDEL', INFO, id)
          call('HINCRBY', QUEUE, 'g' .. string.sub(info, 2), -1)
        else
          corrupt(id, value, value and 'its body is no message' or 'its body is missing')
        end
      elseif not is_held(info) then
        if struct.unpack('>d', value) > now then
          local n = #ids + 1
          ids[n], values[n], infos[n] = id, value, info
          retried = retried or info
          wanted = wanted - 1
        else
          local attempts, err = history(info)
          die(id, value, 'expired', err, attempts)
        end
      end
    end
  end
end

if limit == 0 then
  work = 0
elseif kinds < 2 then
  for p = 1, 3 do
    if waits[p] > 0 then
      take(p, limit - #ids)
    end
  end
  if kinds == 1 and state[7] then
    call('HDEL', QUEUE, 'passed')
  end
else
  -- Whoever was passed over often enough has a turn before the one above it: first see whose turns these are.
  local second, third = string.match(state[7] or '', '^(%d+) (%d+)$')
  local passed = {0, tonumber(second) or 0, tonumber(third) or 0}
  local turns = {}
  for _ = 1, limit do
    local chosen = left[1] > 0 and 1 or left[2] > 0 and 2 or left[3] > 0 and 3
    if not chosen then
      break
    end
    if GUARD > 0 then
      for p = chosen + 1, 3 do
        if left[p] > 0 and passed[p] >= GUARD then
          chosen = p
          break
        end
      end
    end
    for p = 1, 3 do
      if left[p] > 0 and p > chosen then
        passed[p] = passed[p] + 1
      elseif left[p] <= 0 or p == chosen then
        passed[p] = 0
      end
    end
    left[chosen] = left[chosen] - 1
    local turn = turns[#turns]
    if turn and turn[1] == chosen then
      turn[2] = turn[2] + 1
    else
      turns[#turns + 1] = {chosen, 1}
    end
  end
  for _, turn in ipairs(turns) do
    take(turn[1], turn[2])
  end
  call('HSET', QUEUE, 'passed', passed[2] .. ' ' .. passed[3])
end

local deadline = 0
if #ids > 0 then
  local visibility = tonumber(ARGV[7]) or VISIBILITY
  local ms = math.floor(now / 1000 + visibility * 1000)
  deadline = ms * 1000
  local prefix, hold = int(ms), ARGV[5]
  local first = hold .. '1'
  local leases, holds = {}, {}
  for i = 1, #ids do
    local id, info = ids[i], infos[i]
    -- Of one batch, the first to be taken back is the first that was received.
    leases[2 * i - 1], leases[2 * i] = prefix .. string.sub(999 + i, 2), id
    holds[2 * i - 1] = id
    if info then
      local attempts, err = history(info)
      holds[2 * i] = hold .. (attempts + 1) .. ':' .. err
    else
      holds[2 * i] = first
    end
  end
  call('ZADD', LEASE, unpack(leases))
  call('HSET', INFO, unpack(holds))
  if call('EXISTS', TTL) == 1 then
    call('ZREM', TTL, unpack(ids))
  end
  keep(LEASE, INFO)
  due_at(deadline)
  count('delivered', #ids)
  local delivered = table.concat(ids, ' ')
  if acknowledged then
    note('acknowledged', acknowledged, nil, 'delivered', delivered)
  else
    note('delivered', delivered)
  end
  last(a_life() + visibility * 1000)
elseif acknowledged then
  note('acknowledged', acknowledged)
end
if total > 0 then
  wake(ARGV[3], ARGV[2], ARGV[4] == '1')
elseif #ids == 0 and limit > 0 and ARGV[8] ~= '' then
  if attempt('SADD', IDLE, ARGV[8]) == 1 or call('PTTL', IDLE) < 15000 then
    call('PEXPIRE', IDLE, 30000)
  end
end
if #ids > 0 or done > 0 or #died > 0 or next_due ~= said_due and state[2] then
  finish()
end
return {died, acks, odd and 1 or 0, ids, values, retried and infos or {}, int(deadline), int(math.max(0, next_due - now))}
