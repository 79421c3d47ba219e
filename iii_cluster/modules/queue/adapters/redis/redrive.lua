#!lua
-- Dead jobs of one lane begin anew.
-- KEYS  1 dead (zset)  2 errors (hash)  3 tries (hash)  4 jobs (hash)  5 waiting (list)  6 groups (zset)
--       7 prefix of the lists of message groups
-- ARGV  1 1: a fifo lane  2... pairs of job id and message group
-- Reply how many were dead.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count = 0
for i = 2, #ARGV, 2 do
  local id, group = ARGV[i], ARGV[i + 1]
  if redis.call('ZREM', KEYS[1], id) == 1 then
    redis.call('HDEL', KEYS[2], id)
    local redriven = string.match(redis.call('HGET', KEYS[3], id) or '', '/(%d+)') or 0
    redis.call('HSET', KEYS[3], id, '0/' .. string.format('%d', redriven + 1))
    count = count + 1
    if ARGV[1] ~= '1' then
      redis.call('RPUSH', KEYS[5], id)
    elseif redis.call('RPUSH', KEYS[7] .. group, id) == 1 then
      redis.call('ZADD', KEYS[6], now, group)
    end
  end
end
return count
