-- What every script begins with: one queue's keys, its settings, the server's time, and what is due.
--
-- queue     HASH    settings, counters, g9 g5 g1 (ghosts in the lists), passed, until (ms), next (us)
-- body      HASH    id -> when it ends (us, a big-endian double), priority (a digit), owner (8 bytes), envelope
-- high...   LISTs   of ids that wait; a ghost is an id that waits no more: its body is gone, its info is '!'
-- info      HASH    id -> its hold's token, and ':' .. error after a first attempt; or '-' .. attempts .. ':' .. error
-- lease, delayed, ttl: ZSETs of id by time (us); dead: ZSET of id by death, letters: HASH of what is known of it
local QUEUE, BODY, HIGH, NORMAL, LOW, INFO, LEASE, DELAYED, TTL, SEEN0, SEEN1, DEAD, LETTERS, AUDIT, IDLE = unpack(KEYS)
local LISTS = {[57] = HIGH, [53] = NORMAL, [49] = LOW}
local HEAD, NEVER, SOME = 17, 9e15, 200
local call, attempt = redis.call, redis.pcall

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local state = call('HMGET', QUEUE, 'settings', 'until', 'next', 'g9', 'g5', 'g1', 'passed')
local readable, set = pcall(cmsgpack.unpack, state[1] or ARGV[1])
if not readable or type(set) ~= 'table' or #set ~= 13 then
  set = cmsgpack.unpack(ARGV[1])
end
local MAX_LENGTH, RETRIES, BASE, FACTOR, CAP, JITTER, VISIBILITY, LIFE, GUARD, WINDOW, DEAD_LIMIT, DEAD_LIFE, STEPS = unpack(set)
-- A thousand million seconds are for ever, and still a number that Redis can count with.
LIFE, DEAD_LIFE, VISIBILITY = math.min(LIFE, 1e9), math.min(DEAD_LIFE, 1e9), math.min(VISIBILITY, 1e9)
local ends = tonumber(state[2]) or 0
if ends < now / 1000 then
  ends = 0
end
local next_due = tonumber(state[3]) or 0
local said_due = next_due
local died, odd = {}, false

local function int(number)
  return string.format('%.0f', number)
end

-- Bookkeeping never undoes the work: where somebody else's value is in the way, say so, and go on.
local function count(field, by)
  if type(attempt('HINCRBY', QUEUE, field, by)) == 'table' then
    call('HSET', QUEUE, field, by)
  end
end

local function note(what, ids, detail, more, others)
  if STEPS < 1 then
    return
  end
  local done
  if more then
    done = attempt('XADD', AUDIT, 'MAXLEN', '~', STEPS, '*', what, ids, more, others)
  elseif detail and detail ~= '' then
    done = attempt('XADD', AUDIT, 'MAXLEN', '~', STEPS, '*', what, ids, 'detail', detail)
  else
    done = attempt('XADD', AUDIT, 'MAXLEN', '~', STEPS, '*', what, ids)
  end
  odd = odd or type(done) == 'table'
end

local function due_at(time)
  if time < next_due then
    next_due = time
  end
end

-- Call one of the processes that wait; one that is gone doesn't count. A Cluster's node can't tell, so there call them all.
local function wake(channel, name, all)
  for _ = 1, 64 do
    local process = attempt('SPOP', IDLE)
    if type(process) ~= 'string' then
      return
    end
    if call('PUBLISH', channel .. process, name) > 0 and not all then
      return
    end
  end
end

local function history(info)
  if info and string.byte(info) == 45 then
    local attempts, err = string.match(info, '^%-(%d+):(.*)$')
    return tonumber(attempts) or 0, err or ''
  end
  return 0, ''
end

local function is_held(info)
  local first = info and string.byte(info)
  return first and first ~= 45 and first ~= 33
end

-- Of a hold's token: 12 characters of whoever holds it, then how many attempts it was.
local function held_history(info)
  local attempts, err = string.match(info, '^............(%d+):?(.*)$')
  return tonumber(attempts) or 1, err or ''
end

local function whole(value)
  return value and #value >= HEAD and LISTS[string.byte(value, 9)] ~= nil
end

-- Let keys end with the queue; of a queue that hasn't an end yet `last` gives them one.
local function keep(...)
  if ends > 0 then
    local at = int(ends)
    for _, key in ipairs({...}) do
      call('PEXPIREAT', key, at)
    end
  end
end

local function ghost(id, value)
  local list = string.char(string.byte(value, 9))
  call('HSET', INFO, id, '!' .. list)
  call('HINCRBY', QUEUE, 'g' .. list, 1)
  keep(INFO)
end

-- Let the keys live on for as long as anything in them may (ms), and longer, so that this is rare.
local function last(life)
  local until_then = now / 1000 + life
  if ends < until_then then
    ends = until_then + life / 8 + 60000
    call('HSET', QUEUE, 'until', int(ends))
    keep(QUEUE, BODY, HIGH, NORMAL, LOW, INFO, LEASE, DELAYED, TTL, DEAD, LETTERS, AUDIT)
  end
end

local function a_life()
  return (LIFE + DEAD_LIFE) * 1000
end

local function finish(life)
  if next_due ~= said_due then
    call('HSET', QUEUE, 'next', int(next_due))
  end
  last(life or a_life())
end

local function die(id, value, reason, err, attempts)
  call('HDEL', BODY, id)
  call('HDEL', INFO, id)
  call('ZREM', TTL, id)
  local at = int(now + #died)
  call('ZADD', DEAD, at, id)
  call('HSET', LETTERS, id, struct.pack('>I4', #value) .. value .. reason .. '\n' .. attempts .. '\n' .. at .. '\n' .. err)
  local over = call('ZCARD', DEAD) - DEAD_LIMIT
  if over > 0 then
    local oldest = call('ZPOPMIN', DEAD, math.min(over, SOME))
    for i = 1, #oldest, 2 do
      call('HDEL', LETTERS, oldest[i])
    end
  end
  keep(DEAD, LETTERS)
  due_at(now + DEAD_LIFE * 1000000)
  count('died', 1)
  if reason == 'expired' then
    count('expired', 1)
  end
  note(reason == 'expired' and 'expired' or 'died', id, err)
  died[#died + 1] = {id, reason, value}
end

-- Put messages back into their lists, in order.
local function put_back(ids, values, head)
  local lists, some = {}, false
  for i, id in ipairs(ids) do
    local value = values[i]
    local expires = struct.unpack('>d', value)
    if expires <= now then
      local attempts, err = history(call('HGET', INFO, id))
      die(id, value, 'expired', err, attempts)
    else
      local list = LISTS[string.byte(value, 9)]
      lists[list] = lists[list] or {}
      table.insert(lists[list], id)
      call('ZADD', TTL, int(expires), id)
      due_at(expires)
      some = true
    end
  end
  for list, those in pairs(lists) do
    if head then
      for i = #those, 1, -1 do
        call('LPUSH', list, those[i])
      end
    else
      call('RPUSH', list, unpack(those))
    end
    keep(list)
  end
  if some then
    keep(TTL)
  end
  return some
end

-- Take what a time (us) has come for out of a ZSET: those with a body, and the bodies.
local function due(key)
  local ids = call('ZRANGEBYSCORE', key, '-inf', int(now), 'LIMIT', 0, SOME)
  if #ids == 0 then
    return ids, {}, {}, false
  end
  local values = call('HMGET', BODY, unpack(ids))
  local infos = call('HMGET', INFO, unpack(ids))
  call('ZREM', key, unpack(ids))
  return ids, values, infos, #ids == SOME
end

local function corrupt(id, value, err)
  die(id, value or id, 'corrupt', err, 0)
end

-- Let happen what is due; return how many holds have run out, and whether some were left for the next time.
local function sweep()
  local recovered, more = 0, false
  local ids, values, infos, rest = due(TTL)
  more = more or rest
  for i, id in ipairs(ids) do
    local value = values[i]
    if whole(value) and not is_held(infos[i]) then
      local waits = call('ZREM', DELAYED, id) == 0
      local attempts, err = history(infos[i])
      die(id, value, 'expired', err, attempts)
      if waits then
        ghost(id, value)
      end
    end
  end

  ids, values, infos, rest = due(DELAYED)
  more = more or rest
  local back, bodies = {}, {}
  for i, id in ipairs(ids) do
    if not whole(values[i]) then
      corrupt(id, values[i], values[i] and 'its body is no message' or 'its body is missing')
    else
      back[#back + 1], bodies[#bodies + 1] = id, values[i]
    end
  end
  put_back(back, bodies, false)

  ids, values, infos, rest = due(LEASE)
  more = more or rest
  back, bodies = {}, {}
  if #ids > 0 then
    note('recovered', table.concat(ids, ' '))
    recovered = #ids
    count('recovered', recovered)
  end
  for i, id in ipairs(ids) do
    local attempts = infos[i] and held_history(infos[i]) or 1
    if not whole(values[i]) then
      corrupt(id, values[i], values[i] and 'its body is no message' or 'its body is missing')
    elseif attempts > RETRIES then
      die(id, values[i], 'retries', 'its hold ran out', attempts)
    else
      call('HSET', INFO, id, '-' .. attempts .. ':its hold ran out')
      back[#back + 1], bodies[#bodies + 1] = id, values[i]
    end
  end
  if #back > 0 then
    keep(INFO)
    put_back(back, bodies, true)
  end

  local old = call('ZRANGEBYSCORE', DEAD, '-inf', int(now - DEAD_LIFE * 1000000), 'LIMIT', 0, SOME)
  if #old > 0 then
    call('ZREM', DEAD, unpack(old))
    call('HDEL', LETTERS, unpack(old))
  end

  next_due = more and 0 or NEVER
  for _, key in ipairs({LEASE, DELAYED, TTL}) do
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[2] then
      due_at(tonumber(first[2]))
    end
  end
  local oldest = call('ZRANGE', DEAD, 0, 0, 'WITHSCORES')
  if oldest[2] then
    due_at(tonumber(oldest[2]) + DEAD_LIFE * 1000000)
  end
  return recovered, more
end
