#!lua flags=allow-oom
-- Deletes one dead job.
-- KEYS  1 dead (zset)  2 errors (hash)  3 tries (hash)  4 jobs (hash)
-- ARGV  1 job id
-- Reply 1, or 0 if no such job is dead.
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
for i = 2, 4 do
  redis.call('HDEL', KEYS[i], ARGV[1])
end
return 1
