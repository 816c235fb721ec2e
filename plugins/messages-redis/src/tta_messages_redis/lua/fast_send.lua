-- Sends a batch the usual way: the fast path in. It does what send.lua would, with less to look at, and is given only messages of
-- one priority and one time to live, without delay. If anything else is out of the ordinary it does nothing and replies 0; then
-- send.lua is to be asked. Why there are two is measured in STORAGE.md. While nothing waits but receivers, they get the
-- messages at once, within PUBLISH, without asking.
--
-- ARGV: 1 settings of the calling process, 2 '1' on a Cluster, 3 the stem of the batch before it that has to be there, or '',
-- 4 time to live (s, or '' for the queue's), 5 'chosen' if the caller chose some of the ids, 6 how much is to be remembered, that,
-- then id and value by turns; see send.lua. EXPIRES stands already in a value, by the caller's idea of our clock: it counts unless
-- the message stands in TTL, too.
-- Replies: 1, or 2 if a key that the work doesn't depend on holds something foreign; 0: nothing was done.
-- Atomicity: everything that may fail is looked at before the first write.
local call, attempt, pack = redis.call, redis.pcall, struct.pack
local MAX_BYTES = 100000  -- bytes that are handed over: PUBLISH copies them, and a slow reader's buffer holds them.
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kept = call('HMGET', QUEUE, 'settings', 'state', 'irregular')
local packed, state, irregular = kept[1], kept[2], kept[3]
if not state or #state ~= STATE_SIZE or packed and #packed ~= SETTINGS_SIZE then
  return 0
end
local mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags = struct.unpack(STATE, state)
local settings_mark, max_length, retries, backoff_base, backoff_factor, backoff_cap, jitter, visibility, ttl, starvation_limit,
  dedup_window, dead_limit, dead_ttl, audit_limit = struct.unpack(SETTINGS, packed or ARGV[1])
if mark ~= MARK or settings_mark ~= MARK then
  return 0
end
local FIRST = 7 + tonumber(ARGV[6])
local total = (#ARGV - FIRST + 1) / 2
local first = ARGV[FIRST + 1]
local size, bucket = call('HLEN', BODY), math.floor(now / 1000000 / dedup_window)
local seen = bucket % 2 == 0 and SEEN_0 or SEEN_1
local own_ttl = tonumber(ARGV[4])
local short_ttl = own_ttl or ttl <= 3600 and ttl  -- of what stands in TTL; false: it lives long, as the queue says, and doesn't

-- In this order: listed; nothing due; the keys live on for long enough; the set of ids has its end (so never without a
-- dedup_window); there is room; the caller's idea of our clock is right to a second; the bound on ids isn't to be looked at; the
-- batch before this one was accepted, so that none overtakes another, although several are under way at once.
if flags % 2 ~= LISTED or now >= next_due
  or ends < now / 1000 + (math.max(ttl, own_ttl or 0) + dead_ttl) * 1000
  or bucket ~= seen_bucket or dedup_window ~= seen_window or size + total > max_length
  or not short_ttl and math.abs(now + ttl * 1000000 - struct.unpack(EXPIRES, first)) >= 1000000
  or sent % 1000 < total and call('SCARD', seen) > 10 * math.max(max_length, 1000)
  or ARGV[3] ~= '' and call('SISMEMBER', seen, ARGV[3]) == 0 then
  return 0
end

local ids = {}
for i = 1, total do
  ids[i] = ARGV[FIRST + 2 * i - 2]
end
if ARGV[5] == 'chosen' then
  if irregular then
    return 0  -- There may be a tombstone of the same id.
  end
  local looked, mine = {}, {}
  for i, id in ipairs(ids) do
    local stem = string.match(id, '^(.+)%.%d+$')
    looked[2 * i - 1], looked[2 * i] = id, stem and ' ' .. stem or id
    if mine[id] or call('HEXISTS', BODY, id) == 1 then
      return 0
    end
    mine[id] = true
  end
  for _, each in ipairs({SEEN_0, SEEN_1}) do
    for _, found in ipairs(call('SMISMEMBER', each, unpack(looked))) do
      if found == 1 then
        return 0
      end
    end
  end
end

local priority = string.byte(first, VALUE_PRIORITY_AT)
local list = priority == HIGHEST and HIGH or priority == LOWEST and LOW or NORMAL
local items, expires = ARGV, nil  -- ids and values by turns, from FIRST on
if short_ttl then
  call('ZCARD', TTL)  -- Is it a ZSET? Fail now, before anything is done.
  expires = now + short_ttl * 1000000
  local head = pack(EXPIRES, expires)
  items = {}
  for i = FIRST, #ARGV, 2 do
    items[i], items[i + 1] = ARGV[i], head .. string.sub(ARGV[i + 1], EXPIRES_SIZE + 1)
  end
end

-- This changes nothing; but where Redis has no memory left, it fails. Once a script has taken something, Redis lets it write.
call('HSETNX', QUEUE, 'state', state)
local result, entry, handed = 1, attempt('SPOP', IDLE), 0
local channel, queue
if entry then
  channel, queue = string.match(QUEUE, '^(.*:){(.*)}')
end

-- Hand over, if nothing waits that would have its turn before: each receiver gets as many as it wants, in a hold of the
-- name that it chose. Not on a Cluster, where PUBLISH doesn't say whether anybody heard it.
if type(entry) == 'string' and ARGV[2] ~= '1' and not irregular
  and (size == 0 or call('LLEN', HIGH) + call('LLEN', NORMAL) + call('LLEN', LOW) == 0) then
  call('ZCARD', LEASE)  -- Is it a ZSET? Fail now, before anything is held.
  -- What is held for longer (s) needs keys that live longer, which is for the full path to see to.
  local max_hold = (ends - now / 1000) / 1000 - ttl - dead_ttl
  for _ = 1, 64 do
    if type(entry) ~= 'string' then
      break
    end
    local process, hold, wanted, seconds = string.match(entry, '^(%x+) (%S+) (%d+) (%S+)$')
    local some = math.min(tonumber(wanted) or 0, total - handed)
    seconds = tonumber(seconds) or visibility
    local deadline = string.format('%.0f', now + seconds * 1000000)
    local parts, bytes = {queue .. ' ' .. (hold or '') .. ' ' .. deadline .. '\n'}, 0
    for i = 1, some do
      local value = items[FIRST - 1 + 2 * (handed + i)]
      bytes = bytes + #value
      parts[2 * i], parts[2 * i + 1] = pack(LENGTH, #value), value
    end
    if some == 0 or bytes > MAX_BYTES or seconds > max_hold
      or call('HSETNX', HOLDS, hold, table.concat(ids, ' ', handed + 1, handed + some)) == 0 then
      break  -- It is woken below, and comes itself.
    end
    call('ZADD', LEASE, deadline, hold)
    if call('PUBLISH', channel .. 'wake:' .. process, table.concat(parts)) > 0 then
      handed = handed + some
      next_due = math.min(next_due, tonumber(deadline))
    else  -- Nobody heard it: its process is gone.
      call('HDEL', HOLDS, hold)
      call('ZREM', LEASE, hold)
    end
    entry = handed < total and attempt('SPOP', IDLE)
  end
end

if handed < total then
  if call('RPUSH', list, unpack(ids, handed + 1)) == total - handed then
    call('PEXPIREAT', list, string.format('%.0f', ends))  -- It was empty, which is to say not there.
  end
  if short_ttl then
    for i = handed + 1, total do
      call('ZADD', TTL, string.format('%.0f', expires), ids[i])
    end
    call('PEXPIREAT', TTL, string.format('%.0f', ends))
    next_due = math.min(next_due, expires)
    flags = LISTED + TIMED
  end
end
call('HSET', BODY, unpack(items, FIRST, FIRST + 2 * total - 1))
if size == 0 then
  call('PEXPIREAT', BODY, string.format('%.0f', ends))
end
sent, delivered = sent + total, delivered + handed
call('HSET', QUEUE, 'state', pack(STATE, mark, ends, next_due, sent, delivered, acknowledged, seen_bucket, seen_window, flags))

if audit_limit >= 1 then
  local joined, done = table.concat(ids, ' '), nil
  if handed > 0 then
    local gone = handed == total and joined or table.concat(ids, ' ', 1, handed)
    done = attempt('XADD', AUDIT, 'MAXLEN', '~', audit_limit, '*', 'sent', joined, 'delivered', gone)
  else
    done = attempt('XADD', AUDIT, 'MAXLEN', '~', audit_limit, '*', 'sent', joined)
  end
  if type(done) == 'table' then
    result = 2
  end
end
if type(attempt('SADD', seen, unpack(ARGV, 7, FIRST - 1))) == 'table' then
  result = 2
end

-- Something is left, or this one couldn't be handed anything: wake it, or the next that is there; as `wake` of common.lua.
for _ = 1, 64 do
  if type(entry) ~= 'string' then
    if entry then
      result = 2
    end
    break
  end
  local process, hold = string.match(entry, '^(%S+) (%S+)')
  if process and call('PUBLISH', channel .. 'wake:' .. process, queue .. ' ' .. hold) > 0 and ARGV[2] ~= '1' then
    break
  end
  entry = attempt('SPOP', IDLE)
end
return result
