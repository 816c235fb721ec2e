-- KEYS: queue, body, the list of the messages' priority, seen-0, seen-1, audit, idle, holds, lease, high, normal, low.
-- ARGV: settings, queue, channel, all, batch, clock, life, the batch that has to be in before (or ''), then id and value by
-- turns; see send.lua and common.lua.
-- The usual way in: new ids of one priority, time enough, room, and nothing due. It does what send.lua would, with less
-- to look at; and where nothing waits but somebody who would receive it, he gets it at once, without asking.
-- Replies: 1, or 2 if a key that can wait holds something foreign; 0 if this isn't the usual case: nothing is done, and
-- send.lua is to be asked.
local QUEUE, BODY, LIST, AUDIT, IDLE, HOLDS, LEASE = KEYS[1], KEYS[2], KEYS[3], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local call, attempt = redis.call, redis.pcall
local MOST = 100000  -- bytes that are handed over
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local state = call('HMGET', QUEUE, 'settings', 'until', 'next', 'bucket', 'sent', 'listed', 'odds', 'flow')
local packed = state[1]
if not packed or #packed ~= 104 then
  packed = ARGV[1]
end
local max_length, _, _, _, _, _, visibility, life, _, window, _, dead_life, steps = struct.unpack('>ddddddddddddd', packed)
local total, bucket = (#ARGV - 8) / 2, math.floor(now / 1000000 / window)
local SEEN, size = KEYS[4 + bucket % 2], call('HLEN', BODY)
if not (state[2] and state[3] and state[6] and string.find(state[5] or '', '^%d+$')) or now >= (tonumber(state[3]) or 0)
  or (tonumber(state[2]) or 0) < now / 1000 + (life + dead_life) * 1000
  or state[4] ~= bucket .. ' ' .. window or size + total > max_length
  or life <= 3600 or tonumber(ARGV[7]) ~= life or math.abs(now - tonumber(ARGV[6])) >= 1000000
  or tonumber(state[5]) % 1000 < total and call('SCARD', SEEN) > 10 * math.max(max_length, 1000)
  or ARGV[8] ~= '' and call('SISMEMBER', SEEN, ' ' .. ARGV[8]) == 0 then
  return 0
end
local ids = {}
for i = 1, total do
  ids[i] = ARGV[7 + 2 * i]
end
local result, entry, handed = 1, attempt('SPOP', IDLE), 0
if type(entry) == 'string' and ARGV[4] ~= '1' and not state[7] and (not state[8] or #state[8] == 16)
  and (size == 0 or call('LLEN', KEYS[10]) + call('LLEN', KEYS[11]) + call('LLEN', KEYS[12]) == 0) then
  local next_due, least = tonumber(state[3]), (tonumber(state[2]) - now / 1000) / 1000 - life - dead_life
  for _ = 1, 64 do
    if type(entry) ~= 'string' then
      break
    end
    local process, hold, limit, seconds = string.match(entry, '^(%x+) (%x+) (%d+) (%S+)$')
    local most = math.min(tonumber(limit) or 0, total - handed)
    seconds = tonumber(seconds) or visibility
    local deadline = string.format('%.0f', now + seconds * 1000000)
    local parts, bytes = {ARGV[2] .. ' ' .. (hold or '') .. ' ' .. deadline .. '\n'}, 0
    for i = 1, most do
      local value = ARGV[8 + 2 * (handed + i)]
      bytes = bytes + #value
      parts[2 * i], parts[2 * i + 1] = struct.pack('>I4', #value), value
    end
    if most == 0 or bytes > MOST or seconds > least
      or call('HSETNX', HOLDS, hold, table.concat(ids, ' ', handed + 1, handed + most)) == 0 then
      break
    end
    call('ZADD', LEASE, deadline, hold)
    if call('PUBLISH', ARGV[3] .. process, table.concat(parts)) > 0 then
      handed = handed + most
      next_due = math.min(next_due, tonumber(deadline))
    else
      call('HDEL', HOLDS, hold)
      call('ZREM', LEASE, hold)
    end
    entry = handed < total and attempt('SPOP', IDLE)
  end
  if handed > 0 then
    local before, done = 0, 0
    if state[8] then
      before, done = struct.unpack('>dd', state[8])
    end
    call('HSET', QUEUE, 'flow', struct.pack('>dd', before + handed, done), 'next', string.format('%.0f', next_due))
  end
end
if handed < total and call('RPUSH', LIST, unpack(ids, handed + 1)) == total - handed then
  call('PEXPIREAT', LIST, state[2])
end
call('HSET', BODY, unpack(ARGV, 9))
if size == 0 then
  call('PEXPIREAT', BODY, state[2])
end
call('HINCRBY', QUEUE, 'sent', total)
if steps >= 1 then
  local joined, step = table.concat(ids, ' '), nil
  if handed > 0 then
    local delivered = handed == total and joined or table.concat(ids, ' ', 1, handed)
    step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'sent', joined, 'delivered', delivered)
  else
    step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'sent', joined)
  end
  if type(step) == 'table' then
    result = 2
  end
end
ids[total + 1] = ' ' .. ARGV[5]
if type(attempt('SADD', SEEN, unpack(ids))) == 'table' then
  result = 2
end
for _ = 1, 64 do
  if type(entry) ~= 'string' then
    if entry then
      result = 2
    end
    break
  end
  if call('PUBLISH', ARGV[3] .. string.sub(entry, 1, 12), ARGV[2] .. string.sub(entry, 13, 25)) > 0 and ARGV[4] ~= '1' then
    break
  end
  entry = attempt('SPOP', IDLE)
end
return result
