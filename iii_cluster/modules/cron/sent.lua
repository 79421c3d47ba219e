#!lua flags=allow-oom
-- The call of a tick went to a gateway, or came back from there. Nothing happens when the job has another owner by now, or the tick is done.
-- KEYS  1 record (hash)
-- ARGV  1 fencing token of the owner  2 tick (seconds)  3 gateway, or ""
-- Reply 1, or 0 if nothing happened.
local record = redis.call('HMGET', KEYS[1], 'token', 'tick', 'started')
if record[1] ~= ARGV[1] or record[2] ~= ARGV[2] or tonumber(record[3] or 0) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'gateway', ARGV[3])
return 1
