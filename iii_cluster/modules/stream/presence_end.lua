#!lua flags=allow-oom
-- Takes what is recorded of a gateway away, which goes on under another name or ends. May be run twice.
-- KEYS  1 gateways (zset)  2 dead ones (zset, score = when that was noticed, ms)  3 those that are to be told of (set)
--       4 who has joined there (hash)  5 whose hooks were told that they left (set of numbers)
-- ARGV  1 gateway
-- Reply what is in 5
local time = redis.call('TIME')
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
return redis.call('SMEMBERS', KEYS[5])
