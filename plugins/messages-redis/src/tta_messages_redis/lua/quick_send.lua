-- KEYS: queue, body, seen-0, seen-1, audit, idle, holds, lease, high, normal, low, ttl.
-- ARGV: settings, all, the mark that has to be in before (or ''), time to live (s, or '' for the queue's), 'chosen' if some ids
-- were, or 'bundle', how much is to be remembered, that, then id and value by turns, or of a bundle all ids and then itself; see
-- send.lua and common.lua. In a value stands already when it ends, unless it has a time to live of its own.
-- The usual way in: messages of one priority, none of which was sent before, room, and nothing due. It does what send.lua
-- would, with less to look at; and where nothing waits but somebody who would receive it, he gets it at once, without asking.
-- Replies: 1, or 2 if a key that can wait holds something foreign; 0 if this isn't the usual case: nothing is done, and
-- send.lua is to be asked.
local QUEUE, BODY, SEEN0, SEEN1, AUDIT, IDLE, HOLDS, LEASE, HIGH, NORMAL, LOW, TTL = unpack(KEYS)
local call, attempt, pack = redis.call, redis.pcall, struct.pack
local STATE, LISTED, TIMED = '>dddddddI4B', 1, 2
local MOST = 100000  -- bytes that are handed over
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = call('HMGET', QUEUE, 'settings', 'state', 'odds')
local packed, state = kept[1], kept[2]
if not state or #state ~= 61 then
  return 0
end
if not packed or #packed ~= 104 then
  packed = ARGV[1]
end
local ends, next_due, sent, delivered, done, turn, seen_window, bundled, flags = struct.unpack(STATE, state)
local max_length, _, _, _, _, _, visibility, life, _, window, _, dead_life, steps = struct.unpack('>ddddddddddddd', packed)
local FIRST = 7 + tonumber(ARGV[6])
local bundle = ARGV[5] == 'bundle' and ARGV[#ARGV]
local total = bundle and #ARGV - FIRST or (#ARGV - FIRST + 1) / 2
local first = bundle and string.sub(bundle, 9, 17) or ARGV[FIRST + 1]
local fields, bucket = call('HLEN', BODY), math.floor(now / 1000000 / window)
local size = fields + bundled
local SEEN = bucket % 2 == 0 and SEEN0 or SEEN1
local ttl = tonumber(ARGV[4]) or life <= 3600 and life
if flags % 2 ~= LISTED or now >= next_due or ends < now / 1000 + ((ttl and ttl > life and ttl or life) + dead_life) * 1000
  or bucket ~= turn or window ~= seen_window or size + total > max_length
  or bundle and ttl or not ttl and math.abs(now + life * 1000000 - struct.unpack('>d', first)) >= 1000000
  or sent % 1000 < total and call('SCARD', SEEN) > 10 * math.max(max_length, 1000)
  or ARGV[3] ~= '' and call('SISMEMBER', SEEN, ARGV[3]) == 0 then
  return 0
end
local ids = {}
for i = 1, total do
  ids[i] = ARGV[FIRST + (bundle and i - 1 or 2 * i - 2)]
end
if ARGV[5] == 'chosen' then
  if kept[3] then
    return 0
  end
  local looked, mine = {}, {}
  for i, id in ipairs(ids) do
    local mark = string.match(id, '^(.+)%.%d+$')
    looked[2 * i - 1], looked[2 * i] = id, mark and ' ' .. mark or id
    if mine[id] or call('HEXISTS', BODY, id) == 1 or call('HEXISTS', BODY, looked[2 * i]) == 1 then
      return 0
    end
    mine[id] = true
  end
  for _, seen in ipairs({SEEN0, SEEN1}) do
    for _, found in ipairs(call('SMISMEMBER', seen, unpack(looked))) do
      if found == 1 then
        return 0
      end
    end
  end
end
local LIST = ({[57] = HIGH, [53] = NORMAL, [49] = LOW})[string.byte(first, 9)]
local pairs_of, expires = ARGV, nil
if ttl then
  call('ZCARD', TTL)  -- Is it a ZSET? Fail now, before anything is done.
  expires = now + ttl * 1000000
  local head = pack('>d', expires)
  pairs_of = {}
  for i = FIRST, #ARGV, 2 do
    pairs_of[i], pairs_of[i + 1] = ARGV[i], head .. string.sub(ARGV[i + 1], 9)
  end
end

-- Ids and values by turns, as they come where there is no bundle.
local function open(bundle)
  local opened, at = {}, 5
  for i = 1, total do
    local size = struct.unpack('>I4', bundle, at)
    opened[FIRST + 2 * i - 2], opened[FIRST + 2 * i - 1] = ids[i], string.sub(bundle, at + 4, at + 3 + size)
    at = at + 4 + size
  end
  return opened
end

-- This changes nothing; but where Redis has no memory left, it fails. Once a script has taken something, Redis lets it write.
call('HSETNX', QUEUE, 'state', state)
local result, entry, handed = 1, attempt('SPOP', IDLE), 0
local channel, queue
if entry then
  channel, queue = string.match(QUEUE, '^(.*:){(.*)}')
end
if type(entry) == 'string' and ARGV[2] ~= '1' and not kept[3]
  and (size == 0 or call('LLEN', HIGH) + call('LLEN', NORMAL) + call('LLEN', LOW) == 0) then
  call('ZCARD', LEASE)  -- Is it a ZSET? Fail now, before anything is held.
  local least = (ends - now / 1000) / 1000 - life - dead_life
  for _ = 1, 64 do
    if type(entry) ~= 'string' then
      break
    end
    local process, hold, limit, seconds = string.match(entry, '^(%x+) (%S+) (%d+) (%S+)$')
    local most = math.min(tonumber(limit) or 0, total - handed)
    seconds = tonumber(seconds) or visibility
    local deadline = string.format('%.0f', now + seconds * 1000000)
    if bundle and most < total then
      pairs_of, bundle = open(bundle), false
    end
    local parts, bytes = {queue .. ' ' .. (hold or '') .. ' ' .. deadline .. '\n', bundle or pack('>I4', most)}, 0
    for i = 1, bundle and 0 or most do
      local value = pairs_of[FIRST - 1 + 2 * (handed + i)]
      bytes = bytes + #value
      parts[2 * i + 1], parts[2 * i + 2] = pack('>I4', #value), value
    end
    if most == 0 or bytes > MOST or seconds > least
      or call('HSETNX', HOLDS, hold, table.concat(ids, ' ', handed + 1, handed + most)) == 0 then
      break
    end
    call('ZADD', LEASE, deadline, hold)
    if call('PUBLISH', channel .. 'wake:' .. process, table.concat(parts)) > 0 then
      handed = handed + most
      next_due = math.min(next_due, tonumber(deadline))
    else
      call('HDEL', HOLDS, hold)
      call('ZREM', LEASE, hold)
    end
    entry = handed < total and attempt('SPOP', IDLE)
  end
end
if handed < total then
  if call('RPUSH', LIST, unpack(ids, handed + 1)) == total - handed then
    call('PEXPIREAT', LIST, string.format('%.0f', ends))
  end
  if ttl then
    for i = handed + 1, total do
      call('ZADD', TTL, string.format('%.0f', expires), ids[i])
    end
    call('PEXPIREAT', TTL, string.format('%.0f', ends))
    next_due = math.min(next_due, expires)
    flags = LISTED + TIMED
  end
end
if bundle then
  call('HSET', BODY, ARGV[FIRST - 1], bundle)
  bundled = bundled + total - 1
else
  call('HSET', BODY, unpack(pairs_of, FIRST, FIRST + 2 * total - 1))
end
if fields == 0 then
  call('PEXPIREAT', BODY, string.format('%.0f', ends))
end
call('HSET', QUEUE, 'state', pack(STATE, ends, next_due, sent + total, delivered + handed, done, turn, seen_window, bundled, flags))
if steps >= 1 then
  local joined, step = table.concat(ids, ' '), nil
  if handed > 0 then
    local gone = handed == total and joined or table.concat(ids, ' ', 1, handed)
    step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'sent', joined, 'delivered', gone)
  else
    step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'sent', joined)
  end
  if type(step) == 'table' then
    result = 2
  end
end
if type(attempt('SADD', SEEN, unpack(ARGV, 7, FIRST - 1))) == 'table' then
  result = 2
end
for _ = 1, 64 do
  if type(entry) ~= 'string' then
    if entry then
      result = 2
    end
    break
  end
  if call('PUBLISH', channel .. 'wake:' .. string.sub(entry, 1, 12), queue .. string.sub(entry, 13, 25)) > 0
    and ARGV[2] ~= '1' then
    break
  end
  entry = attempt('SPOP', IDLE)
end
return result
