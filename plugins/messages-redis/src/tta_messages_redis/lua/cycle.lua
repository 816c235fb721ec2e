-- ARGV: settings, queue, channel, all, hold (12 characters), limit, visibility (s, or ''), who is to be called if there is
-- nothing ('' if nobody waits; see IDLE in common.lua), '' if he wasn't yet, '1' if he is to be, or '0' if he was to be, and
-- won't wait any more; then what is done: hold and ids, with blanks between, by turns. Acknowledges, lets happen what is due, receives. Who
-- was called already gets nothing here: he has it, or hears of it.
-- Replies: who died; '' or a digit for each that is done; odd; ids, with blanks between; values; infos, or none; deadline (us);
-- us until the next is due, or -1: called.
local at, codes, good, stale, acknowledged = 10, nil, 0, 0, nil
if at < #ARGV then
  -- What is foreign has to come to light before anything is acknowledged: done again, that would seem to come too late.
  for _, list in ipairs({HIGH, NORMAL, LOW}) do
    call('LLEN', list)
  end
  for _, zset in ipairs({LEASE, DELAYED, TTL, DEAD}) do
    call('ZCARD', zset)
  end
  for _, hash in ipairs({BODY, INFO, HOLDS, LETTERS}) do
    call('HLEN', hash)
  end
end
while at < #ARGV do
  local hold, joined, those = ARGV[at], ARGV[at + 1], {}
  for id in string.gmatch(joined, '[^ ]+') do
    those[#those + 1] = id
  end
  if call('HGET', HOLDS, hold) == joined then
    -- All that it held: the way of nearly all.
    call('ZREM', LEASE, hold)
    call('HDEL', HOLDS, hold)
    open(those)
    call('HDEL', BODY, unpack(those))
    if odds[5] then
      call('HDEL', INFO, unpack(those))
    end
    if codes or at + 1 < #ARGV then
      codes = (codes or '') .. string.rep('1', #those)
    end
    good = good + #those
    acknowledged = acknowledged and acknowledged .. ' ' .. joined or joined
  else
    codes = codes or ''
    for _, id in ipairs(those) do
      if rare().leave(hold, id) then
        call('HDEL', BODY, id)
        call('HDEL', INFO, id)
        good, codes = good + 1, codes .. '1'
        acknowledged = acknowledged and acknowledged .. ' ' .. id or id
      else
        stale, codes = stale + 1, codes .. '0'
      end
    end
  end
  at = at + 2
end
local acks = stale > 0 and codes or ''
if stale > 0 and known then  -- A queue that was dropped has no numbers.
  count('stale', stale)
end

if now >= next_due then
  rare().sweep()
end

-- Is it foreign? Fail now, before anything is taken.
call('ZCARD', LEASE)
call('HLEN', HOLDS)
if timed then
  call('ZCARD', TTL)
end
local limit = tonumber(ARGV[6])
local called = false
if ARGV[9] ~= '' then
  local there = attempt('SISMEMBER', IDLE, ARGV[8])
  if type(there) == 'table' then
    odd = true
  elseif there == 0 then
    called, limit = true, 0
  end
end
local ids, values, infos, retried, full = {}, {}, {}, false, false
local high, normal, low = call('LLEN', HIGH), call('LLEN', NORMAL), call('LLEN', LOW)
local total = high + normal + low
local work = 20 * limit + 1000

-- Take messages from the head of a list, and clear away what is none on the way. One whose hold ran out may be what killed
-- its holder: it is taken first and alone, or stays where it is with all that come after it.
local function take(list, wanted)
  while wanted > 0 and work > 0 and not full do
    local got = call('LPOP', list, math.min(wanted, 1000))
    if not got then
      return
    end
    open(got)
    local bodies = attempt('HMGET', BODY, unpack(got))
    local told = odds[5] and attempt('HMGET', INFO, unpack(got)) or {}
    if bodies.err or told.err then
      for i = #got, 1, -1 do
        call('LPUSH', list, got[i])
      end
      error('WRONGTYPE ' .. (bodies.err and BODY or INFO))
    end
    work, total = work - #got, total - #got
    for i = 1, #got do
      local id, value, info = got[i], bodies[i], told[i]
      if value and not info and #value >= HEAD and struct.unpack('>d', value) > now then
        local n = #ids + 1
        ids[n], values[n], infos[n] = id, value, false
        wanted = wanted - 1
      else
        local R = rare()
        if not R.whole(value) then
          if info and string.byte(info) == 33 then
            call('HDEL', INFO, id)
            call('HINCRBY', QUEUE, 'g' .. string.sub(info, 2), -1)
          else
            R.corrupt(id, value)
          end
        else
          local attempts, err = R.history(info)
          if struct.unpack('>d', value) <= now then
            R.die(id, value, 'expired', err, attempts)
          else
            local n, rest = #ids + 1, i
            full = err == VANISHED
            if n == 1 or not full then
              ids[n], values[n], infos[n] = id, value, info
              retried = retried or info
              wanted, rest = wanted - 1, i + 1
            end
            if full then
              for j = #got, rest, -1 do
                call('LPUSH', list, got[j])
              end
              keep(list)
              total = total + #got - rest + 1
              return
            end
          end
        end
      end
    end
  end
end

if limit == 0 then
  work = 0
elseif (normal == total or high == total or low == total) and not odds[4] then
  take(normal == total and NORMAL or high == total and HIGH or LOW, limit)
else
  -- Whoever was passed over often enough has a turn before the one above it: first see whose turns these are.
  local ORDER = {HIGH, NORMAL, LOW}
  local function plan(count)
    local left = {high - (tonumber(odds[1]) or 0), normal - (tonumber(odds[2]) or 0), low - (tonumber(odds[3]) or 0)}
    local second, third = string.match(odds[4] or '', '^(%d+) (%d+)$')
    local passed = {0, tonumber(second) or 0, tonumber(third) or 0}
    local turns = {}
    for _ = 1, count do
      local chosen = left[1] > 0 and 1 or left[2] > 0 and 2 or left[3] > 0 and 3
      if not chosen then
        break
      end
      if STARVATION_LIMIT > 0 then
        for p = chosen + 1, 3 do
          if left[p] > 0 and passed[p] >= STARVATION_LIMIT then
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
    return turns, passed
  end

  local turns, passed = plan(limit)
  for _, turn in ipairs(turns) do
    take(ORDER[turn[1]], turn[2])
  end
  if full then
    turns, passed = plan(#ids)
  end
  if passed[2] + passed[3] > 0 then
    call('HSET', QUEUE, 'odds', 1, 'passed', passed[2] .. ' ' .. passed[3])
  elseif odds[4] then
    call('HDEL', QUEUE, 'passed')
  end
  -- What only looks as if it waited is cleared away from the head.
  if #ids < limit then
    for _, list in ipairs(ORDER) do
      take(list, limit - #ids)
    end
  end
end

local deadline, visibility, delivered = 0, 0, ''
if #ids > 0 then
  visibility = tonumber(ARGV[7]) or VISIBILITY
  deadline = now + visibility * 1000000
  delivered = table.concat(ids, ' ')
  call('HSET', HOLDS, ARGV[5], delivered)
  call('ZADD', LEASE, int(deadline), ARGV[5])
  if timed then
    call('ZREM', TTL, unpack(ids))
  end
  if deadline < next_due then
    next_due = deadline
  end
  if acknowledged then
    note('acknowledged', acknowledged, 'delivered', delivered)
  else
    note('delivered', delivered)
  end
elseif acknowledged then
  note('acknowledged', acknowledged)
end
if ARGV[9] ~= '' and not called and (#ids > 0 or ARGV[9] == '0') then
  attempt('SREM', IDLE, ARGV[8])
end
if total > 0 then
  wake()
elseif #ids == 0 and limit > 0 and ARGV[8] ~= '' and ARGV[9] ~= '0' then
  local added = attempt('SADD', IDLE, ARGV[8])
  if type(added) == 'table' then
    odd = true
  elseif added == 1 or call('PTTL', IDLE) < 15000 then
    call('PEXPIRE', IDLE, 30000)
  end
end
if #ids + good > 0 then
  delivered_count, done_count = delivered_count + #ids, done_count + good
  finish((LIFE + DEAD_LIFE + visibility) * 1000)
elseif #died > 0 or known and (stale > 0 or next_due ~= said_due) then
  finish()
end
return {
  died, acks, odd and 1 or 0, delivered, values, retried and infos or {}, int(deadline),
  called and -1 or int(math.max(0, next_due - now))
}
