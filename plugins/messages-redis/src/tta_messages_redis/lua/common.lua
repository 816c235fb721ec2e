-- What every script begins with: one queue's keys, its settings, the server's time, and what is due.
--
-- queue     HASH    settings; state, which all everyday work needs, packed: until (ms), next (us), how many were sent, delivered
--                   and acknowledged, bucket (of seen) and window (s), bundled (see body), and LISTED (it is in the index of all queues) + TIMED
--                   (some are in ttl); other counters; odds is there if these may be: g9 g5 g1 (ghosts in the lists), passed (see
--                   starvation_limit), told (messages that nobody holds may have an info)
-- body      HASH    id -> when it ends (us, a big-endian double), priority (a digit), owner (8 bytes), envelope; or, all that one
--                   call has sent in a bundle: blank and mark -> how many (4 bytes), the values of mark.0, mark.1..., each after
--                   its length (4 bytes). Its ids wait side by side, or are in one hold; for whatever happens to some of them, it is opened.
--                   bundled is how many more messages than fields that makes
-- high...   LISTs   of ids that wait; a ghost is an id that waits no more: its body is gone, its info is '!'
-- info      HASH    id -> '-' .. how often it was received .. ':' .. error, of those that come again
-- holds     HASH    hold -> the ids that are held, with blanks between; of one that was extended: hold/id -> id
-- lease     ZSET    holds by when they run out (us)
-- delayed, ttl: ZSETs of ids by time (us); dead: ZSET of ids by death, letters: HASH of what is known of them
-- idle      SET     of who waits: process, hold, how many, for how long (s, or '-'), with blanks between. He is called, and so
--                   no longer in it: by queue and hold, to look for himself; or, by quick_send, with messages, in that hold
-- seen-0, seen-1: SETs by turns for a window each: of ids, and of marks, each after a blank. A mark stands for all ids that
--                   are made of it, a dot and a number: those of one call of send, if they were made up, and accepted, all of them
local QUEUE, BODY, HIGH, NORMAL, LOW, INFO, HOLDS, LEASE, DELAYED, TTL, SEEN0, SEEN1, DEAD, LETTERS, AUDIT, IDLE =
  unpack(KEYS)
local HEAD, NEVER, SOME, VANISHED = 17, 9e15, 200, 'its hold ran out'
local call, attempt = redis.call, redis.pcall

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local STATE, LISTED, TIMED = '>dddddddI4B', 1, 2
local kept = call('HMGET', QUEUE, 'settings', 'state', 'odds')
local odds = kept[3] and call('HMGET', QUEUE, 'g9', 'g5', 'g1', 'passed', 'told') or {}
local packed, state = kept[1], kept[2]
local known = state
if not state or #state ~= 61 then
  state = struct.pack(STATE, 0, 0, 0, 0, 0, 0, 0, 0, TIMED)
end
if not packed or #packed ~= 104 then
  packed = ARGV[1]
end
local MAX_LENGTH, RETRIES, BASE, FACTOR, CAP, JITTER, VISIBILITY, LIFE, STARVATION_LIMIT, WINDOW, DEAD_LIMIT, DEAD_LIFE, STEPS =
  struct.unpack('>ddddddddddddd', packed)
-- A thousand million seconds are for ever, and still a number that Redis can count with.
if LIFE > 1e9 then
  LIFE = 1e9
end
if DEAD_LIFE > 1e9 then
  DEAD_LIFE = 1e9
end
if VISIBILITY > 1e9 then
  VISIBILITY = 1e9
end
if WINDOW > 1e9 then
  WINDOW = 1e9
end
local ends, next_due, sent_count, delivered_count, done_count, seen_turn, seen_window, bundled, flags =
  struct.unpack(STATE, state)
local listed, timed = flags % 2 == LISTED, flags >= TIMED
if ends < now / 1000 then
  ends = 0
end
local said_due, died, odd = next_due, {}, false

local function int(number)
  return string.format('%.0f', number)
end

-- Bookkeeping never undoes the work: where somebody else's value is in the way, say so, and go on.
local function count(field, by)
  local all = attempt('HINCRBY', QUEUE, field, by)
  if type(all) == 'table' then
    call('HSET', QUEUE, field, by)
    return by
  end
  return all
end

local function note(what, ids, more, others)
  if STEPS >= 1 then
    local done
    if more then
      done = attempt('XADD', AUDIT, 'MAXLEN', '~', STEPS, '*', what, ids, more, others)
    else
      done = attempt('XADD', AUDIT, 'MAXLEN', '~', STEPS, '*', what, ids)
    end
    odd = odd or type(done) == 'table'
  end
end

-- Put the bodies of what is in a bundle under their own ids, for all bundles that hold some of these.
local function open(ids)
  local last
  for _, id in ipairs(ids) do
    local mark = string.match(id, '^(.+)%.%d+$')
    local bundle = mark and mark ~= last and call('HGET', BODY, ' ' .. mark)
    last = mark
    if bundle then
      local at, count = 5, 0
      while at + 3 <= #bundle do
        local size = struct.unpack('>I4', bundle, at)
        call('HSET', BODY, mark .. '.' .. count, string.sub(bundle, at + 4, at + 3 + size))
        at, count = at + 4 + size, count + 1
      end
      call('HDEL', BODY, ' ' .. mark)
      bundled = math.max(0, bundled - count + 1)
    end
  end
end

if state ~= known then
  -- What it said is lost: nobody knows what is in bundles.
  local some = {}
  for _, field in ipairs(call('HKEYS', BODY)) do
    some[#some + 1] = string.match(field, '^ ') and string.sub(field, 2) .. '.0' or nil
  end
  open(some)
end

-- Let keys end with the queue; of a queue that hasn't an end yet `finish` gives them one.
local function keep(...)
  if ends > 0 then
    local at = int(ends)
    for _, key in ipairs({...}) do
      call('PEXPIREAT', key, at)
    end
  end
end

-- Let the keys live on for as long as anything in them may (ms), and longer, so that this is rare. A queue that has an end
-- has an entry of its own in holds and lease, with which these never get empty: so they keep theirs.
local function finish(life)
  local least = now / 1000 + (life or (LIFE + DEAD_LIFE) * 1000)
  local longer = ends < least
  if longer then
    ends = least + (least - now / 1000) / 8 + 60000
  end
  flags = (listed and LISTED or 0) + (timed and TIMED or 0)
  local last = struct.pack(
    STATE, ends, next_due, sent_count, delivered_count, done_count, seen_turn, seen_window, bundled, flags
  )
  if last ~= state then
    call('HSET', QUEUE, 'state', last)
  end
  if longer then
    call('HSET', HOLDS, ' ', '')
    call('ZADD', LEASE, '+inf', ' ')
    if STEPS >= 1 and call('EXISTS', AUDIT) == 0 then
      call('XDEL', AUDIT, call('XADD', AUDIT, '*', '', ''))  -- It is there now, empty, and ends with the others.
    end
    keep(QUEUE, BODY, HIGH, NORMAL, LOW, INFO, HOLDS, LEASE, DELAYED, TTL, DEAD, LETTERS, AUDIT)
  end
end

-- Call one of those who wait; a process that is gone doesn't count. A Cluster's node can't tell, so there call them all.
local function wake()
  for _ = 1, 64 do
    local entry = attempt('SPOP', IDLE)
    if type(entry) ~= 'string' then
      odd = odd or type(entry) == 'table'
      return
    end
    if call('PUBLISH', ARGV[3] .. string.sub(entry, 1, 12), ARGV[2] .. string.sub(entry, 13, 25)) > 0 and ARGV[4] ~= '1' then
      return
    end
  end
end

-- All that isn't everyday work: made only when it is needed, since making functions costs time.
local made
local function rare()
  if made then
    return made
  end
  local R = {}
  made = R
  local LISTS = {[57] = HIGH, [53] = NORMAL, [49] = LOW}
  R.LISTS = LISTS

  function R.due_at(time)
    if time < next_due then
      next_due = time
    end
  end

  -- Of a message that nobody holds: how often it was received, and what went wrong.
  function R.history(info)
    if info and string.byte(info) == 45 then
      local attempts, err = string.match(info, '^%-(%d+):(.*)$')
      return tonumber(attempts) or 0, err or ''
    end
    return 0, ''
  end

  -- Take an id out of a hold; false if the hold doesn't have it (any more).
  function R.leave(hold, id)
    local ids, rest = call('HGET', HOLDS, hold), ''
    open({id})
    local padded = ' ' .. (ids or '') .. ' '
    local from, to = string.find(padded, ' ' .. id .. ' ', 1, true)
    if from then
      rest = string.match(string.sub(padded, 1, from) .. string.sub(padded, to + 1), '^ *(.-) *$')
    else
      hold = hold .. '/' .. id
      if call('HGET', HOLDS, hold) ~= id then
        return false
      end
    end
    if rest == '' then
      call('HDEL', HOLDS, hold)
      call('ZREM', LEASE, hold)
    else
      call('HSET', HOLDS, hold, rest)
    end
    return true
  end

  -- All that is held: id -> hold.
  function R.held()
    local found = {}
    local all = call('HGETALL', HOLDS)
    for i = 1, #all, 2 do
      for id in string.gmatch(all[i + 1], '[^ ]+') do
        found[id] = string.sub(all[i], 1, 12)
      end
    end
    return found
  end

  function R.whole(value)
    return value and #value >= HEAD and LISTS[string.byte(value, 9)] ~= nil
  end

  function R.tell(id, info)
    call('HSET', INFO, id, info)
    call('HSET', QUEUE, 'odds', 1, 'told', 1)
    keep(INFO)
  end

  -- Ghosts go when their turn comes; but where nobody receives, it never does: so there may not be many more than messages.
  local function exorcise(digit)
    local list, left = LISTS[string.byte(digit)], {}
    local ids = call('LRANGE', list, 0, -1)
    for from = 1, #ids, SOME do
      local to, gone = math.min(from + SOME - 1, #ids), {}
      for i, info in ipairs(call('HMGET', INFO, unpack(ids, from, to))) do
        local id = ids[from + i - 1]
        if info and string.byte(info) == 33 then
          gone[#gone + 1] = id
        else
          left[#left + 1] = id
        end
      end
      if #gone > 0 then
        call('HDEL', INFO, unpack(gone))
      end
    end
    call('DEL', list)
    for from = 1, #left, SOME do
      call('RPUSH', list, unpack(left, from, math.min(from + SOME - 1, #left)))
    end
    keep(list)
    call('HSET', QUEUE, 'g' .. digit, 0)
  end

  function R.ghost(id, value)
    local list = string.char(string.byte(value, 9))
    R.tell(id, '!' .. list)
    local ghosts = call('HINCRBY', QUEUE, 'g' .. list, 1)
    if ghosts > SOME and 2 * ghosts > call('LLEN', LISTS[string.byte(list)]) then
      exorcise(list)
    end
  end

  -- An id is about to wait again, and its ghost from the last time may still be in a list.
  function R.lay(id)
    local info = call('HGET', INFO, id)
    if info and string.byte(info) == 33 then
      local was = string.sub(info, 2)
      if call('LREM', LISTS[string.byte(was)], 1, id) == 1 then
        call('HINCRBY', QUEUE, 'g' .. was, -1)
      end
      call('HDEL', INFO, id)
    end
  end

  function R.limit(id, expires)
    call('ZADD', TTL, int(math.min(expires, NEVER)), id)
    timed = true
    keep(TTL)
    R.due_at(expires)
  end

  function R.die(id, value, reason, err, attempts)
    call('HDEL', BODY, id)
    call('HDEL', INFO, id)
    call('ZREM', TTL, id)
    local at = int(now + #died)
    call('ZADD', DEAD, at, id)
    local letter = reason .. '\n' .. attempts .. '\n' .. at .. '\n' .. err
    call('HSET', LETTERS, id, struct.pack('>I4', #value) .. value .. letter)
    local over = call('ZCARD', DEAD) - DEAD_LIMIT
    if over > 0 then
      local oldest = call('ZPOPMIN', DEAD, math.min(over, SOME))
      for i = 1, #oldest, 2 do
        call('HDEL', LETTERS, oldest[i])
      end
    end
    keep(DEAD, LETTERS)
    R.due_at(now + DEAD_LIFE * 1000000)
    count('died', 1)
    if reason == 'expired' then
      count('expired', 1)
    end
    note(reason == 'expired' and 'expired' or 'died', id, 'detail', err)
    died[#died + 1] = {id, reason, value, err}
  end

  function R.corrupt(id, value)
    R.die(id, value or id, 'corrupt', value and 'its body is no message' or 'its body is missing', 0)
  end

  -- Put messages back into their lists, in order.
  function R.put_back(ids, values, head)
    local lists = {}
    for i, id in ipairs(ids) do
      local value = values[i]
      local expires = struct.unpack('>d', value)
      if expires <= now then
        local attempts, err = R.history(call('HGET', INFO, id))
        R.die(id, value, 'expired', err, attempts)
      else
        local list = LISTS[string.byte(value, 9)]
        lists[list] = lists[list] or {}
        table.insert(lists[list], id)
        R.limit(id, expires)
      end
    end
    for list, those in pairs(lists) do
      if head then
        for i = #those, 1, -1 do
          call('LPUSH', list, those[i])
        end
      else
        for _, id in ipairs(those) do
          call('RPUSH', list, id)
        end
      end
      keep(list)
    end
  end

  -- Give back unharmed what was held, to the head and in order.
  function R.release(ids)
    local back, bodies = {}, {}
    open(ids)
    for _, id in ipairs(ids) do
      local value = call('HGET', BODY, id)
      if R.whole(value) then
        back[#back + 1], bodies[#bodies + 1] = id, value
      else
        R.corrupt(id, value)
      end
    end
    if #back > 0 then
      note('retried', table.concat(back, ' '), 'detail', 'released')
      R.put_back(back, bodies, true)
      wake()
    end
    return #back
  end

  -- Take out of a ZSET what a time (us) has come for, and whether there may be more.
  local function due(key)
    local found = call('ZRANGEBYSCORE', key, '-inf', int(now), 'LIMIT', 0, SOME)
    if #found > 0 then
      call('ZREM', key, unpack(found))
    end
    return found, #found == SOME
  end

  local function expire()
    local ids, more = due(TTL)
    for _, id in ipairs(ids) do
      local value = call('HGET', BODY, id)
      if R.whole(value) then
        local waits = call('ZREM', DELAYED, id) == 0
        local attempts, err = R.history(call('HGET', INFO, id))
        R.die(id, value, 'expired', err, attempts)
        if waits then
          R.ghost(id, value)
        end
      end
    end
    return more
  end

  local function promote()
    local ids, more = due(DELAYED)
    local back, bodies = {}, {}
    for _, id in ipairs(ids) do
      local value = call('HGET', BODY, id)
      if R.whole(value) then
        back[#back + 1], bodies[#bodies + 1] = id, value
      else
        R.corrupt(id, value)
      end
    end
    R.put_back(back, bodies, false)
    return more
  end

  local function take_back()
    local holds = call('ZRANGEBYSCORE', LEASE, '-inf', int(now), 'LIMIT', 0, SOME)
    local back, bodies, all, more = {}, {}, {}, #holds == SOME
    for _, hold in ipairs(holds) do
      if #all >= 1000 then  -- The others next time: a hold may have as many, and meanwhile nobody else has a turn.
        more = true
        break
      end
      for id in string.gmatch(call('HGET', HOLDS, hold) or '', '[^ ]+') do
        all[#all + 1] = id
      end
      call('ZREM', LEASE, hold)
      call('HDEL', HOLDS, hold)
    end
    open(all)
    if #all > 0 then
      note('recovered', table.concat(all, ' '))
      count('recovered', #all)
    end
    for _, id in ipairs(all) do
      local value = call('HGET', BODY, id)
      local attempts = R.history(call('HGET', INFO, id)) + 1
      if not R.whole(value) then
        R.corrupt(id, value)
      elseif attempts > RETRIES then
        R.die(id, value, 'retries', VANISHED, attempts)
      else
        R.tell(id, '-' .. attempts .. ':' .. VANISHED)
        back[#back + 1], bodies[#bodies + 1] = id, value
      end
    end
    R.put_back(back, bodies, true)
    return #all, more
  end

  -- Let happen what is due; return how many holds have run out, and whether some were left for the next time.
  function R.sweep()
    local more = expire()
    more = promote() or more
    local recovered, rest = take_back()
    more = rest or more
    local old = call('ZRANGEBYSCORE', DEAD, '-inf', int(now - DEAD_LIFE * 1000000), 'LIMIT', 0, SOME)
    if #old > 0 then
      call('ZREM', DEAD, unpack(old))
      call('HDEL', LETTERS, unpack(old))
    end

    if bundled > 0 and call('HLEN', BODY) == 0 then
      bundled = 0  -- Somebody else took a bundle away.
    end
    next_due = more and 0 or NEVER
    for key, life in pairs({[LEASE] = 0, [DELAYED] = 0, [TTL] = 0, [DEAD] = DEAD_LIFE * 1000000}) do
      local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
      if first[2] then
        R.due_at(tonumber(first[2]) + life)
      elseif key == TTL then
        timed = false
      end
    end
    if call('HLEN', INFO) == 0 then
      call('HDEL', QUEUE, 'told', 'g9', 'g5', 'g1')
    end
    odds = call('HMGET', QUEUE, 'g9', 'g5', 'g1', 'passed', 'told')
    if not (odds[1] or odds[2] or odds[3] or odds[4] or odds[5]) then
      call('HDEL', QUEUE, 'odds')
    end
    return recovered, more
  end

  return R
end
