-- KEYS: a queue's keys, then where each is put if it holds something foreign. ARGV: for how long that is kept (ms).
-- What the loss of a key left dangling is found its place again. Replies with the names of the moved keys.
local QUEUE, BODY, HIGH, NORMAL, LOW, INFO, HOLDS, LEASE, DELAYED, TTL, SEEN0, SEEN1, DEAD, LETTERS, AUDIT, IDLE = unpack(KEYS)
local TYPES = {
  'hash', 'hash', 'list', 'list', 'list', 'hash', 'hash', 'zset', 'zset', 'zset', 'set', 'set', 'zset', 'hash', 'stream', 'set'
}
local call = redis.call
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
for _, field in ipairs(call('HKEYS', BODY)) do
  local mark = string.match(field, '^ (.+)')
  if mark then
    local bundle, at, count = call('HGET', BODY, field), 5, 0
    while at + 3 <= #bundle do
      local size = struct.unpack('>I4', bundle, at)
      call('HSET', BODY, mark .. '.' .. count, string.sub(bundle, at + 4, at + 3 + size))
      at, count = at + 4 + size, count + 1
    end
    call('HDEL', BODY, field)
  end
end
local there = {}
for digit, list in pairs({['9'] = HIGH, ['5'] = NORMAL, ['1'] = LOW}) do
  local ghosts = 0
  for _, id in ipairs(call('LRANGE', list, 0, -1)) do
    there[id] = true
    if call('HEXISTS', BODY, id) == 0 and string.sub(call('HGET', INFO, id) or '', 1, 1) == '!' then
      ghosts = ghosts + 1
    end
  end
  call('HSET', QUEUE, 'g' .. digit, ghosts)
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
local LISTS = {[57] = HIGH, [53] = NORMAL, [49] = LOW}
for _, id in ipairs(call('HKEYS', BODY)) do
  if not there[id] then
    -- A body that is none comes to light when its turn comes.
    call('RPUSH', LISTS[string.byte(call('HGET', BODY, id), 9)] or NORMAL, id)
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
if not state or #state ~= 61 then
  state = string.rep('\0', 61)
end
local counted, flags = string.sub(state, 17, 40), string.byte(state, 61)
state = struct.pack('>dd', 0, 0) .. counted .. struct.pack('>ddI4B', 0, 0, 0, flags % 2 + 2)
call('HSET', QUEUE, 'state', state, 'odds', 1, 'told', 1)
call('PEXPIRE', QUEUE, ARGV[1])
for i = 2, 10 do
  call('PEXPIRE', KEYS[i], ARGV[1])
end
return moved
