-- Renames keys that hold something foreign, and that belong to no queue: the index of queues, subscriptions.
--
-- KEYS: some keys, then, in the same order, the names under which they are kept. ARGV: for how long that is kept (ms), the types
-- that they should have.
-- Replies: the names of the moved keys.
local moved = {}
for i = 1, #KEYS / 2 do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= 'none' and found ~= ARGV[i + 1] then
    redis.call('RENAME', KEYS[i], KEYS[#KEYS / 2 + i])
    redis.call('PEXPIRE', KEYS[#KEYS / 2 + i], ARGV[1])
    moved[#moved + 1] = KEYS[#KEYS / 2 + i]
  end
end
return moved
