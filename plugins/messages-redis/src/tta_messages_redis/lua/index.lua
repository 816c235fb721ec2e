-- Adds the name of a queue that is about to be used to the index of all queues, and forgets some whose time is over.
--
-- KEYS: QUEUES, a ZSET of names by when we may forget them (ms). ARGV: name, how long it lives (ms).
-- Replies: 1.
-- The key ends with the last of them; on a Cluster it is in another slot than the queues, so no script sees both.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local at = now + tonumber(ARGV[2])
local known = redis.call('ZSCORE', QUEUES, ARGV[1])
if not known or tonumber(known) < at then
  redis.call('ZADD', QUEUES, string.format('%.0f', at), ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', QUEUES, '-inf', string.format('%.0f', now))
local last = redis.call('ZRANGE', QUEUES, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', QUEUES, string.format('%.0f', tonumber(last[2])))
return 1
