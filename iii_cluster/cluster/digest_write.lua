#!lua flags=allow-oom
-- Keeps the digest of the functions last told of, as long as the writer's term is the newest.
-- KEYS  1 digest (string)  2 term (string)
-- ARGV  1 term of the writer  2 digest
-- Reply 1, or 0 if the term is over (nothing was changed).
if tonumber(redis.call('GET', KEYS[2]) or 0) ~= tonumber(ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
