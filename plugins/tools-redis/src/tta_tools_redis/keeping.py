"""What happens to results, claims and approvals in one step on the server.

They lie in a few hashes, so that whatever ends, or must make room, goes in the same step that finds it: a script may
only touch keys that it was given. Each hash ends with the last entry of its kind, also where nobody looks any more.
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function last_until(ends)
  for _, list in ipairs(KEYS) do
    if redis.call('PTTL', list) < ends - now then redis.call('PEXPIREAT', list, ends) end
  end
end
"""

# KEYS of a ledger: values, about, ends, owners, size. `about` holds of each key what is known of it, packed; `owners`
# lists "owner, 0x1F, key" in the order of texts; nobody ("") is no owner.
_LEDGER = (
    _NOW
    + """
local VALUES, ABOUT, ENDS, OWNERS, SIZE = unpack(KEYS)
local function known(key)
  local packed = redis.call('HGET', ABOUT, key)
  return packed and cmsgpack.unpack(packed)
end
local function drop(key)
  local about = known(key)
  redis.call('HDEL', VALUES, key)
  redis.call('HDEL', ABOUT, key)
  redis.call('ZREM', ENDS, key)
  if not about then return 0 end
  if about.size > 0 then redis.call('DECRBY', SIZE, about.size) end
  if about.owner ~= '' then redis.call('ZREM', OWNERS, about.owner .. '\\31' .. key) end
  return 1
end
local function drop_ended()
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, 1000)) do drop(key) end
end
local function size() return tonumber(redis.call('GET', SIZE) or 0) end
local function put(key, about, ends, value)
  redis.call('HSET', ABOUT, key, cmsgpack.pack(about))
  redis.call('ZADD', ENDS, ends, key)
  if about.owner ~= '' then redis.call('ZADD', OWNERS, 0, about.owner .. '\\31' .. key) end
  if value then
    redis.call('HSET', VALUES, key, value)
    redis.call('INCRBY', SIZE, about.size)
  end
  last_until(ends)
end
drop_ended()
"""
)

# ARGV: key, fingerprint, token, lease in ms, ttl in ms, whether it may be made again, owner, how many may be.
CLAIM = (
    _LEDGER
    + """
local key, fingerprint, token, lease, ttl, again, owner, most = unpack(ARGV)
local about = known(key)
if about then
  if about.fingerprint ~= fingerprint then return {'other'} end
  local value = redis.call('HGET', VALUES, key)
  if value then return {'kept', value} end
  -- The answer to this very call was lost, and it is sent again.
  if about.token == token then return {'claimed'} end
  if about.lease > now then return {'running', about.lease - now} end
  if again ~= '1' then return {'in_doubt'} end
  drop(key)
end
if redis.call('ZCARD', ENDS) >= tonumber(most) then return {'full'} end
put(key, {fingerprint = fingerprint, token = token, lease = now + lease, owner = owner, size = 0}, now + ttl)
return {'claimed'}
"""
)

# ARGV: key, token, value, ttl in ms, how many bytes all may have.
KEEP = (
    _LEDGER
    + """
local key, token, value, ttl, most = unpack(ARGV)
local about = known(key)
if not about or about.token ~= token then return 'lost' end
local there = redis.call('HGET', VALUES, key)
if there then return there == value and 'kept' or 'lost' end
if size() + #value > tonumber(most) then return 'full' end
about.size = #value
put(key, about, now + ttl, value)
return 'kept'
"""
)

# ARGV: key, token.
RELEASE = (
    _LEDGER
    + """
local about = known(ARGV[1])
if not about or about.token ~= ARGV[2] or redis.call('HEXISTS', VALUES, ARGV[1]) == 1 then return 0 end
return drop(ARGV[1])
"""
)

# KEYS: values, ends. ARGV: key.
FETCH = (
    _NOW
    + """
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not ends or tonumber(ends) <= now then return false end
return redis.call('HGET', KEYS[1], ARGV[1])
"""
)

# ARGV: key, value, ttl in ms, owner, how many may be, how many bytes they may have.
PUT = (
    _LEDGER
    + """
local key, value, ttl, owner, most, limit = unpack(ARGV)
drop(key)
if #value > tonumber(limit) then return 0 end
while redis.call('ZCARD', ENDS) >= tonumber(most) or size() + #value > tonumber(limit) do
  local oldest = redis.call('ZRANGE', ENDS, 0, 0)[1]
  if not oldest then break end
  drop(oldest)
end
put(key, {owner = owner, size = #value}, now + ttl, value)
return 1
"""
)

# Drops at most a thousand of a person's at a time, of whatever `drop` knows. ARGV: owner.
_FORGET = """
local begins, dropped = ARGV[1] .. '\\31', 0
local theirs = redis.call('ZRANGEBYLEX', OWNERS, '[' .. begins, '(' .. ARGV[1] .. '\\32', 'LIMIT', 0, 1000)
for _, place in ipairs(theirs) do
  redis.call('ZREM', OWNERS, place)
  dropped = dropped + drop(string.sub(place, #begins + 1))
end
return {#theirs, dropped}
"""
FORGET = _LEDGER + _FORGET

# KEYS of approvals: values, about, ends, owners, bindings, places. `about` holds binding, place, owner and where it
# stands, packed; `places` are in the order of texts.
_APPROVALS = (
    _NOW
    + """
local VALUES, ABOUT, ENDS, OWNERS, BINDINGS, PLACES = unpack(KEYS)
local function known(id)
  local packed = redis.call('HGET', ABOUT, id)
  return packed and cmsgpack.unpack(packed)
end
local function drop(id)
  local about = known(id)
  redis.call('HDEL', VALUES, id)
  redis.call('HDEL', ABOUT, id)
  redis.call('ZREM', ENDS, id)
  if not about then return 0 end
  if redis.call('HGET', BINDINGS, about.binding) == id then redis.call('HDEL', BINDINGS, about.binding) end
  redis.call('ZREM', PLACES, about.place)
  if about.owner ~= '' then redis.call('ZREM', OWNERS, about.owner .. '\\31' .. id) end
  return 1
end
local function told(id)
  local about = known(id)
  return {redis.call('HGET', VALUES, id) or '', about.status, about.by, about.decided_at}
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ENDS, '-inf', now, 'LIMIT', 0, 1000)) do drop(id) end
"""
)

# ARGV: id, binding, place, owner, the approval packed, when it ends in ms, how many may be.
ASK = (
    _APPROVALS
    + """
local id, binding, place, owner, packed, ends, most = unpack(ARGV)
local there = redis.call('HGET', BINDINGS, binding)
if there and known(there).status ~= 'taken' then return told(there) end
if redis.call('ZCARD', ENDS) >= tonumber(most) then return {'full'} end
drop(id)
redis.call('HSET', VALUES, id, packed)
redis.call('HSET', ABOUT, id, cmsgpack.pack({
  binding = binding, place = place, owner = owner, status = 'pending', by = '', decided_at = '0', taker = ''}))
redis.call('ZADD', ENDS, ends, id)
redis.call('HSET', BINDINGS, binding, id)
redis.call('ZADD', PLACES, 0, place)
if owner ~= '' then redis.call('ZADD', OWNERS, 0, owner .. '\\31' .. id) end
last_until(ends)
return told(id)
"""
)

# ARGV: id, approved or refused, by whom, when.
DECIDE = (
    _APPROVALS
    + """
local about = known(ARGV[1])
if not about then return {} end
if about.status == 'pending' then
  about.status, about.by, about.decided_at = ARGV[2], ARGV[3], ARGV[4]
  redis.call('HSET', ABOUT, ARGV[1], cmsgpack.pack(about))
end
return told(ARGV[1])
"""
)

# ARGV: binding, when in ms, who takes it.
TAKE = (
    _APPROVALS
    + """
local id = redis.call('HGET', BINDINGS, ARGV[1])
if not id or tonumber(redis.call('ZSCORE', ENDS, id)) <= tonumber(ARGV[2]) then return {} end
local about = known(id)
-- The answer to this very call was lost, and it is sent again.
if about.status == 'taken' and about.taker == ARGV[3] then return told(id) end
if about.status ~= 'approved' then return {} end
about.status, about.taker = 'taken', ARGV[3]
redis.call('HSET', ABOUT, id, cmsgpack.pack(about))
return told(id)
"""
)

# ARGV: id.
GIVE_BACK = (
    _APPROVALS
    + """
local about = known(ARGV[1])
if not about or about.status ~= 'taken' or redis.call('HGET', BINDINGS, about.binding) ~= ARGV[1] then return 0 end
about.status, about.taker = 'approved', ''
redis.call('HSET', ABOUT, ARGV[1], cmsgpack.pack(about))
return 1
"""
)

# ARGV: id.
READ_APPROVAL = (
    _APPROVALS
    + """
return known(ARGV[1]) and told(ARGV[1]) or {}
"""
)

# ARGV: after which place, downwards ('+': the newest), how many at most.
LIST_APPROVALS = (
    _APPROVALS
    + """
local found = {}
for _, place in ipairs(redis.call('ZREVRANGEBYLEX', PLACES, ARGV[1], '-', 'LIMIT', 0, ARGV[2])) do
  local id = string.match(place, '^[^.]*%.(.*)$')
  table.insert(found, {place, unpack(told(id))})
end
return found
"""
)

# ARGV: owner.
FORGET_APPROVALS = _APPROVALS + _FORGET

# KEYS: figures, all. ARGV: id, how many tools may be counted, for how long in ms, when it was last used, seconds, then
# names of counts and what to add.
COUNT = (
    _NOW
    + """
local FIGURES, ALL = unpack(KEYS)
local id, most, keep, last, seconds = unpack(ARGV)
if not redis.call('ZSCORE', ALL, id) then
  redis.call('ZREMRANGEBYSCORE', ALL, '-inf', now - keep)
  if redis.call('ZCARD', ALL) >= tonumber(most) then return 0 end
end
redis.call('HINCRBYFLOAT', FIGURES, 'seconds', seconds)
local before = tonumber(redis.call('HGET', FIGURES, 'last') or 0)
if tonumber(last) > before then redis.call('HSET', FIGURES, 'last', last) end
for place = 6, #ARGV, 2 do redis.call('HINCRBY', FIGURES, ARGV[place], ARGV[place + 1]) end
redis.call('ZADD', ALL, now, id)
redis.call('PEXPIRE', FIGURES, keep)
redis.call('PEXPIRE', ALL, keep)
return 1
"""
)
