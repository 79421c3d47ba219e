#!lua flags=allow-oom
-- Prolongs the lease of a gateway, or begins it, and records who has joined and who has left. Does nothing for one that
-- counts as dead: its records are told of, and nobody would look after new ones.
-- KEYS  1 gateways (zset, score = end of the lease, ms)  2 dead ones (zset)
--       3 who has joined there (hash, number -> membership)
-- ARGV  1 gateway  2 lease, ms  3 how many have left  then their numbers; then number and membership of each that joined
-- Reply 1, 2 if it was not known, 0 if it counts as dead
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return 0
end
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
local joined = 4 + ARGV[3]
if joined > 4 then
  redis.call('HDEL', KEYS[3], unpack(ARGV, 4, joined - 1))
end
if #ARGV >= joined then
  redis.call('HSET', KEYS[3], unpack(ARGV, joined))
end
return 1 + redis.call('ZADD', KEYS[1], ends, ARGV[1])
