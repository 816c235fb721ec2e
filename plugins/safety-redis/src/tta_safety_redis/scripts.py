"""What happens in one step on the server: the keys of reviews share a slot, and so do those of rules."""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# A *place* is when a review was added, and its id: lists are sorted sets of places, in the order of texts. `about` says
# of each place how large its review is, and whose: what has ended by itself can't be asked any more.

# The oldest place, as long as there are more reviews, or bytes of them, than there may be.
_TOO_MANY = """
local function too_many(ALL, SIZE, most, limit)
  if redis.call('ZCARD', ALL) <= tonumber(most) and tonumber(redis.call('GET', SIZE) or 0) <= tonumber(limit) then
    return ''
  end
  return redis.call('ZRANGE', ALL, 0, 0)[1] or ''
end
"""

# What is sent again after its person was forgotten doesn't come back: the sign of that is another one than when it was
# sent first. KEYS: review, all, ends, about, size, list of the owner's, sign that they were forgotten. ARGV: place,
# format, the review packed, what `about` says, its size in bytes, whether it has an owner, for how long it is kept in
# ms, how many there may be, of how many bytes, the sign as it was when this call began.
ADD = (
    _NOW
    + _TOO_MANY
    + """
local REVIEW, ALL, ENDS, ABOUT, SIZE, OWNER, FORGOTTEN = unpack(KEYS)
local PLACE, KEEP = ARGV[1], tonumber(ARGV[7])
local sign = redis.call('GET', FORGOTTEN)
if sign and sign ~= ARGV[10] then return {'forgotten', ''} end
-- They end together, but for a millisecond.
if redis.call('EXISTS', ALL) == 0 then redis.call('DEL', SIZE) end
local found = redis.call('HMGET', REVIEW, 'format', 'place')
if found[1] and found[1] ~= ARGV[2] then return {'format', found[1]} end
if found[2] then
  -- The same is sent again, or another one lies in its place, which must leave all lists first.
  if found[2] ~= PLACE or redis.call('HGET', ABOUT, PLACE) ~= ARGV[4] then return {'other', found[2]} end
else
  redis.call('INCRBY', SIZE, ARGV[5])
end
redis.call('HSET', REVIEW, 'format', ARGV[2], 'place', PLACE, 'packed', ARGV[3])
redis.call('PEXPIRE', REVIEW, KEEP)
redis.call('ZADD', ALL, 0, PLACE)
redis.call('ZADD', ENDS, now + KEEP, PLACE)
redis.call('HSET', ABOUT, PLACE, ARGV[4])
local lists = {ALL, ENDS, ABOUT, SIZE}
if ARGV[6] == '1' then
  redis.call('ZADD', OWNER, 0, PLACE)
  table.insert(lists, OWNER)
end
-- Nobody may look again: so lists end with the last review that is in them.
for _, list in ipairs(lists) do
  if redis.call('PTTL', list) < KEEP then redis.call('PEXPIRE', list, KEEP) end
end
return {'added', too_many(ALL, SIZE, ARGV[8], ARGV[9])}
"""
)

# KEYS: as of ADD. ARGV: place, how many reviews there may be, of how many bytes.
REMOVE = (
    _TOO_MANY
    + """
local REVIEW, ALL, ENDS, ABOUT, SIZE, OWNER = unpack(KEYS)
local PLACE = ARGV[1]
local removed = 0
-- Under the same id there may be a newer one by now.
if redis.call('HGET', REVIEW, 'place') == PLACE then removed = redis.call('DEL', REVIEW) end
local about = redis.call('HGET', ABOUT, PLACE)
if about then redis.call('DECRBY', SIZE, string.match(about, '^%d+')) end
redis.call('HDEL', ABOUT, PLACE)
for _, list in ipairs({ALL, ENDS, OWNER}) do redis.call('ZREM', list, PLACE) end
return {removed, too_many(ALL, SIZE, ARGV[2], ARGV[3])}
"""
)

# Places of what has ended. KEYS: ends. ARGV: how many at most.
ENDED = (
    _NOW
    + """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
"""
)

# KEYS: layer. ARGV: format, how many bytes it may have.
READ_RULES = """
local found = redis.call('HMGET', KEYS[1], 'format', 'tag')
if not found[2] then return {redis.call('EXISTS', KEYS[1]) == 1 and 'broken' or 'none'} end
if found[1] ~= ARGV[1] then return {'format', found[1] or ''} end
local size = redis.call('HSTRLEN', KEYS[1], 'text')
if size > tonumber(ARGV[2]) then return {'large', tostring(size)} end
return {'ok', found[2], redis.call('HGET', KEYS[1], 'text') or ''}
"""

# A tag is the number of the write and the text's checksum, so that the same text written twice has two.
# KEYS: layer, writes. ARGV: format, the tag that it must have, this call's name, text, its checksum, for how long in ms
# (0: for ever), channel.
WRITE_RULES = """
local LAYER, WRITES = unpack(KEYS)
local last = redis.call('HMGET', WRITES, 'made_by', 'tag')
-- The answer to it was lost, and it is sent again.
if last[1] == ARGV[3] then return {'ok', last[2]} end
local found = redis.call('HMGET', LAYER, 'format', 'tag')
if found[1] and found[1] ~= ARGV[1] then return {'format', found[1]} end
if (found[2] or '') ~= ARGV[2] then return {'changed'} end
local number, tag = redis.call('HINCRBY', WRITES, 'number', 1), ''
redis.call('DEL', LAYER)
if ARGV[4] ~= '' then
  tag = number .. ':' .. ARGV[5]
  redis.call('HSET', LAYER, 'format', ARGV[1], 'tag', tag, 'text', ARGV[4])
  if ARGV[6] ~= '0' then redis.call('PEXPIRE', LAYER, ARGV[6]) end
end
redis.call('HSET', WRITES, 'made_by', ARGV[3], 'tag', tag)
redis.call('PUBLISH', ARGV[7], tag)
return {'ok', tag}
"""
