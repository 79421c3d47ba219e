#!lua flags=allow-oom
-- The handler of a tick is done. Nothing happens when the job has another owner by now, or claimed another tick.
-- KEYS  1 record (hash)
-- ARGV  1 fencing token of the owner  2 tick (seconds)  3 the last tick that is not to be claimed (seconds)
-- Reply 1, or 0 if nothing happened.
local record = redis.call('HMGET', KEYS[1], 'token', 'tick')
if record[1] ~= ARGV[1] or record[2] ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], 'tick', ARGV[3], 'started', '0')
return 1
