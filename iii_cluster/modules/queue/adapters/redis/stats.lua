#!lua
-- Counts the jobs of a lane.
-- KEYS  1 jobs (hash)  2 delayed (zset)  3 dead (zset)  4 waiting (list)  5 groups (zset)  6 prefix of their lists
-- Reply {waiting or in flight, delayed, dead, the job that waits longest or ''}
local delayed, dead = redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[3])
local first = redis.call('LINDEX', KEYS[4], 0)
if not first then
  local group = redis.call('ZRANGE', KEYS[5], 0, 0)[1]
  first = group and redis.call('LINDEX', KEYS[6] .. group, 0)
end
local job = first and redis.call('HGET', KEYS[1], first)
return {redis.call('HLEN', KEYS[1]) - delayed - dead, delayed, dead, job or ''}
