-- ARGV: settings, queue, channel, all ('1' on a Cluster), batch (12 characters), others, clock, life, priority, kind,
-- then id and value by turns.
-- others: '' or msgpack: index -> {time to live or false, delay}, in seconds.
-- clock: what the sender takes for our time (us), from which it reckoned with `life` (s) when each message ends; or ''.
-- priority: a digit, if all have the same. kind: 'new' if all ids were made up just now; 'again' if this may be the
-- second time; else ''. A value's first 8 bytes are when it ends.
-- Replies: who died; '' or one digit a message (0 accepted, 1 was before, 2 full, 3 was before, by this very batch); odd;
-- how long the queue may get; how long it knows an id (ms); whether it is listed; and if that wasn't so, our time and life.
local FIRST = 11
local batch, total = ARGV[5], (#ARGV - FIRST + 1) / 2
local ids = {}
for i = 1, total do
  ids[i] = ARGV[FIRST + 2 * i - 2]
end
if now >= next_due then
  rare().sweep()
end
local size = call('HLEN', BODY)
local bucket, current, other
if WINDOW > 0 then
  bucket = math.floor(now / 1000000 / WINDOW)
  current, other = SEEN0, SEEN1
  if bucket % 2 == 1 then
    current, other = SEEN1, SEEN0
  end
end
local reckoned = math.abs(now - (tonumber(ARGV[7]) or 0)) < 1000000

-- Keep in mind what was accepted: for one window at least, and two at most; but no more ids than some times the queue.
local function accept(those, all)
  local sent = count('sent', #those)
  note('sent', table.concat(those, ' '))
  if current then
    if sent % 1000 < #those and call('SCARD', current) > 10 * math.max(MAX_LENGTH, 1000) then
      call('UNLINK', other)
      call('RENAME', current, other)
      state[5] = false
    end
    if all then
      those[total + 1] = ' ' .. batch
    end
    call('SADD', current, unpack(those))
    local turn = bucket .. ' ' .. WINDOW
    if state[5] ~= turn then
      call('PEXPIREAT', current, int((bucket + 2) * WINDOW * 1000 - 1))
      call('HSET', QUEUE, 'bucket', turn)
    end
  end
  wake()
end

if reckoned and ARGV[10] == 'new' and ARGV[6] == '' and ARGV[9] ~= '' and tonumber(ARGV[8]) == LIFE and LIFE > 3600
  and size + total <= MAX_LENGTH then
  -- The way of nearly all. First what fails if the key holds something else: then nothing is done yet.
  local list = ARGV[9] == '5' and NORMAL or ARGV[9] == '9' and HIGH or LOW
  if call('RPUSH', list, unpack(ids)) == total then
    keep(list)
  end
  call('HSET', BODY, unpack(ARGV, FIRST))
  if size == 0 then
    keep(BODY)
  end
  accept(ids, true)
  finish()
  return {died, '', odd and 1 or 0, MAX_LENGTH, int(WINDOW * 1000), state[7] and 1 or 0}
end

local R = rare()
local stored = call('HMGET', BODY, unpack(ids))
local before, again = {}, false
if current then
  local one, two = call('SMISMEMBER', current, unpack(ids)), call('SMISMEMBER', other, unpack(ids))
  for i = 1, total do
    before[i] = one[i] == 1 or two[i] == 1
  end
  again = ARGV[10] == 'again' and call('SISMEMBER', current, ' ' .. batch) + call('SISMEMBER', other, ' ' .. batch) > 0
end
local others = ARGV[6] ~= '' and cmsgpack.unpack(ARGV[6]) or {}
local codes, bodies, mine, lists, delayed, limited = {}, {}, {}, {}, {}, {}
local taken, refused, longest, plain = {}, 0, LIFE, true
for i = 1, total do
  local id, value = ids[i], ARGV[FIRST + 2 * i - 1]
  local code = '0'
  if mine[id] then
    code = '1'
  elseif before[i] or stored[i] then
    code = again and '3' or '1'
  elseif size >= MAX_LENGTH then
    code = '2'
    refused = refused + 1
  else
    size = size + 1
    mine[id] = true
    local ttl = others[i] and others[i][1] or LIFE
    local delay = others[i] and others[i][2] or 0
    local expires = now + ttl * 1000000
    value = struct.pack('>d', expires) .. string.sub(value, 9)
    longest = math.max(longest, ttl)
    if odds[5] then
      R.lay(id)
    end
    if others[i] or LIFE <= 3600 then
      limited[#limited + 1] = int(expires)
      limited[#limited + 1] = id
      R.due_at(expires)
    end
    if delay > 0 then
      delayed[#delayed + 1] = int(now + delay * 1000000)
      delayed[#delayed + 1] = id
      R.due_at(now + delay * 1000000)
    else
      local list = R.LISTS[string.byte(value, 9)]
      if not lists[list] then
        call('LLEN', list)  -- Is it a list? Fail now, before more is written.
        lists[list] = {}
      end
      table.insert(lists[list], id)
    end
    local n = #taken + 1
    taken[n] = id
    bodies[2 * n - 1], bodies[2 * n] = id, value
  end
  plain = plain and code == '0'
  codes[i] = code
end

if #taken > 0 then
  if #limited > 0 then
    call('ZADD', TTL, unpack(limited))
    keep(TTL)
    if not odds[6] then
      call('HSET', QUEUE, 'odds', 1, 'timed', 1)
    end
  end
  if #delayed > 0 then
    call('ZADD', DELAYED, unpack(delayed))
    keep(DELAYED)
  end
  for list, those in pairs(lists) do
    call('RPUSH', list, unpack(those))
    keep(list)
  end
  call('HSET', BODY, unpack(bodies))
  keep(BODY)
  accept(taken, plain)
else
  -- A replica that has this write has the first one, too: so WAIT can vouch for a repeated send.
  count('repeated', 1)
end
if refused > 0 then
  count('refused', refused)
end
finish((longest + DEAD_LIFE) * 1000)
return {
  died, plain and '' or table.concat(codes), odd and 1 or 0, MAX_LENGTH, int(WINDOW * 1000), state[7] and 1 or 0, int(now),
  string.format('%.17g', LIFE)
}
