#!lua
-- Puts one job into a fifo lane; a second time changes nothing.
-- KEYS  1 jobs (hash)  2 list of the message group  3 groups (zset)  4 delayed (zset)  5 due (hash)  6 done (zset)
--       7 lanes (set)
-- ARGV  1 lane  2 job id  3 job  4 message group  5 delay, ms
-- Reply 1, or 0 if the job is known.
if redis.call('ZSCORE', KEYS[6], ARGV[2]) or redis.call('HSETNX', KEYS[1], ARGV[2], ARGV[3]) == 0 then
  return 0
end
redis.call('SADD', KEYS[7], ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = now + ARGV[5]
if due > now then
  redis.call('HSET', KEYS[5], ARGV[2], due)
end
if redis.call('RPUSH', KEYS[2], ARGV[2]) == 1 then
  if due > now then
    redis.call('ZADD', KEYS[4], due, ARGV[4])
  else
    redis.call('ZADD', KEYS[3], now, ARGV[4])
  end
end
return 1
