-- ARGV: settings, queue, channel, all ('1' on a Cluster), batch (12 characters), others, then id and value by turns.
-- others: '' or msgpack: index -> {time to live or false, delay}, in seconds. A value lacks when it ends.
-- Replies: who died; '' or one digit a message (0 accepted, 1 was before, 2 full, 3 was before, by this very batch); odd;
-- how long the queue may get; how long it knows an id (ms).
local FIRST = 7
local ids, total = {}, (#ARGV - FIRST + 1) / 2
for i = 1, total do
  ids[i] = ARGV[FIRST + 2 * i - 2]
end
local size = call('HLEN', BODY)
local stored = call('HMGET', BODY, unpack(ids))
local windows = {}
local bucket, current
if WINDOW > 0 then
  bucket = math.floor(now / 1000000 / WINDOW)
  current = bucket % 2 == 0 and SEEN0 or SEEN1
  windows[1] = call('HMGET', current, unpack(ids))
  windows[2] = call('HMGET', current == SEEN0 and SEEN1 or SEEN0, unpack(ids))
end
if now >= next_due then
  sweep()
  size = call('HLEN', BODY)
  stored = call('HMGET', BODY, unpack(ids))
end
local ghosts = #died > 0
for i = 4, 6 do
  ghosts = ghosts or (tonumber(state[i]) or 0) > 0
end
local others = ARGV[6] ~= '' and cmsgpack.unpack(ARGV[6]) or nil

local batch = ARGV[5]
local mark = string.format('%016.0f', now) .. batch
local function seen(i)
  for _, window in ipairs(windows) do
    local found = window[i]
    if found and (tonumber(string.sub(found, 1, 16)) or 0) + WINDOW * 1000000 > now then
      return string.sub(found, 17) == batch and '3' or '1'
    end
  end
end

local codes, bodies, marks, mine = {}, {}, {}, {}
local waiting, delayed, limited = {}, {}, {}
local taken, refused, longest, plain = {}, 0, LIFE, true
local head = struct.pack('>d', now + LIFE * 1000000)
local short = LIFE <= 3600
for i = 1, total do
  local id, value = ids[i], ARGV[FIRST + 2 * i - 1]
  local code = mine[id] and '1' or seen(i) or (stored[i] and '1')
  if not code then
    if size >= MAX_LENGTH then
      code = '2'
      refused = refused + 1
    else
      code = '0'
      size = size + 1
      mine[id] = true
      local list = LISTS[string.byte(value)]
      local other = others and others[i]
      if other or short then
        local ttl = other and other[1] or LIFE
        local expires = now + ttl * 1000000
        value = struct.pack('>d', expires) .. value
        limited[#limited + 1] = int(math.min(expires, NEVER))
        limited[#limited + 1] = id
        due_at(expires)
        longest = math.max(longest, ttl)
      else
        value = head .. value
      end
      if ghosts and string.byte(call('HGET', INFO, id) or '') == 33 then
        -- It waits for the second time, and its ghost from the first is still there.
        local was = string.sub(call('HGET', INFO, id), 2)
        if call('LREM', LISTS[string.byte(was)], 1, id) == 1 then
          call('HINCRBY', QUEUE, 'g' .. was, -1)
        end
        call('HDEL', INFO, id)
      end
      if other and other[2] > 0 then
        local at = now + other[2] * 1000000
        delayed[#delayed + 1] = int(at)
        delayed[#delayed + 1] = id
        due_at(at)
      else
        local those = waiting[list]
        if not those then
          call('LLEN', list)  -- Is it a list? Fail now, before anything is written.
          those = {}
          waiting[list] = those
        end
        those[#those + 1] = id
      end
      local n = #taken + 1
      taken[n] = id
      bodies[2 * n - 1], bodies[2 * n] = id, value
      marks[2 * n - 1], marks[2 * n] = id, mark
    end
  end
  plain = plain and code == '0'
  codes[i] = code
end

if #taken > 0 then
  local began = size == #taken
  if #limited > 0 then
    call('ZADD', TTL, unpack(limited))
  end
  if #delayed > 0 then
    call('ZADD', DELAYED, unpack(delayed))
  end
  for list, those in pairs(waiting) do
    if call('RPUSH', list, unpack(those)) == #those then
      keep(list)
    end
  end
  call('HSET', BODY, unpack(bodies))
  if current then
    if call('HSET', current, unpack(marks)) == call('HLEN', current) then
      call('PEXPIREAT', current, int((bucket + 2) * WINDOW * 1000))
    end
  end
  count('sent', #taken)
  note('sent', table.concat(taken, ' '))
  if began then
    keep(BODY)
  end
  if #limited > 0 then
    keep(TTL)
  end
  if #delayed > 0 then
    keep(DELAYED)
  end
  wake(ARGV[3], ARGV[2], ARGV[4] == '1')
elseif not plain then
  -- A replica that has this write has the first one, too: so WAIT can vouch for a repeated send.
  count('repeated', 1)
end
if refused > 0 then
  count('refused', refused)
end
finish((longest + DEAD_LIFE) * 1000)
return {died, plain and '' or table.concat(codes), odd and 1 or 0, MAX_LENGTH, int(WINDOW * 1000)}
