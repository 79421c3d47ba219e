#!lua
-- Counts the jobs of a lane.
-- KEYS  1 jobs (hash)  2 delayed (zset)  3 dead (zset)
-- Reply {waiting or in flight, delayed, dead}
local delayed, dead = redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[3])
return {redis.call('HLEN', KEYS[1]) - delayed - dead, delayed, dead}
