#!lua
-- Puts one job into the lane of every group of a topic, or into its backlog; a second time changes nothing.
-- KEYS  1 subscribers (set: lanes of the topic's groups)  2 topics (set)  3 lanes (set)
--       4 prefix of all keys of lanes  5 attended (zset)
-- ARGV  1 topic  2 lane of the backlog  3 job id  4 job  5 delay, ms  6... lanes of groups that are live: they get it
--       even if this server has lost its memory of them
-- Reply the lanes of the groups.
local groups = redis.call('SMEMBERS', KEYS[1])
local known = {}
for _, lane in ipairs(groups) do
  known[lane] = true
end
for i = 6, #ARGV do
  if not known[ARGV[i]] then
    groups[#groups + 1] = ARGV[i]
  end
end
local lanes = groups
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = now + ARGV[5]
if #groups == 0 then
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[5], 'NX', now, ARGV[2])
  lanes = {ARGV[2]}
end
for _, lane in ipairs(lanes) do
  local base = KEYS[4] .. lane
  if not redis.call('ZSCORE', base .. ':done', ARGV[3]) and redis.call('HSETNX', base .. ':jobs', ARGV[3], ARGV[4]) == 1 then
    redis.call('SADD', KEYS[3], lane)
    if tonumber(ARGV[5]) > 0 then
      redis.call('ZADD', base .. ':delayed', due, ARGV[3])
    else
      redis.call('RPUSH', base .. ':waiting', ARGV[3])
    end
  end
end
return groups
