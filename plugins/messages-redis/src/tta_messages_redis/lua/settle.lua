-- Says what becomes of messages that are held, other than being acknowledged; and cancels one that isn't held.
--
-- ARGV: 1-4 see common.lua, 5 what, then by what:
--   nack: id, hold, error, '1' if permanent, delay (s, or ''), a random number from 0 up to 1
--   release: id, hold, id, hold...
--   extend: id, hold, seconds
--   cancel: id
--   corrupt: id, hold, why (a held one whose envelope the caller can't read)
--   abandon: hold, entry (gives back all that a cancelled receive got, be it nothing; and nobody waits with this entry of IDLE)
-- Replies: see common.lua; the result: a word for nack, a number for abandon (how many), a digit each for the rest ('1': done,
-- '0': it wasn't held, or there); foreign.
-- Atomicity: a hold is left first, since only who holds it decides; what fails after that is repaired by the caller, and found.
local what = ARGV[5]
local R = rare()
local result, life = '', (ttl + dead_ttl) * 1000

-- Give back unharmed what was held, to the head and in order.
local function release(ids)
  local back, values = R.messages(ids)
  if #back > 0 then
    note('retried', table.concat(back, ' '), 'detail', 'released')
    R.put_back(back, values, true)
    wake()
  end
  return #back
end

if what == 'nack' then
  local id, hold, err, permanent, delay, random = unpack(ARGV, 6)
  if not R.leave(hold, id) then
    return {died, 'stale', 0}
  end
  local value = call('HGET', BODY, id)
  local attempts = R.read_retry(call('HGET', INFO, id)) + 1
  result = 'dead'
  if not R.whole(value) then
    R.corrupt(id, value)
  elseif permanent == '1' then
    R.die(id, value, 'rejected', err, attempts)
  elseif attempts > retries then
    R.die(id, value, 'retries', err, attempts)
  else
    local pause = tonumber(delay)
    if not pause then
      pause = math.min(backoff_base * backoff_factor ^ (attempts - 1), backoff_cap) * (1 - jitter * tonumber(random))
    end
    local at, expires = now + pause * 1000000, struct.unpack(EXPIRES, value)
    if at >= expires then
      R.die(id, value, 'expired', err, attempts)
    else
      result = 'retry'
      R.set_info(id, struct.pack(RETRY, RETRY_KIND, attempts, 0) .. err)  -- It failed otherwise: no suspect any more.
      if pause > 0 then
        call('ZADD', DELAYED, int(at), id)
        keep(DELAYED)
        R.due_at(at)
        R.set_expiry(id, expires)
      else
        R.put_back({id}, {value}, false)
      end
      count('retried', 1)
      note('retried', id, 'detail', err)
      wake()  -- Whoever waits may now have to look sooner.
    end
  end
elseif what == 'release' then
  local ids, codes = {}, {}
  for i = 6, #ARGV, 2 do
    local held = R.leave(ARGV[i + 1], ARGV[i])
    codes[#codes + 1] = held and '1' or '0'
    if held then
      ids[#ids + 1] = ARGV[i]
    end
  end
  result = table.concat(codes)
  release(ids)
elseif what == 'extend' then
  local id, hold, seconds = ARGV[6], ARGV[7], tonumber(ARGV[8])
  local held = R.leave(hold, id)
  result = held and '1' or '0'
  if held then
    -- A hold of its own from now on, since the others of the same receive keep their end.
    local at, own = now + seconds * 1000000, hold .. '/' .. id
    call('HSET', HOLDS, own, id)
    call('ZADD', LEASE, int(at), own)
    R.due_at(at)
    wake()
    life = life + seconds * 1000
  end
elseif what == 'cancel' then
  if now >= next_due then
    R.sweep()
  end
  local id = ARGV[6]
  local value = call('HGET', BODY, id)
  local delayed = value and call('ZREM', DELAYED, id) == 1
  result = value and (delayed or not R.held()[id]) and '1' or '0'
  if result == '1' then
    call('HDEL', BODY, id)
    call('HDEL', INFO, id)
    call('ZREM', TTL, id)
    if not delayed and R.whole(value) then
      R.leave_tombstone(id, value)
    end
    note('purged', id, 'detail', 'cancelled')
  end
elseif what == 'corrupt' then
  local id, hold, why = ARGV[6], ARGV[7], ARGV[8]
  local held = R.leave(hold, id)
  result = held and '1' or '0'
  if held then
    local attempts = R.read_retry(call('HGET', INFO, id)) + 1
    R.die(id, call('HGET', BODY, id) or id, 'corrupt', why, attempts)
  end
elseif what == 'abandon' then
  local hold, entry, ids = ARGV[6], ARGV[7], {}
  if entry then
    attempt('SREM', IDLE, entry)
  end
  for id in string.gmatch(call('HGET', HOLDS, hold) or '', '[^ ]+') do
    ids[#ids + 1] = id
  end
  call('HDEL', HOLDS, hold)
  call('ZREM', LEASE, hold)
  result = release(ids)
end
if exists or #died > 0 then
  finish(life)
end
return {died, result, foreign and 1 or 0}
