#!lua
-- Puts one job into a standard lane; a second time changes nothing.
-- KEYS  1 jobs (hash)  2 waiting (list)  3 delayed (zset)  4 done (zset)  5 lanes (set)
-- ARGV  1 lane  2 job id  3 job  4 delay, ms
-- Reply 1, or 0 if the job is known.
if redis.call('ZSCORE', KEYS[4], ARGV[2]) or redis.call('HSETNX', KEYS[1], ARGV[2], ARGV[3]) == 0 then
  return 0
end
redis.call('SADD', KEYS[5], ARGV[1])
if tonumber(ARGV[4]) > 0 then
  local now = redis.call('TIME')
  redis.call('ZADD', KEYS[3], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[4], ARGV[2])
else
  redis.call('RPUSH', KEYS[2], ARGV[2])
end
return 1
