-- KEYS: queue, body, high, normal, low, holds, lease, audit, idle, ttl.
-- ARGV: settings, all, then as for cycle.lua from its hold on. The usual way out: holds are acknowledged whole, messages of one
-- priority wait, none of them was received before, and nothing is due. It does what cycle.lua would, with less to look at.
-- Replies: ids, with blanks between; values and bundles, in the order of ids; deadline (us); us until the next is due (-1: called), if there are none; odd; or 0
-- if this isn't the usual case: nothing is done, and cycle.lua is to be asked.
local QUEUE, BODY, HIGH, NORMAL, LOW, HOLDS, LEASE, AUDIT, IDLE, TTL = unpack(KEYS)
local call, attempt = redis.call, redis.pcall
local STATE, TIMED = '>dddddddI4B', 2
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = call('HMGET', QUEUE, 'settings', 'state', 'odds')
local packed, state = kept[1], kept[2]
if kept[3] or not state or #state ~= 61 then
  return 0
end
if not packed or #packed ~= 104 then
  packed = ARGV[1]
end
local ends, next_due, sent, delivered, done, turn, window, bundled, flags = struct.unpack(STATE, state)
local visibility, life = struct.unpack('>dd', packed, 49)
local dead_life, steps = struct.unpack('>dd', packed, 89)
visibility = tonumber(ARGV[5]) or visibility
if now >= next_due or ends < now / 1000 + (life + dead_life + visibility) * 1000 then
  return 0
end
local limit, called, odd = tonumber(ARGV[4]), false, 0
if ARGV[7] ~= '' then
  local there = attempt('SISMEMBER', IDLE, ARGV[6])
  if type(there) == 'table' then
    odd = 1
  elseif there == 0 then
    called, limit = true, 0
  end
end
local function save()
  call('HSET', QUEUE, 'state', struct.pack(STATE, ends, next_due, sent, delivered, done, turn, window, bundled, flags))
end

local list, waiting = NORMAL, call('LLEN', NORMAL)
local others = call('EXISTS', HIGH, LOW)
if others > 0 and waiting == 0 then
  list = call('LLEN', HIGH) > 0 and HIGH or LOW
  waiting, others = call('LLEN', list), others - 1
end
if others > 0 and limit > 0 then
  return 0
end

local at, acknowledged = 8, nil
while at < #ARGV do
  local joined = ARGV[at + 1]
  if call('HGET', HOLDS, ARGV[at]) ~= joined then
    return 0
  end
  acknowledged = acknowledged and acknowledged .. ' ' .. joined or joined
  at = at + 2
end

-- The bodies of some ids: values and bundles; or nothing, if there is one that isn't usual. A bundle of which there are only some
-- is opened.
local function look(ids)
  local found, singles, places, i = {}, {}, {}, 1
  while ids[i] do
    local mark = bundled > 0 and string.match(ids[i], '^(.+)%.0$')
    local bundle = mark and (not ids[i + 1] or ids[i + 1] == mark .. '.1') and attempt('HGET', BODY, ' ' .. mark)
    local count = type(bundle) == 'string' and 1
    if count then
      if #bundle < 25 or struct.unpack('>d', bundle, 9) <= now then
        return nil
      end
      count = struct.unpack('>I4', bundle)
      if ids[i + count - 1] ~= mark .. '.' .. count - 1 then
        local opened, at = {}, 5
        while at + 20 <= #bundle do
          local size = struct.unpack('>I4', bundle, at)
          opened[#opened + 1] = mark .. '.' .. #opened / 2
          opened[#opened + 1] = string.sub(bundle, at + 4, at + 3 + size)
          at = at + 4 + size
        end
        if #opened == 0 then
          return nil
        end
        call('HSET', BODY, unpack(opened))
        call('HDEL', BODY, ' ' .. mark)
        bundled, count = math.max(0, bundled - #opened / 2 + 1), nil
        save()
      end
    end
    if count then
      found[#found + 1], i = bundle, i + count
    else
      singles[#singles + 1], places[#places + 1] = ids[i], #found + 1
      found[#found + 1], i = '', i + 1
    end
  end
  local values = #singles > 0 and attempt('HMGET', BODY, unpack(singles)) or {}
  for n, place in ipairs(places) do
    local value = values[n]
    if not value or #value < 17 or struct.unpack('>d', value) <= now then
      return nil
    end
    found[place] = value
  end
  return found
end

local ids, values = {}, {}
if limit > 0 and waiting > 0 then
  call('ZCARD', LEASE)  -- Is it a ZSET? Fail now, before anything is taken.
  ids = call('LPOP', list, limit) or {}
  values = look(ids)
  local fine = values
  if fine and flags >= TIMED then
    fine = type(attempt('ZREM', TTL, unpack(ids))) == 'number'
  end
  if not fine then
    for i = #ids, 1, -1 do
      call('LPUSH', list, ids[i])
    end
    call('PEXPIREAT', list, string.format('%.0f', ends))
    return 0
  end
end

for i = 8, #ARGV, 2 do
  -- A hold that stands there twice was acknowledged by then.
  if call('HDEL', HOLDS, ARGV[i]) == 1 then
    call('ZREM', LEASE, ARGV[i])
    local joined = ARGV[i + 1]
    local mark, last = string.match(joined, '^([^ ]+)%.0 .*%.(%d+)$')
    if mark and string.sub(joined, -#mark - #last - 2) == ' ' .. mark .. '.' .. last
      and call('HDEL', BODY, ' ' .. mark) == 1 then
      done, bundled = done + last + 1, math.max(0, bundled - last)
    else
      local those, marks = {}, {}
      for id in string.gmatch(joined, '[^ ]+') do
        those[#those + 1] = id
        marks[#marks + 1] = string.match(id, '%.0$') and ' ' .. string.sub(id, 1, -3) or nil
      end
      local missing = #those - call('HDEL', BODY, unpack(those))
      if missing > 0 and #marks > 0 then
        bundled = math.max(0, bundled - missing + call('HDEL', BODY, unpack(marks)))
      end
      done = done + #those
    end
  end
end

local count, deadline, joined = #ids, 0, ''
if count > 0 then
  deadline = string.format('%.0f', now + visibility * 1000000)
  joined = table.concat(ids, ' ')
  call('HSET', HOLDS, ARGV[3], joined)
  call('ZADD', LEASE, deadline, ARGV[3])
  next_due = math.min(next_due, tonumber(deadline))
end
if count > 0 or acknowledged then
  delivered = delivered + count
  save()
  if steps >= 1 then
    local step
    if acknowledged and count > 0 then
      step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'acknowledged', acknowledged, 'delivered', joined)
    elseif acknowledged then
      step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'acknowledged', acknowledged)
    else
      step = attempt('XADD', AUDIT, 'MAXLEN', '~', steps, '*', 'delivered', joined)
    end
    odd = type(step) == 'table' and 1 or odd
  end
end

if ARGV[7] ~= '' and not called and (count > 0 or ARGV[7] == '0') then
  attempt('SREM', IDLE, ARGV[6])
end
if waiting + others > count then
  for _ = 1, 64 do
    local entry = attempt('SPOP', IDLE)
    if type(entry) ~= 'string' then
      odd = entry and 1 or odd
      break
    end
    local channel, queue = string.match(QUEUE, '^(.*:){(.*)}')
    if call('PUBLISH', channel .. 'wake:' .. string.sub(entry, 1, 12), queue .. string.sub(entry, 13, 25)) > 0
      and ARGV[2] ~= '1' then
      break
    end
  end
elseif count == 0 and limit > 0 and ARGV[6] ~= '' and ARGV[7] ~= '0' then
  local added = attempt('SADD', IDLE, ARGV[6])
  if type(added) == 'table' then
    odd = 1
  elseif added == 1 or call('PTTL', IDLE) < 15000 then
    call('PEXPIRE', IDLE, 30000)
  end
end
return {joined, values, deadline, count > 0 and 0 or called and -1 or string.format('%.0f', next_due - now), odd}
