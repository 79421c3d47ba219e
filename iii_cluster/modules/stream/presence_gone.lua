#!lua flags=allow-oom
-- Gateways that have died: their leases have ended. They will be told so when they go on all the same.
-- KEYS  1 gateways (zset, score = end of the lease, ms)  2 dead ones (zset, score = when that was noticed, ms)
--       3 those of them whose clients are to be told of (set)  4 exists if this was run a short time ago
-- ARGV  1 how long dead ones are remembered, ms  2 how long KEYS[4] exists, ms  3 lease, ms
-- Reply what is in 3
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not redis.call('SET', KEYS[4], '', 'PX', ARGV[2], 'GET') then
  -- Redis was away, perhaps: nobody could prolong a lease
  for _, gateway in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], 'GT', now + ARGV[3], gateway)
  end
end
for _, gateway in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE')) do
  redis.call('ZREM', KEYS[1], gateway)
  redis.call('ZADD', KEYS[2], now, gateway)
  redis.call('SADD', KEYS[3], gateway)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[1])
return redis.call('SMEMBERS', KEYS[3])
