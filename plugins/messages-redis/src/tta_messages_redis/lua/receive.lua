-- Acknowledges, lets happen what is due, and receives, whatever the queue holds: the full path out, in one round trip.
-- See fast_receive.lua for the other.
--
-- ARGV: 1-4 see common.lua, 5 hold: the name of what is received, 6 limit, 7 visibility (s, or '' for the queue's), 8 entry: what
-- is to stand in IDLE if there is nothing, '' if the caller won't wait, 9 waiting: '' if the entry isn't there yet, '1' if it is,
-- '0' if it is and the caller won't wait any more; then what is done: hold and ids, with blanks between, by turns.
-- Replies: see common.lua; '' if all that is done was held, or a digit for each, '1' if it was; foreign; ids, with blanks between;
-- values; info of each (nothing if none has any); deadline (us); us until the next is due, or -1 if it was woken.
-- Atomicity: acknowledging a second time looks like coming too late. So whatever might fail is looked at before.
local FIRST = 10
local hold, limit, entry, waiting = ARGV[5], tonumber(ARGV[6]), ARGV[8], ARGV[9]
visibility = tonumber(ARGV[7]) or visibility
if FIRST < #ARGV then
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

-- Acknowledge. This comes before what is due: a hold that has run out, but that nobody has taken back, still counts.
local codes, acked, stale, acks = nil, 0, 0, nil
for at = FIRST, #ARGV, 2 do
  local of, joined, those = ARGV[at], ARGV[at + 1], {}
  for id in string.gmatch(joined, '[^ ]+') do
    those[#those + 1] = id
  end
  if call('HGET', HOLDS, of) == joined then
    -- All that it held: the way of nearly all.
    call('ZREM', LEASE, of)
    call('HDEL', HOLDS, of)
    call('HDEL', BODY, unpack(those))
    if has_info then
      call('HDEL', INFO, unpack(those))
    end
    if codes or at + 1 < #ARGV then
      codes = (codes or '') .. string.rep('1', #those)
    end
    acked = acked + #those
    acks = acks and acks .. ' ' .. joined or joined
  else
    codes = codes or ''
    for _, id in ipairs(those) do
      if rare().leave(of, id) then
        call('HDEL', BODY, id)
        call('HDEL', INFO, id)
        acked, codes = acked + 1, codes .. '1'
        acks = acks and acks .. ' ' .. id or id
      else
        stale, codes = stale + 1, codes .. '0'
      end
    end
  end
end
if stale > 0 and exists then  -- A queue that was dropped has no numbers.
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

-- It waits already, and its entry is gone: it was woken, or handed messages that are on their way. To take more now would
-- be more than it asked for.
local woken = false
if waiting ~= '' then
  local there = attempt('SISMEMBER', IDLE, entry)
  if type(there) == 'table' then
    foreign = true
  elseif there == 0 then
    woken, limit = true, 0
  end
end

local ids, values, infos, retried, alone = {}, {}, {}, false, false
local high, normal, low = call('LLEN', HIGH), call('LLEN', NORMAL), call('LLEN', LOW)
local total = high + normal + low
-- So many ids are looked at, at most: with more tombstones before it than that, a message comes with a later call.
local budget = 20 * limit + 1000

-- Take messages from the head of a list, and clear away tombstones on the way. A suspect may be what killed its holder: it is
-- taken first and alone, or stays where it is with all that come after it.
local function take(list, wanted)
  while wanted > 0 and budget > 0 and not alone do
    local got = call('LPOP', list, math.min(wanted, 1000))
    if not got then
      return
    end
    local bodies = attempt('HMGET', BODY, unpack(got))
    local told = has_info and attempt('HMGET', INFO, unpack(got)) or {}
    if bodies.err or told.err then
      for i = #got, 1, -1 do
        call('LPUSH', list, got[i])
      end
      error('WRONGTYPE ' .. (bodies.err and BODY or INFO))  -- The caller repairs it, and calls again.
    end
    budget, total = budget - #got, total - #got
    for i = 1, #got do
      local id, value, info = got[i], bodies[i], told[i]
      if value and not info and #value >= VALUE_SIZE and struct.unpack(EXPIRES, value) > now then
        local n = #ids + 1
        ids[n], values[n], infos[n] = id, value, false
        wanted = wanted - 1
      else
        local R = rare()
        if not R.whole(value) then
          local priority = R.tombstone_priority(info)
          if priority then
            R.clear_tombstone(id, priority)
          else
            R.corrupt(id, value)
          end
        else
          local attempts, err, suspect = R.read_retry(info)
          if struct.unpack(EXPIRES, value) <= now then
            R.die(id, value, 'expired', err, attempts)
          else
            local n, rest = #ids + 1, i
            alone = suspect  -- Nothing is taken after it.
            if n == 1 or not alone then
              ids[n], values[n], infos[n] = id, value, info
              retried = retried or info
              wanted, rest = wanted - 1, i + 1
            end
            if alone then
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
  budget = 0
elseif (normal == total or high == total or low == total) and not passed_over then
  take(normal == total and NORMAL or high == total and HIGH or LOW, limit)
else
  -- Whoever was passed over often enough has a turn before the one above it. First see whose turns these are, by numbers
  -- alone; then take as many from each list: taking one by one would cost a call each.
  local ORDER = {HIGH, NORMAL, LOW}
  local function plan(wanted)
    local left = {high - tombstones[HIGHEST], normal - tombstones[MIDDLE], low - tombstones[LOWEST]}
    local second, third = string.match(passed_over or '', '^(%d+) (%d+)$')
    local passed = {0, tonumber(second) or 0, tonumber(third) or 0}
    local turns = {}
    for _ = 1, wanted do
      local chosen = left[1] > 0 and 1 or left[2] > 0 and 2 or left[3] > 0 and 3
      if not chosen then
        break
      end
      if starvation_limit > 0 then
        for p = chosen + 1, 3 do
          if left[p] > 0 and passed[p] >= starvation_limit then
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
  if alone then
    turns, passed = plan(#ids)  -- Fewer had their turn than was planned.
  end
  if passed[2] + passed[3] > 0 then
    call('HSET', QUEUE, 'irregular', 1, 'passed-over', passed[2] .. ' ' .. passed[3])
  elseif passed_over then
    call('HDEL', QUEUE, 'passed-over')
  end
  -- The numbers may have been wrong, if somebody else has written there; then there is more than was planned.
  if #ids < limit then
    for _, list in ipairs(ORDER) do
      take(list, limit - #ids)
    end
  end
end

local deadline, joined = 0, ''
if #ids > 0 then
  deadline = now + visibility * 1000000
  joined = table.concat(ids, ' ')
  call('HSET', HOLDS, hold, joined)
  call('ZADD', LEASE, int(deadline), hold)
  if timed then
    call('ZREM', TTL, unpack(ids))  -- What is held doesn't expire.
  end
  next_due = math.min(next_due, deadline)
  if acks then
    note('acknowledged', acks, 'delivered', joined)
  else
    note('delivered', joined)
  end
elseif acks then
  note('acknowledged', acks)
end
if waiting ~= '' and not woken and (#ids > 0 or waiting == '0') then
  attempt('SREM', IDLE, entry)
end
if total > 0 then
  wake()  -- Something is left for somebody else.
elseif #ids == 0 and limit > 0 and entry ~= '' and waiting ~= '0' then
  local added = attempt('SADD', IDLE, entry)
  if type(added) == 'table' then
    foreign = true
  elseif added == 1 or call('PTTL', IDLE) < 15000 then
    call('PEXPIRE', IDLE, 30000)  -- Who waits looks once a second, so the entries of those that are gone end.
  end
end
if #ids + acked > 0 then
  delivered, acknowledged = delivered + #ids, acknowledged + acked
  finish((ttl + dead_ttl + visibility) * 1000)
elseif #died > 0 or exists and (stale > 0 or next_due ~= next_due_before) then
  finish()
end
return {
  died, stale > 0 and codes or '', foreign and 1 or 0, joined, values, retried and infos or {}, int(deadline),
  woken and -1 or int(math.max(0, next_due - now))
}
