-- ARGV: settings, queue, channel, all, what, then by what:
--   nack: id, token, error, '1' if permanent, delay (s, or ''), a random number from 0 up to 1
--   release: id, token, id, token...
--   extend: id, token, seconds
--   cancel: id
--   corrupt: id, token, why (a hold whose body nobody can read)
-- Replies: who died; the result: a word for nack, a digit each for the rest.
local what = ARGV[5]

local function holds(id, token)
  local info = call('HGET', INFO, id)
  if info and (info == token or string.sub(info, 1, #token + 1) == token .. ':') then
    return info
  end
end

local function give_back(id)
  call('ZREM', LEASE, id)
  return call('HGET', BODY, id)
end

local result, life = '', a_life()
if what == 'nack' then
  local id, err = ARGV[6], ARGV[8]
  local info = holds(id, ARGV[7])
  if not info then
    return {died, 'stale', 0}
  end
  local value = give_back(id)
  local attempts = held_history(info)
  result = 'dead'
  if not whole(value) then
    corrupt(id, value, value and 'its body is no message' or 'its body is missing')
  elseif ARGV[9] == '1' then
    die(id, value, 'rejected', err, attempts)
  elseif attempts > RETRIES then
    die(id, value, 'retries', err, attempts)
  else
    local pause = tonumber(ARGV[10])
    if not pause then
      pause = math.min(BASE * FACTOR ^ (attempts - 1), CAP) * (1 - JITTER * tonumber(ARGV[11]))
    end
    local at, expires = now + math.max(pause, 0) * 1000000, struct.unpack('>d', value)
    if at >= expires then
      die(id, value, 'expired', err, attempts)
    else
      result = 'retry'
      call('HSET', INFO, id, '-' .. attempts .. ':' .. err)
      keep(INFO)
      if pause > 0 then
        call('ZADD', DELAYED, int(at), id)
        call('ZADD', TTL, int(expires), id)
        keep(DELAYED, TTL)
        due_at(at)
        due_at(expires)
      else
        put_back({id}, {value}, false)
      end
      count('retried', 1)
      note('retried', id, err)
      wake(ARGV[3], ARGV[2], ARGV[4] == '1')
    end
  end
elseif what == 'release' then
  local codes, back, bodies, mine = {}, {}, {}, {}
  for i = 6, #ARGV, 2 do
    local id = ARGV[i]
    local info = not mine[id] and holds(id, ARGV[i + 1])
    codes[#codes + 1] = info and '1' or '0'
    if info then
      mine[id] = true
      local value = give_back(id)
      local attempts, err = held_history(info)
      if attempts > 1 or err ~= '' then
        call('HSET', INFO, id, '-' .. (attempts - 1) .. ':' .. err)
      else
        call('HDEL', INFO, id)
      end
      if whole(value) then
        back[#back + 1], bodies[#bodies + 1] = id, value
      else
        corrupt(id, value, value and 'its body is no message' or 'its body is missing')
      end
    end
  end
  result = table.concat(codes)
  if #back > 0 then
    note('retried', table.concat(back, ' '), 'released')
    put_back(back, bodies, true)
    wake(ARGV[3], ARGV[2], ARGV[4] == '1')
  end
elseif what == 'extend' then
  local held = holds(ARGV[6], ARGV[7])
  result = held and '1' or '0'
  if held then
    local at = now + tonumber(ARGV[8]) * 1000000
    call('ZADD', LEASE, int(at), ARGV[6])
    due_at(at)
    life = life + tonumber(ARGV[8]) * 1000
  end
elseif what == 'cancel' then
  if now >= next_due then
    sweep()
  end
  local id = ARGV[6]
  local value, info = call('HGET', BODY, id), call('HGET', INFO, id)
  result = value and not is_held(info) and '1' or '0'
  if result == '1' then
    local waits = call('ZREM', DELAYED, id) == 0
    call('HDEL', BODY, id)
    call('HDEL', INFO, id)
    call('ZREM', TTL, id)
    if waits and whole(value) then
      ghost(id, value)
    end
    note('purged', id, 'cancelled')
  end
elseif what == 'corrupt' then
  local id = ARGV[6]
  local info = holds(id, ARGV[7])
  if info then
    local value = give_back(id)
    local attempts = held_history(info)
    die(id, value or id, 'corrupt', ARGV[8], attempts)
  end
  result = info and '1' or '0'
end
if state[2] or #died > 0 then
  finish(life)
end
return {died, result, odd and 1 or 0}
