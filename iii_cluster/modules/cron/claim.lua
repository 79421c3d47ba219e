#!lua flags=allow-oom
-- Claims a tick of a job for its owner. Doing it twice is the same as once.
-- KEYS  1 record (hash)
-- ARGV  1 fencing token of the owner  2 tick (seconds)  3 time to live (ms)
-- Reply {verdict, now (microseconds)}: 1 claimed, 0 it is still to come, -1 claimed or skipped before.
-- Error FENCED when a later owner has taken the job over.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local record = redis.call('HMGET', KEYS[1], 'token', 'tick', 'started', 'claimer')
local tick = tonumber(ARGV[2])
if tonumber(record[1] or 0) > tonumber(ARGV[1]) then
  return redis.error_reply('FENCED the job has a later owner')
end
if tonumber(record[2] or 0) == tick and tonumber(record[3] or 0) > 0 and record[4] == ARGV[1] then
  return {1, now}
end
if tonumber(record[2] or 0) >= tick then
  return {-1, now}
end
if tick * 1000000 > now then
  return {0, now}
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'claimer', ARGV[1], 'tick', ARGV[2],
  'started', string.format('%.0f', now))
redis.call('HDEL', KEYS[1], 'gateway')
redis.call('HSETNX', KEYS[1], 'known', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {1, now}
