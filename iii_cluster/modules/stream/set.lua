#!lua
-- Stores an item and tells of it.
-- KEYS  1 items of the group (hash)  2 clock of the group (hash)  3 groups of the stream (set)  4 streams (set)
--       5 outbox (stream), or none
-- ARGV  1 channel  2 middle  3 lane  4 triggers  5 contexts, see tell.lua  6 item  7 value  8 group
--       9 stream
-- Reply the value before, or nil
local old = redis.call('HGET', KEYS[1], ARGV[6])
redis.call('HSET', KEYS[1], ARGV[6], ARGV[7])
if not old and redis.call('HLEN', KEYS[1]) == 1 then
  redis.call('SADD', KEYS[3], ARGV[8])
  redis.call('SADD', KEYS[4], ARGV[9])
end
local event = '{"type":"' .. (old and 'update' or 'create') .. '","data":' .. ARGV[7] .. '}'
tell(KEYS[2], 'i' .. ARGV[6], ARGV[1], ARGV[2], event, KEYS[5], ARGV[3], ARGV[4], ARGV[5])
return old
