-- ARGV: settings, queue, channel, all ('1' on a Cluster), others, kind, how much is to be remembered if all is accepted, that,
-- then id and value by turns.
-- others: '' or msgpack: index -> {time to live or false, delay}, in seconds. kind: 'again' if this may be the second time.
-- What is remembered are the ids that were chosen, and marks, of which the last is of this batch and no other; see common.lua.
-- A value's first 8 bytes will be when it ends.
-- Replies: who died; '' or one digit a message (0 accepted, 1 was before, 2 full, 3 was before, by this very batch); odd;
-- how long the queue may get; how long it knows an id (ms); whether it is listed; our time (us) and how long messages live (s).
local FIRST = 8 + tonumber(ARGV[7])
local total = (#ARGV - FIRST + 1) / 2
local ids = {}
for i = 1, total do
  ids[i] = ARGV[FIRST + 2 * i - 2]
end
if now >= next_due then
  call('HSETNX', QUEUE, 'state', state)  -- Fail now, if there is no memory left: once something was taken, nothing fails.
  rare().sweep()
end
local R = rare()
open(ids)
local size = call('HLEN', BODY) + bundled
local stored = call('HMGET', BODY, unpack(ids))
local bucket, current, other
local before, again = {}, false
if WINDOW > 0 then
  bucket = math.floor(now / 1000000 / WINDOW)
  current, other = SEEN0, SEEN1
  if bucket % 2 == 1 then
    current, other = SEEN1, SEEN0
  end
  local looked = {}
  for i, id in ipairs(ids) do
    local mark = string.match(id, '^(.+)%.%d+$')
    looked[2 * i - 1], looked[2 * i] = id, mark and ' ' .. mark or id
  end
  looked[2 * total + 1] = ARGV[FIRST - 1]
  local one, two = call('SMISMEMBER', current, unpack(looked)), call('SMISMEMBER', other, unpack(looked))
  for i = 1, total do
    before[i] = one[2 * i - 1] + one[2 * i] + two[2 * i - 1] + two[2 * i] > 0
  end
  again = ARGV[6] == 'again' and one[2 * total + 1] + two[2 * total + 1] > 0
end

-- Keep in mind what was accepted: for one window at least, and two at most; but no more ids than some times the queue.
local function accept(those, all)
  sent_count = sent_count + #those
  note('sent', table.concat(those, ' '))
  if current then
    if sent_count % 1000 < #those and call('SCARD', current) > 10 * math.max(MAX_LENGTH, 1000) then
      call('UNLINK', other)
      call('RENAME', current, other)
      seen_window = 0
    end
    if all then
      call('SADD', current, unpack(ARGV, 8, FIRST - 1))
    else
      call('SADD', current, unpack(those))
    end
    if seen_turn ~= bucket or seen_window ~= WINDOW then
      call('PEXPIREAT', current, int((bucket + 2) * WINDOW * 1000 - 1))
      seen_turn, seen_window = bucket, WINDOW
    end
  end
  wake()
end

local others = ARGV[5] ~= '' and cmsgpack.unpack(ARGV[5]) or {}
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
    timed = true
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
  died, plain and '' or table.concat(codes), odd and 1 or 0, MAX_LENGTH, int(WINDOW * 1000), listed and 1 or 0, int(now),
  string.format('%.17g', LIFE)
}
