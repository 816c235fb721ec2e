-- KEYS: some keys, then where each is put if it holds something foreign. ARGV: for how long that is kept (ms), the types.
-- Replies with the names of the moved keys.
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
