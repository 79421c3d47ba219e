#!lua
-- Groups that have had no trigger for long, and backlogs whose oldest message is that old.
-- KEYS  1 attended (zset: lanes by when)
-- ARGV  1 how long, ms  2 how many at most
-- Reply their lanes.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[2])
