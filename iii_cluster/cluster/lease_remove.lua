#!lua flags=allow-oom
-- Ends leases for good: a node leaves, the leader removes dead ones, or Redis is reminded of those that are over.
-- A removed id can not renew again.
-- KEYS  1 leases (zset)  2 nodes (hash)  3 gone (zset)  4 term (string)
-- ARGV  1 term of the leader, 0 for nodes that are over already  2 how long the ids are remembered as gone, ms
--       3... node ids
-- Reply 1, or 0 if the leader's term is over (nothing was changed).
local leader_term = tonumber(ARGV[1])
if leader_term ~= 0 and tonumber(redis.call('GET', KEYS[4]) or 0) ~= leader_term then
  return 0
end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_ms)
for i = 3, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[i])
  redis.call('HDEL', KEYS[2], ARGV[i])
  redis.call('ZADD', KEYS[3], now_ms + ARGV[2], ARGV[i])
end
return 1
