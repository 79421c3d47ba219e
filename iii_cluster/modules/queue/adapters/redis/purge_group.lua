#!lua flags=allow-oom
-- Deletes jobs of one message group of a fifo lane; the one in flight stays.
-- KEYS  1 list of the message group  2 active (zset)  3 groups (zset)  4 delayed (zset)  5 due (hash)  6 jobs (hash)
--       7 tries (hash)
-- ARGV  1 message group  2 how many at most
-- Reply how many.
local head = redis.call('LINDEX', KEYS[1], 0)
local first = (head and redis.call('ZSCORE', KEYS[2], head)) and 1 or 0
local ids = redis.call('LRANGE', KEYS[1], first, first + ARGV[2] - 1)
for _, id in ipairs(ids) do
  for i = 5, 7 do
    redis.call('HDEL', KEYS[i], id)
  end
end
if first == 1 then
  redis.call('LPOP', KEYS[1], #ids + 1)
  redis.call('LPUSH', KEYS[1], head)
elseif #ids > 0 then
  redis.call('LPOP', KEYS[1], #ids)
end
if redis.call('LLEN', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
end
return #ids
