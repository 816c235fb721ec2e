-- Renames keys that hold something foreign, and gives what that left dangling its place again: a message without a list waits
-- in one, a hold without an end ends now, a letter without a death died now. It reads all of the queue, and is rare.
--
-- KEYS: a queue's keys, then, in the same order, the names under which they are kept if they hold something foreign.
-- ARGV: for how long that is kept (ms).
-- Replies: the names of the moved keys.
-- Atomicity: it may run again after an error in its middle; each step finds what the one before it left.
local call = redis.call
-- To a newer release other types may be right: touch nothing. This is the one thing that no release may change: QUEUE is a HASH
-- whose fields `state` and `settings` begin with a mark.
local kept = redis.pcall('HMGET', QUEUE, 'state', 'settings')
for i = 1, 2 do
  local packed = not kept.err and kept[i] or ''
  local mark = #packed >= VERSION_MARK_SIZE and struct.unpack(VERSION_MARK, packed) or 0
  if mark > MARK and mark <= NEWEST_MARK then
    return redis.error_reply('NEWERSTORAGE ' .. QUEUE .. ' has storage version ' .. mark - MARK + VERSION
      .. ', and this release knows versions up to ' .. VERSION)
  end
end

local moved = {}
for i, wanted in ipairs(TYPES) do
  local found = call('TYPE', KEYS[i])['ok']
  if found ~= 'none' and found ~= wanted then
    call('RENAME', KEYS[i], KEYS[#TYPES + i])
    call('PEXPIRE', KEYS[#TYPES + i], ARGV[1])
    moved[#moved + 1] = KEYS[#TYPES + i]
  end
end

local clock = call('TIME')
local now = string.format('%.0f', clock[1] * 1000000 + clock[2])
local there = {}
local LISTS = {[HIGHEST] = HIGH, [MIDDLE] = NORMAL, [LOWEST] = LOW}
for priority, list in pairs(LISTS) do
  local tombstones = 0
  for _, id in ipairs(call('LRANGE', list, 0, -1)) do
    there[id] = true
    if call('HEXISTS', BODY, id) == 0 and string.byte(call('HGET', INFO, id) or ' ') == TOMBSTONE_KIND then
      tombstones = tombstones + 1
    end
  end
  call('HSET', QUEUE, 'tombstones-' .. priority, tombstones)
end
for _, id in ipairs(call('ZRANGE', DELAYED, 0, -1)) do
  there[id] = true
end
-- A hold that nobody knows the end of ends now.
local holds = call('HGETALL', HOLDS)
for i = 1, #holds, 2 do
  if holds[i] ~= ' ' then
    call('ZADD', LEASE, 'NX', now, holds[i])
  end
  for id in string.gmatch(holds[i + 1], '[^ ]+') do
    there[id] = true
  end
end
for _, id in ipairs(call('HKEYS', INFO)) do
  if not there[id] and call('HEXISTS', BODY, id) == 0 then
    call('HDEL', INFO, id)
  end
end
for _, id in ipairs(call('HKEYS', BODY)) do
  if not there[id] then
    -- A body that is none comes to light when its turn comes.
    call('RPUSH', LISTS[string.byte(call('HGET', BODY, id), VALUE_PRIORITY_AT)] or NORMAL, id)
  end
end
local letters = {}
for _, id in ipairs(call('HKEYS', LETTERS)) do
  letters[id] = true
  call('ZADD', DEAD, 'NX', now, id)
end
for _, id in ipairs(call('ZRANGE', DEAD, 0, -1)) do
  if not letters[id] then
    call('ZREM', DEAD, id)
  end
end
-- The next script gives all keys their end anew, and looks for what is due.
local state = call('HGET', QUEUE, 'state')
if not state or #state ~= STATE_SIZE or struct.unpack(VERSION_MARK, state) ~= MARK then
  state = struct.pack(STATE, MARK, 0, 0, 0, 0, 0, 0, 0, 0)
end
local mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags = struct.unpack(STATE, state)
ends, next_due, seen_bucket, seen_window, flags = 0, 0, 0, 0, flags % 2 + TIMED
state = struct.pack(STATE, mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags)
call('HSET', QUEUE, 'state', state, 'irregular', 1, 'has-info', 1)
-- Until then, which may be never, nothing that was made anew here stays for ever.
for _, key in ipairs({QUEUE, BODY, HIGH, NORMAL, LOW, INFO, HOLDS, LEASE, DELAYED, TTL, DEAD, LETTERS}) do
  call('PEXPIRE', key, ARGV[1])
end
return moved
