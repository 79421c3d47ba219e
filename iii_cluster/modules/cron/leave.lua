#!lua flags=allow-oom
-- The job is gone: no trigger asks for it any more. Nothing happens when it has another owner by now.
-- KEYS  1 record (hash)
-- ARGV  1 fencing token of the owner
-- Reply 1, or 0 if nothing happened.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'gone', '1')
return 1
