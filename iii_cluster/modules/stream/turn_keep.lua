#!lua flags=allow-oom
-- Prolongs a turn.
-- KEYS  1 turn (string)
-- ARGV  1 holder  2 lease, ms
-- Reply 1, or 0 if it is somebody else's
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
