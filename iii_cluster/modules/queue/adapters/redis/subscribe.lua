#!lua
-- Adds a group to a topic, which is attended now. The first one gets the backlog, in steps.
-- KEYS  1 subscribers (set)  2 topics (set)  3 lanes (set)
--       of the backlog: 4 jobs (hash)  5 waiting (list)  6 delayed (zset)
--       of the group:   7 jobs (hash)  8 waiting (list)  9 delayed (zset)
--       10 attended (zset)
-- ARGV  1 topic  2 lane of the group  3 lane of the backlog
-- Reply 0 the group was there, 1 it is now, 2 not yet: call once more.
local STEP = 500
local time = redis.call('TIME')
redis.call('ZADD', KEYS[10], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[2])
if redis.call('SISMEMBER', KEYS[1], ARGV[2]) == 1 then
  return 0
end
if redis.call('SCARD', KEYS[1]) == 0 then
  local waiting = redis.call('LPOP', KEYS[5], STEP) or {}
  local delayed = redis.call('ZPOPMIN', KEYS[6], STEP)
  local function move(id)
    local job = redis.call('HGET', KEYS[4], id)
    redis.call('HDEL', KEYS[4], id)
    return job and redis.call('HSETNX', KEYS[7], id, job) == 1
  end
  for _, id in ipairs(waiting) do
    if move(id) then
      redis.call('RPUSH', KEYS[8], id)
    end
  end
  for i = 1, #delayed, 2 do
    if move(delayed[i]) then
      redis.call('ZADD', KEYS[9], delayed[i + 1], delayed[i])
    end
  end
  if #waiting + #delayed > 0 then
    redis.call('SADD', KEYS[3], ARGV[2])
    if redis.call('EXISTS', KEYS[5], KEYS[6]) > 0 then
      return 2
    end
  end
  redis.call('SREM', KEYS[3], ARGV[3])
  redis.call('ZREM', KEYS[10], ARGV[3])
end
redis.call('SADD', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
return 1
