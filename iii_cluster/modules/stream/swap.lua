#!lua
-- Replaces the value of an item if it is what the caller thinks, going through several values: each is told of.
-- KEYS  1 items of the group (hash)  2 clock of the group (hash)  3 groups of the stream (set)  4 streams (set)
--       5 outbox (stream), or none
-- ARGV  1 channel  2 middle  3 lane  4 triggers  5 contexts, see tell.lua  6 item
--       7 '1' if there is a value, '0' if not  8 that value  9 group  10 stream  11.. values; the last one is stored
-- Reply {1}, or {0, value} or {0} if it is another one, or none
local old = redis.call('HGET', KEYS[1], ARGV[6])
if (old and '1' or '0') ~= ARGV[7] or (old and old ~= ARGV[8]) then
  return {0, old}
end
redis.call('HSET', KEYS[1], ARGV[6], ARGV[#ARGV])
if not old and redis.call('HLEN', KEYS[1]) == 1 then
  redis.call('SADD', KEYS[3], ARGV[9])
  redis.call('SADD', KEYS[4], ARGV[10])
end
for at = 11, #ARGV do
  local event = '{"type":"' .. ((old or at > 11) and 'update' or 'create') .. '","data":' .. ARGV[at] .. '}'
  tell(KEYS[2], 'i' .. ARGV[6], ARGV[1], ARGV[2], event, KEYS[5], ARGV[3], ARGV[4], ARGV[5])
end
return {1}
