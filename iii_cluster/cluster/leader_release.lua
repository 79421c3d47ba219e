#!lua flags=allow-oom
-- Gives the leader lease up so that a standby can lead at once.
-- KEYS  1 leader (string)
-- ARGV  1 node id
-- Reply 1, or 0 if the caller did not hold it.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
