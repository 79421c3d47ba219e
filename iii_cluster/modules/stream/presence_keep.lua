#!lua flags=allow-oom
-- Prolongs the lease of a gateway that has recorded clients, or begins it.
-- KEYS  1 gateways (zset, score = end of the lease, ms)  2 dead ones (zset)
-- ARGV  1 gateway  2 lease, ms
-- Reply 1, 2 if it was not known, 0 if it counts as dead
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  return 0
end
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
return 1 + redis.call('ZADD', KEYS[1], ends, ARGV[1])
