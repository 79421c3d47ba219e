#!lua flags=allow-oom
-- Writes worker records, as long as the writer's term is the newest.
-- KEYS  1 workers (hash)  2 term (string)
-- ARGV  1 term of the writer  2 how many records are stored  3... that many pairs of worker id and body,
--       then the ids of the workers whose records are erased
-- Reply 1, or 0 if the term is over (nothing was changed).
if tonumber(redis.call('GET', KEYS[2]) or 0) ~= tonumber(ARGV[1]) then
  return 0
end
local erased = 3 + 2 * ARGV[2]
for i = 3, erased - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
for i = erased, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
return 1
