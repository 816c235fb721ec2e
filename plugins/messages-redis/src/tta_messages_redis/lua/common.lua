-- The first part of send, receive, settle and admin: it reads a queue's state and settings, and has what several of them do.
-- What every key and packed field is stands in STORAGE.md; the names in capitals that are nowhere defined here are made of
-- layout.py: keys (QUEUE, BODY...), formats and sizes of packed strings, positions of fields in them.
--
-- ARGV of all four: 1 the settings of the calling process, 2 the queue's name, 3 the channel on which processes are woken,
-- without their name, 4 '1' on a Cluster, then what the script itself says.
-- Replies of all four: first who died, each as id, reason, value and error; what the script says; and in third place 1 if a
-- key that the work doesn't depend on holds something foreign, so that the caller has it repaired.
-- Atomicity: Redis runs a script alone, but doesn't undo what it did before an error. So a script touches each key whose type
-- it relies on before the first write (LLEN, ZCARD and HLEN fail on a foreign type), or uses `attempt`, which doesn't raise.
local SOME = 200  -- of what is due, so many at a time: the others wait for the next script, so that no call is long.
local NEVER = 9e15  -- us; still exact as a double
local call, attempt = redis.call, redis.pcall

local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = call('HMGET', QUEUE, 'settings', 'state', 'irregular')
local packed, state = kept[1], kept[2]

-- A newer release may mean something else by all that is here: touch nothing, and say so. Anything else that we can't
-- read is foreign, and replaced.
for _, each in ipairs({state or '', packed or ''}) do
  local mark = #each >= VERSION_MARK_SIZE and struct.unpack(VERSION_MARK, each) or 0
  if mark > MARK and mark <= NEWEST_MARK then
    return redis.error_reply('NEWERSTORAGE ' .. QUEUE .. ' has storage version ' .. mark - MARK + VERSION
      .. ', and this release knows versions up to ' .. VERSION)
  end
end
-- Whether the queue is there: one that was never used, or was dropped, doesn't begin by being looked at.
local exists = state ~= false
if not state or #state ~= STATE_SIZE or struct.unpack(VERSION_MARK, state) ~= MARK then
  -- TIMED, since there may be something in TTL: the first look there finds out.
  state = struct.pack(STATE, MARK, 0, 0, 0, 0, 0, 0, 0, TIMED)
end
if not packed or #packed ~= SETTINGS_SIZE or struct.unpack(VERSION_MARK, packed) ~= MARK then
  packed = ARGV[1]
end
local mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags = struct.unpack(STATE, state)
local _, max_length, retries, backoff_base, backoff_factor, backoff_cap, jitter, visibility, ttl, starvation_limit,
  dedup_window, dead_limit, dead_ttl, audit_limit = struct.unpack(SETTINGS, packed)
-- A thousand million seconds are for ever, and still a number that Redis can count with.
visibility, ttl = math.min(visibility, 1e9), math.min(ttl, 1e9)
dedup_window, dead_ttl = math.min(dedup_window, 1e9), math.min(dead_ttl, 1e9)

-- `irregular` is there while one of these may be: without it, one field is read instead of six. While it is there,
-- fast_receive isn't eligible, nor is fast_send for ids that were chosen.
local tombstones, passed_over, has_info
local function read_irregular(there)
  local fields = {'tombstones-9', 'tombstones-5', 'tombstones-1', 'passed-over', 'has-info'}
  local found = there and call('HMGET', QUEUE, unpack(fields)) or {}
  tombstones = {
    [HIGHEST] = tonumber(found[1]) or 0, [MIDDLE] = tonumber(found[2]) or 0, [LOWEST] = tonumber(found[3]) or 0
  }
  passed_over, has_info = found[4], found[5]
  return #found > 0 and (found[1] or found[2] or found[3] or passed_over or has_info)
end
read_irregular(kept[3])

local listed, timed = flags % 2 == LISTED, flags >= TIMED
if ends < now / 1000 then
  ends = 0
end
local next_due_before, died, foreign = next_due, {}, false

-- Lua writes large numbers as 1e+15, which Redis doesn't take as whole ones.
local function int(number)
  return string.format('%.0f', number)
end

-- Bookkeeping never undoes the work: where somebody else's value is in the way, it is overwritten, or told.
local function count(field, by)
  local all = attempt('HINCRBY', QUEUE, field, by)
  if type(all) == 'table' then
    call('HSET', QUEUE, field, by)
    return by
  end
  return all
end

local function note(what, ids, field, value)
  if audit_limit >= 1 then
    local done
    if field then
      done = attempt('XADD', AUDIT, 'MAXLEN', '~', audit_limit, '*', what, ids, field, value)
    else
      done = attempt('XADD', AUDIT, 'MAXLEN', '~', audit_limit, '*', what, ids)
    end
    foreign = foreign or type(done) == 'table'
  end
end

-- Let keys end with the queue. Redis drops a key that gets empty, and its end with it, so this comes after each write that may
-- have made one anew. Of a queue that hasn't an end yet, `finish` gives all keys one.
local function keep(...)
  if ends > 0 then
    local at = int(ends)
    for _, key in ipairs({...}) do
      call('PEXPIREAT', key, at)
    end
  end
end

-- Write the state, and let the keys live on for as long as anything in them may (ms): an eighth longer, so that this is rare.
-- HOLDS and LEASE have then an entry of their own with which they never get empty, since of all keys they would do so most
-- often: the fast path may rely on their having an end.
local function finish(life)
  local least = now / 1000 + (life or (ttl + dead_ttl) * 1000)
  local longer = ends < least
  if longer then
    ends = least + (least - now / 1000) / 8 + 60000
  end
  flags = (listed and LISTED or 0) + (timed and TIMED or 0)
  local last = struct.pack(STATE, mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags)
  if last ~= state then
    call('HSET', QUEUE, 'state', last)
  end
  if longer then
    call('HSET', HOLDS, ' ', '')
    call('ZADD', LEASE, '+inf', ' ')
    if audit_limit >= 1 and call('EXISTS', AUDIT) == 0 then
      call('XDEL', AUDIT, call('XADD', AUDIT, '*', '', ''))  -- It is there now, empty, and ends with the others.
    end
    keep(QUEUE, BODY, HIGH, NORMAL, LOW, INFO, HOLDS, LEASE, DELAYED, TTL, DEAD, LETTERS, AUDIT)
  end
end

-- Wake one of those who wait. PUBLISH says how many heard it: a process that is gone doesn't count, and the next is tried. On a
-- Cluster it counts only who listens at this very node, so there all are woken. At most 64 are tried: where more processes have
-- vanished than that, the others look by themselves within a second.
local function wake()
  for _ = 1, 64 do
    local entry = attempt('SPOP', IDLE)
    if type(entry) ~= 'string' then
      foreign = foreign or type(entry) == 'table'
      return
    end
    local process, hold = string.match(entry, '^(%S+) (%S+)')
    if process and call('PUBLISH', ARGV[3] .. process, ARGV[2] .. ' ' .. hold) > 0 and ARGV[4] ~= '1' then
      return
    end
  end
end

-- All that isn't everyday work: made only when it is needed, since making functions costs a tenth of a script's time.
local made
local function rare()
  if made then
    return made
  end
  local R = {}
  made = R
  local LISTS = {[HIGHEST] = HIGH, [MIDDLE] = NORMAL, [LOWEST] = LOW}
  R.LISTS = LISTS

  function R.due_at(time)
    next_due = math.min(next_due, time)
  end

  -- How often a message was received before it came to whoever has it now, what went wrong the last time, and whether its
  -- last holder vanished.
  function R.read_retry(info)
    if info and #info >= RETRY_SIZE and string.byte(info) == RETRY_KIND then
      local _, attempts, suspect = struct.unpack(RETRY, info)
      return attempts, string.sub(info, RETRY_SIZE + 1), suspect == 1
    end
    return 0, '', false
  end

  -- In which list the id of a message is that is gone; nil if this is no tombstone.
  function R.tombstone_priority(info)
    if info and #info == TOMBSTONE_SIZE and string.byte(info) == TOMBSTONE_KIND then
      local _, priority = struct.unpack(TOMBSTONE, info)
      return LISTS[priority] and priority
    end
  end

  function R.priority(value)
    return string.byte(value, VALUE_PRIORITY_AT)
  end

  function R.whole(value)
    return value and #value >= VALUE_SIZE and LISTS[R.priority(value)] ~= nil
  end

  -- Take an id out of a hold; false if the hold doesn't have it (any more).
  function R.leave(hold, id)
    local ids, rest = call('HGET', HOLDS, hold), ''
    local padded = ' ' .. (ids or '') .. ' '
    local from, to = string.find(padded, ' ' .. id .. ' ', 1, true)
    if from then
      rest = string.match(string.sub(padded, 1, from) .. string.sub(padded, to + 1), '^ *(.-) *$')
    else
      hold = hold .. '/' .. id  -- It was extended, and has a hold of its own since.
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
        found[id] = string.sub(all[i], 1, HOLD_SIZE)
      end
    end
    return found
  end

  -- The fast path looks at no INFO, and so leaves the queue to the full one until all of it is gone.
  function R.set_info(id, info)
    call('HSET', INFO, id, info)
    call('HSET', QUEUE, 'irregular', 1, 'has-info', 1)
    keep(INFO)
  end

  -- Write a list anew without its tombstones. They go when their turn comes; but where nobody receives it never does, so there
  -- may not be many more of them than messages.
  local function compact(priority)
    local list, left = LISTS[priority], {}
    local ids = call('LRANGE', list, 0, -1)
    for from = 1, #ids, SOME do
      local to, gone = math.min(from + SOME - 1, #ids), {}
      for i, info in ipairs(call('HMGET', INFO, unpack(ids, from, to))) do
        local id = ids[from + i - 1]
        if R.tombstone_priority(info) then
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
    call('HSET', QUEUE, 'tombstones-' .. priority, 0)
  end

  -- Of a message that is gone its id stays in the list, since LREM would look at all of it: a tombstone says so.
  function R.leave_tombstone(id, value)
    local priority = R.priority(value)
    R.set_info(id, struct.pack(TOMBSTONE, TOMBSTONE_KIND, priority))
    local all = count('tombstones-' .. priority, 1)
    if all > SOME and 2 * all > call('LLEN', LISTS[priority]) then
      compact(priority)
    end
  end

  -- An id was taken out of its list, and is no message but a tombstone.
  function R.clear_tombstone(id, priority)
    call('HDEL', INFO, id)
    count('tombstones-' .. priority, -1)
  end

  -- An id is about to wait again, and may still be in a list as a tombstone: there it would be taken for the new message.
  function R.remove_tombstone(id)
    local priority = R.tombstone_priority(call('HGET', INFO, id))
    if priority then
      if call('LREM', LISTS[priority], 1, id) == 1 then
        count('tombstones-' .. priority, -1)
      end
      call('HDEL', INFO, id)
    end
  end

  -- Let a message that waits die at its time, though nobody receives.
  function R.set_expiry(id, expires)
    call('ZADD', TTL, int(math.min(expires, NEVER)), id)
    timed = true
    keep(TTL)
    R.due_at(expires)
  end

  function R.die(id, value, reason, err, attempts)
    call('HDEL', BODY, id)
    call('HDEL', INFO, id)
    call('ZREM', TTL, id)
    local at = now + #died  -- a microsecond each, so that they are shown in the order of their death
    call('ZADD', DEAD, int(at), id)
    call('HSET', LETTERS, id, struct.pack(LETTER, attempts, at, #value) .. value .. reason .. '\n' .. err)
    local over = call('ZCARD', DEAD) - dead_limit
    if over > 0 then
      local oldest = call('ZPOPMIN', DEAD, math.min(over, SOME))
      for i = 1, #oldest, 2 do
        call('HDEL', LETTERS, oldest[i])
      end
    end
    keep(DEAD, LETTERS)
    R.due_at(now + dead_ttl * 1000000)
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
      local expires = struct.unpack(EXPIRES, value)
      if expires <= now then
        local attempts, err = R.read_retry(call('HGET', INFO, id))
        R.die(id, value, 'expired', err, attempts)
      else
        local list = LISTS[R.priority(value)]
        lists[list] = lists[list] or {}
        table.insert(lists[list], id)
        R.set_expiry(id, expires)  -- What is held doesn't expire, and what waits does.
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

  -- The messages of some ids, by ids and values; an id without one is a dead letter.
  function R.messages(ids)
    local found, values = {}, {}
    for _, id in ipairs(ids) do
      local value = call('HGET', BODY, id)
      if R.whole(value) then
        found[#found + 1], values[#values + 1] = id, value
      else
        R.corrupt(id, value)
      end
    end
    return found, values
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
        local attempts, err = R.read_retry(call('HGET', INFO, id))
        R.die(id, value, 'expired', err, attempts)
        if waits then
          R.leave_tombstone(id, value)
        end
      end
    end
    return more
  end

  local function promote()
    local ids, more = due(DELAYED)
    local back, values = R.messages(ids)
    R.put_back(back, values, false)
    return more
  end

  -- Take back what was held for too long. Whoever held it may be gone because of it: it is suspect from now on.
  local function take_back()
    local holds = call('ZRANGEBYSCORE', LEASE, '-inf', int(now), 'LIMIT', 0, SOME)
    local back, values, all, more = {}, {}, {}, #holds == SOME
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
    if #all > 0 then
      note('recovered', table.concat(all, ' '))
      count('recovered', #all)
    end
    for _, id in ipairs(all) do
      local value = call('HGET', BODY, id)
      local attempts = R.read_retry(call('HGET', INFO, id)) + 1
      if not R.whole(value) then
        R.corrupt(id, value)
      elseif attempts > retries then
        R.die(id, value, 'retries', VANISHED, attempts)
      else
        R.set_info(id, struct.pack(RETRY, RETRY_KIND, attempts, 1) .. VANISHED)
        back[#back + 1], values[#values + 1] = id, value
      end
    end
    R.put_back(back, values, true)
    return #all, more
  end

  -- Let happen what is due; return how many messages were taken back, and whether some were left for the next time.
  function R.sweep()
    local more = expire()  -- First: what is delayed beyond its end dies, instead of waiting once more.
    more = promote() or more
    local recovered, rest = take_back()
    more = rest or more
    local old = call('ZRANGEBYSCORE', DEAD, '-inf', int(now - dead_ttl * 1000000), 'LIMIT', 0, SOME)
    if #old > 0 then
      call('ZREM', DEAD, unpack(old))
      call('HDEL', LETTERS, unpack(old))
    end

    next_due = more and 0 or NEVER
    for key, life in pairs({[LEASE] = 0, [DELAYED] = 0, [TTL] = 0, [DEAD] = dead_ttl * 1000000}) do
      local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
      if first[2] then
        R.due_at(tonumber(first[2]) + life)
      elseif key == TTL then
        timed = false
      end
    end
    if call('HLEN', INFO) == 0 then
      call('HDEL', QUEUE, 'has-info', 'tombstones-9', 'tombstones-5', 'tombstones-1')
    end
    if not read_irregular(true) then
      call('HDEL', QUEUE, 'irregular')
    end
    return recovered, more
  end

  -- How many messages wait in a list: its length, less the ids in it whose messages are gone.
  function R.waiting(priority)
    return math.max(0, call('LLEN', LISTS[priority]) - tombstones[priority])
  end

  return R
end
