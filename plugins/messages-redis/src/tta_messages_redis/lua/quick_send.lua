-- KEYS: queue, body, the list of the messages' priority, seen-0, seen-1, audit, idle.
-- ARGV: settings, queue, channel, all, batch, clock, life, the batch that has to be in before (or ''), then id and value by
-- turns; see send.lua and common.lua.
-- The usual way in: new ids of one priority, time enough, room, and nothing due. It does what send.lua would, with less
-- to look at. Replies: 1, or 2 if a key that can wait holds something foreign; 0 if this isn't the usual case: nothing is
-- done, and send.lua is to be asked.
local QUEUE, BODY, LIST, AUDIT, IDLE = KEYS[1], KEYS[2], KEYS[3], KEYS[6], KEYS[7]
local call, attempt = redis.call, redis.pcall
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local state = call('HMGET', QUEUE, 'settings', 'until', 'next', 'bucket', 'sent', 'listed')
local packed = state[1]
if not packed or #packed ~= 104 then
  packed = ARGV[1]
end
local max_length, _, _, _, _, _, _, life, _, window, _, dead_life, steps = struct.unpack('>ddddddddddddd', packed)
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
if call('RPUSH', LIST, unpack(ids)) == total then
  call('PEXPIREAT', LIST, state[2])
end
call('HSET', BODY, unpack(ARGV, 9))
if size == 0 then
  call('PEXPIREAT', BODY, state[2])
end
call('HINCRBY', QUEUE, 'sent', total)
local result = 1
if steps >= 1 then
  local step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'sent', table.concat(ids, ' '))
  if type(step) == 'table' then
    result = 2
  end
end
ids[total + 1] = ' ' .. ARGV[5]
if type(attempt('SADD', SEEN, unpack(ids))) == 'table' then
  result = 2
end
for _ = 1, 64 do
  local process = attempt('SPOP', IDLE)
  if type(process) ~= 'string' then
    if process then
      result = 2
    end
    break
  end
  if call('PUBLISH', ARGV[3] .. process, ARGV[2]) > 0 and ARGV[4] ~= '1' then
    break
  end
end
return result
