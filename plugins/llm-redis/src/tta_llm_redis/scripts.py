"""What the server does on its own: an amount is charged to all accounts of a reservation, or to none.

All keys share a slot. An account (HASH ``tokens``, ``money``) ends with its window by the server's clock. A reservation
(HASH ``tokens``, ``money``, ``settled``, and in ``accounts`` their keys, a line each) is remembered as long as its
caller says. Fields that a script doesn't know stay as they are.
"""

from __future__ import annotations

# KEYS: the reservation, the accounts, and for each account the set of its subject's accounts, or itself where it has no
# subject. ARGV: hold (ms), tokens, money; then for each account the most tokens and money ("" for any), and its end in
# ms since the epoch.
# Returns -1 for a repeat, 0 where it is charged, or which account wouldn't bear it.
RESERVE = """
local reservation = KEYS[1]
local number = (#KEYS - 1) / 2
local tokens, money = tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('EXISTS', reservation) == 1 then return -1 end
local function is_over(account, field, more, most)
  return most ~= '' and tonumber(redis.call('HGET', account, field) or '0') + more > tonumber(most)
end
for n = 1, number do
  local account, at = KEYS[1 + n], 1 + 3 * n
  if is_over(account, 'tokens', tokens, ARGV[at]) or is_over(account, 'money', money, ARGV[at + 1]) then return n end
end
local accounts = {}
for n = 1, number do
  local account, theirs, ends = KEYS[1 + n], KEYS[1 + number + n], ARGV[3 + 3 * n]
  redis.call('HINCRBY', account, 'tokens', ARGV[2])
  redis.call('HINCRBY', account, 'money', ARGV[3])
  redis.call('PEXPIREAT', account, ends)
  if theirs ~= account then
    redis.call('SADD', theirs, account)
    -- As long as the longest of their accounts: an account that has ended before does no harm in it.
    local left = redis.call('PTTL', theirs)
    local time = redis.call('TIME')
    local wanted = tonumber(ends) - (time[1] * 1000 + math.floor(time[2] / 1000))
    if left < wanted then redis.call('PEXPIREAT', theirs, ends) end
  end
  accounts[n] = account
end
redis.call('HSET', reservation, 'tokens', ARGV[2], 'money', ARGV[3], 'accounts', table.concat(accounts, '\\n'))
redis.call('PEXPIRE', reservation, ARGV[1])
return 0
"""

# KEYS: the reservation. ARGV: keep (ms), tokens, money. Returns whether it was settled now.
# The accounts are named by the reservation, and lie in its slot.
SETTLE = """
local reservation = KEYS[1]
local known = redis.call('HMGET', reservation, 'tokens', 'money', 'accounts', 'settled')
if not known[1] or known[4] then return 0 end
local function put_right(account, field, was, is)
  local now = redis.call('HINCRBY', account, field, tonumber(is) - tonumber(was))
  if now < 0 then redis.call('HSET', account, field, 0) end
end
for account in string.gmatch(known[3], '[^\\n]+') do
  -- One that has ended, or was erased, isn't begun anew.
  if redis.call('EXISTS', account) == 1 then
    put_right(account, 'tokens', known[1], ARGV[2])
    put_right(account, 'money', known[2], ARGV[3])
  end
end
if tonumber(ARGV[1]) > 0 then
  redis.call('HSET', reservation, 'settled', 1)
  redis.call('PEXPIRE', reservation, ARGV[1])
else
  redis.call('DEL', reservation)
end
return 1
"""

# KEYS: accounts. Returns tokens and money of each in turn.
READ = """
local found = {}
for _, account in ipairs(KEYS) do
  local charged = redis.call('HMGET', account, 'tokens', 'money')
  found[#found + 1] = charged[1] or '0'
  found[#found + 1] = charged[2] or '0'
end
return found
"""

# KEYS: the set of a subject's accounts. Returns how many accounts there were.
FORGET = """
local erased = 0
for _, account in ipairs(redis.call('SMEMBERS', KEYS[1])) do erased = erased + redis.call('DEL', account) end
redis.call('DEL', KEYS[1])
return erased
"""
