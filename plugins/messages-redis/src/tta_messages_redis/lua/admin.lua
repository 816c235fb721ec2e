-- What operators do with a queue: shows what is in it, changes it, sweeps it, ends it.
--
-- ARGV: 1-4 see common.lua, 5 what, then by what, with the result:
--   recover                      how many, whether there are more
--   stats                        lengths, counters, and the first of each list (id and value by turns); or nothing of a queue
--                                that isn't there
--   configure: settings          1
--   settings                     what is stored, or nothing
--   purge                        how many, whether there are more
--   empty                        1 if there are no messages in it, be they dead; else 0
--   drop                         the same; then it is no more, but for who waits
--   listed                       1 (a process has entered it in the index of all queues)
--   dead: limit, after           id and letter by turns
--   letters: ids...              id and letter by turns
--   requeue: id, time to live (s) by turns      a character each: r(equeued), f(ull), a(live), u(nknown)
--   purge_dead: ids..., or none  how many, whether there are more
--   forget: owner, phase, cursor     how many, next phase ('' when through), next cursor
-- Replies: see common.lua; the result; foreign.
-- Atomicity: a long piece of work (purge, recover, forget) is many calls, between which others have their turn.
local what = ARGV[5]
if what == 'settings' then
  return {died, kept[1] or '', 0}
end
local R = rare()
local recovered, more = 0, false
if now >= next_due then
  recovered, more = R.sweep()
end

local function args(from)
  local found = {}
  for i = from, #ARGV do
    found[#found + 1] = ARGV[i]
  end
  return found
end

local function letters(ids)
  local found = {}
  if #ids > 0 then
    local values = call('HMGET', LETTERS, unpack(ids))
    for i, id in ipairs(ids) do
      if values[i] then
        found[#found + 1], found[#found + 2] = id, values[i]
      end
    end
  end
  return found
end

local function delete_letters(ids)
  call('ZREM', DEAD, unpack(ids))
  return call('HDEL', LETTERS, unpack(ids))
end

-- Delete a living message; one in a list leaves a tombstone.
local function delete(id, value, hold)
  if hold then
    R.leave(hold, id)
  end
  local waits = not hold and call('ZREM', DELAYED, id) == 0
  call('HDEL', BODY, id)
  call('HDEL', INFO, id)
  call('ZREM', TTL, id)
  if waits then
    R.leave_tombstone(id, value)
  end
end

-- The first message of each list, be there tombstones before it: id and value by turns.
local function first_values()
  local found = {}
  for _, list in pairs(R.LISTS) do
    local at, ids = 0, nil
    repeat
      ids = call('LRANGE', list, at, at + 99)
      at = at + 100
      for _, id in ipairs(ids) do
        local value = call('HGET', BODY, id)
        if value then
          found[#found + 1], found[#found + 2] = id, value
          ids = {}
          break
        end
      end
    until #ids == 0
  end
  return found
end

local result = {}
if what == 'recover' then
  if recovered > 0 then
    wake()
  end
  result = {recovered, more and 1 or 0}
elseif what == 'stats' then
  if exists or call('EXISTS', QUEUE) == 1 then
    local living = call('HLEN', BODY)
    for i, priority in ipairs({HIGHEST, MIDDLE, LOWEST}) do
      result[i] = R.waiting(priority)
      living = living - result[i]
    end
    result[4], result[6] = call('ZCARD', DELAYED), call('ZCARD', DEAD)
    result[5] = math.max(0, living - result[4])  -- What neither waits nor is delayed is held.
    local numbers = call('HMGET', QUEUE, 'refused', 'retried', 'died', 'recovered', 'expired', 'stale')
    for i = 1, 6 do
      result[7 + i] = tonumber(numbers[i]) or 0
    end
    result[7], result[14], result[15] = sent, delivered, acknowledged
    result[16] = first_values()
  end
elseif what == 'configure' then
  call('HSET', QUEUE, 'settings', ARGV[6])
  _, max_length, retries, backoff_base, backoff_factor, backoff_cap, jitter, visibility, ttl, starvation_limit,
    dedup_window, dead_limit, dead_ttl, audit_limit = struct.unpack(SETTINGS, ARGV[6])
  if call('HLEN', BODY) + call('ZCARD', DEAD) == 0 then
    ends = 0  -- Another life: all keys get an end anew. What is in them has its own, which may be later.
  end
  next_due = 0  -- What is due, and when, may be another now: look with the next call.
  finish((math.min(ttl, 1e9) + math.min(dead_ttl, 1e9)) * 1000)
  return {died, 1, 0}
elseif what == 'purge' then
  local gone = {}
  for _, list in ipairs({HIGH, NORMAL, LOW}) do
    local ids = #gone == 0 and call('LPOP', list, 500) or nil
    if ids then
      more = true
      local values, infos = call('HMGET', BODY, unpack(ids)), call('HMGET', INFO, unpack(ids))
      for i, id in ipairs(ids) do
        local priority = R.tombstone_priority(infos[i])
        if priority and not values[i] then
          R.clear_tombstone(id, priority)
        else
          gone[#gone + 1] = id
        end
      end
    end
  end
  if #gone == 0 then
    gone = call('ZRANGE', DELAYED, 0, 499)
  end
  if #gone > 0 then
    more = true
    call('ZREM', DELAYED, unpack(gone))
    call('ZREM', TTL, unpack(gone))
    call('HDEL', INFO, unpack(gone))
    call('HDEL', BODY, unpack(gone))
    note('purged', table.concat(gone, ' '))
  end
  result = {#gone, more and 1 or 0}
elseif what == 'empty' or what == 'drop' then
  local there = call('HLEN', BODY) + call('ZCARD', DEAD)
  for _, priority in ipairs({HIGHEST, MIDDLE, LOWEST}) do
    there = there + R.waiting(priority)
  end
  if what == 'drop' and there == 0 then
    for _, key in ipairs(KEYS) do
      if key ~= IDLE then  -- Who waits for this queue still does.
        call('UNLINK', key)
      end
    end
    return {died, 1, 0}
  end
  result = there == 0 and 1 or 0
elseif what == 'listed' then
  listed = exists
  result = 1
elseif what == 'dead' then
  local rank = ARGV[7] == '' and -1 or call('ZRANK', DEAD, ARGV[7])
  if rank then
    result = letters(call('ZRANGE', DEAD, rank + 1, rank + tonumber(ARGV[6])))
  end
elseif what == 'letters' then
  result = letters(args(6))
elseif what == 'requeue' then
  local alive, bodies, became = {}, {}, {}
  local size = call('HLEN', BODY)
  for i = 6, #ARGV, 2 do
    local id = ARGV[i]
    local letter = call('HGET', LETTERS, id)
    became[#became + 1] = not letter and 'u' or call('HEXISTS', BODY, id) == 1 and 'a' or size >= max_length and 'f' or 'r'
    if became[#became] == 'r' then
      local _, _, length = struct.unpack(LETTER, letter)
      local value = string.sub(letter, LETTER_SIZE + 1, LETTER_SIZE + length)
      R.remove_tombstone(id)
      call('HDEL', INFO, id)
      local expires = now + (tonumber(ARGV[i + 1]) or ttl) * 1000000
      value = struct.pack(EXPIRES, expires) .. string.sub(value, EXPIRES_SIZE + 1)
      call('HSET', BODY, id, value)
      size = size + 1
      alive[#alive + 1], bodies[#bodies + 1] = id, value
    end
  end
  if #alive > 0 then
    delete_letters(alive)
    keep(BODY)
    R.put_back(alive, bodies, false)
    note('requeued', table.concat(alive, ' '))
    wake()
  end
  result = table.concat(became)
elseif what == 'purge_dead' then
  local ids = args(6)
  if #ids == 0 then
    ids = call('ZRANGE', DEAD, 0, 499)
    more = #ids > 0
  end
  local there = {}
  for _, id in ipairs(ids) do
    if call('HEXISTS', LETTERS, id) == 1 then
      there[#there + 1] = id
    end
  end
  if #ids > 0 then
    result = {delete_letters(ids), more and 1 or 0}
    if result[1] > 0 then
      note('purged', table.concat(there, ' '), 'detail', 'dead letters')
    end
  else
    result = {0, 0}
  end
elseif what == 'forget' then
  -- Letters come last, since whatever dies meanwhile becomes one.
  local owner, phase, cursor, gone = ARGV[6], ARGV[7], ARGV[8], {}
  local after = {bodies = 'letters', letters = ''}
  local held
  repeat
    local found = call('HSCAN', phase == 'letters' and LETTERS or BODY, cursor, 'COUNT', 100)
    for i = 1, #found[2], 2 do
      local id, value = found[2][i], found[2][i + 1]
      if phase == 'letters' then
        local whose = string.sub(value, LETTER_SIZE + VALUE_OWNER_AT, LETTER_SIZE + VALUE_SIZE)
        if whose == owner and delete_letters({id}) == 1 then
          gone[#gone + 1] = id
        end
      elseif R.whole(value) and string.sub(value, VALUE_OWNER_AT, VALUE_SIZE) == owner and call('HEXISTS', BODY, id) == 1 then
        held = held or R.held()
        delete(id, value, held[id])
        gone[#gone + 1] = id
        -- No dead letter: the client only answers whoever asked by it.
        died[#died + 1] = {id, 'forgotten', value, ''}
      end
    end
    cursor = found[1]
    if cursor == '0' then
      phase = after[phase]
    end
  until cursor ~= '0' or phase == ''
  if #gone > 0 then
    note('purged', table.concat(gone, ' '), 'detail', 'forgotten')
  end
  result = {#gone, phase, cursor}
end
if exists or #died > 0 then
  finish()
end
return {died, result, foreign and 1 or 0}
