#!lua flags=allow-oom
-- Takes a group off a topic; its jobs stay.
-- KEYS  1 subscribers (set)  2 topics (set)  3 jobs of the backlog (hash)
-- ARGV  1 topic  2 lane of the group
redis.call('SREM', KEYS[1], ARGV[2])
if redis.call('EXISTS', KEYS[1], KEYS[3]) == 0 then
  redis.call('SREM', KEYS[2], ARGV[1])
end
