"""What happens in one step on the server; each script's keys are of one chain, or one person, and so of one slot."""

from __future__ import annotations

# KEYS: the lines of a chain, the digest of the last, and the last line that was dropped. ARGV: where the chain ends as
# its process remembers, where it ends with the new line, that line, how many are kept, and for how long, in
# milliseconds. Sent twice it adds once: the second time the chain ends with the new line already.
ADD = """
local head = redis.call('GET', KEYS[2]) or ''
if head ~= ARGV[2] then
  if head ~= ARGV[1] then return 0 end
  redis.call('RPUSH', KEYS[1], ARGV[3])
  redis.call('SET', KEYS[2], ARGV[2])
  local over = redis.call('LLEN', KEYS[1]) - tonumber(ARGV[4])
  if over > 0 then
    redis.call('SET', KEYS[3], redis.call('LINDEX', KEYS[1], over - 1))
    redis.call('LTRIM', KEYS[1], over, -1)
  end
end
for n = 1, 3 do redis.call('PEXPIRE', KEYS[n], ARGV[5]) end
return 1
"""

# KEYS: a person's key. ARGV: what it becomes where there is none, or nothing; and for how long it is kept from now on.
OWNER = """
local key = redis.call('GET', KEYS[1])
if not key and ARGV[1] ~= '' then
  key = ARGV[1]
  redis.call('SET', KEYS[1], key)
end
if key then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return key
"""
