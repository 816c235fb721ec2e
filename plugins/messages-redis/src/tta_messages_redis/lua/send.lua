-- Sends a batch of messages to one queue, whatever they are: the full path in. See fast_send.lua for the other.
--
-- ARGV: 1-4 see common.lua, 5 times, 6 'again' if this may be the second time, 7 how much is to be remembered if all is
-- accepted, that, then id and value by turns.
-- times: '' or msgpack: index -> {time to live or false, delay}, in seconds, of those that have one of their own. A value comes
-- with any EXPIRES, which is replaced.
-- What is remembered are the ids that the caller chose, and stems, each after a blank. All ids that one call of send made up are
-- its stem, a dot and a number; so one member of a SET stands for many ids. The last stem is of this batch and of no other.
-- Replies: see common.lua; '' or one digit a message (0 accepted, 1 was before, 2 full, 3 was before, by this very batch); foreign;
-- how long the queue may get; how long it knows an id (ms); whether it is listed; our time (us); how long messages live (s).
-- Atomicity: once something was taken nothing may fail, so the types of keys are checked before the first write, and Redis without
-- memory refuses the first write, as Lua is then allowed to go on.
local FIRST = 8 + tonumber(ARGV[7])
local total = (#ARGV - FIRST + 1) / 2
local ids = {}
for i = 1, total do
  ids[i] = ARGV[FIRST + 2 * i - 2]
end
if now >= next_due then
  call('HSETNX', QUEUE, 'state', state)  -- Fail now, if there is no memory left, before the sweep takes anything away.
  rare().sweep()
end
local R = rare()
local size = call('HLEN', BODY)
local stored = call('HMGET', BODY, unpack(ids))

-- Two SETs by turns, each for one window: what is in either was sent not longer ago than two windows, and nothing
-- is forgotten before one has passed. Their turn is that of the server's clock.
local bucket, current, other
local before, again = {}, false
if dedup_window > 0 then
  bucket = math.floor(now / 1000000 / dedup_window)
  current, other = SEEN_0, SEEN_1
  if bucket % 2 == 1 then
    current, other = SEEN_1, SEEN_0
  end
  local looked = {}
  for i, id in ipairs(ids) do
    local stem = string.match(id, '^(.+)%.%d+$')
    looked[2 * i - 1], looked[2 * i] = id, stem and ' ' .. stem or id
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
  sent = sent + #those
  note('sent', table.concat(those, ' '))
  if current then
    if sent % 1000 < #those and call('SCARD', current) > 10 * math.max(max_length, 1000) then
      call('UNLINK', other)
      call('RENAME', current, other)
      seen_window = 0
    end
    if all then
      call('SADD', current, unpack(ARGV, 8, FIRST - 1))
    else
      call('SADD', current, unpack(those))  -- A stem would say that the refused ones were sent, too.
    end
    if seen_bucket ~= bucket or seen_window ~= dedup_window then
      call('PEXPIREAT', current, int((bucket + 2) * dedup_window * 1000 - 1))
      seen_bucket, seen_window = bucket, dedup_window
    end
  end
  wake()
end

local times = ARGV[5] ~= '' and cmsgpack.unpack(ARGV[5]) or {}
local codes, bodies, mine, lists, delayed, limited = {}, {}, {}, {}, {}, {}
local taken, refused, longest, all_accepted = {}, 0, ttl, true
for i = 1, total do
  local id, value = ids[i], ARGV[FIRST + 2 * i - 1]
  local code = '0'
  if mine[id] then
    code = '1'
  elseif before[i] or stored[i] then
    code = again and '3' or '1'
  elseif size >= max_length then
    code = '2'
    refused = refused + 1
  else
    size = size + 1
    mine[id] = true
    local own_ttl = times[i] and times[i][1] or ttl
    local delay = times[i] and times[i][2] or 0
    local expires = now + own_ttl * 1000000
    value = struct.pack(EXPIRES, expires) .. string.sub(value, EXPIRES_SIZE + 1)
    longest = math.max(longest, own_ttl)
    if has_info then
      R.remove_tombstone(id)
    end
    -- What lives as long as the queue says, and long, isn't in TTL, which would cost as much as the rest: it is
    -- found to have expired when its turn comes.
    if times[i] or ttl <= 3600 then
      limited[#limited + 1] = int(expires)
      limited[#limited + 1] = id
      R.due_at(expires)
    end
    if delay > 0 then
      delayed[#delayed + 1] = int(now + delay * 1000000)
      delayed[#delayed + 1] = id
      R.due_at(now + delay * 1000000)
    else
      local list = R.LISTS[R.priority(value)]
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
  all_accepted = all_accepted and code == '0'
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
  accept(taken, all_accepted)
else
  -- Nothing new; but where replicas are waited for, WAIT vouches only for what follows a write of this connection. One that has
  -- this write has the first send, too.
  count('repeated', 1)
end
if refused > 0 then
  count('refused', refused)
end
finish((longest + dead_ttl) * 1000)
return {
  died, all_accepted and '' or table.concat(codes), foreign and 1 or 0, max_length, int(dedup_window * 1000), listed and 1 or 0,
  int(now), string.format('%.17g', ttl)
}
