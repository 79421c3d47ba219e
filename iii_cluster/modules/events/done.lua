#!lua flags=allow-oom
-- Removes an event that was dispatched.
-- KEYS  1 outbox (stream)  2 fences (hash)
-- ARGV  1 name of the outbox  2 token  3 id of the entry
-- Reply 1; error FENCED if a later owner has been here.
local fence = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
if tonumber(ARGV[2]) < fence then
  return redis.error_reply('FENCED by ' .. fence)
end
redis.call('XDEL', KEYS[1], ARGV[3])
return 1
