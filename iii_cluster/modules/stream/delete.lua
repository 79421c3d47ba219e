#!lua flags=allow-oom
-- Removes an item and tells of it, if it is there. Also when memory is full: this is how it gets less so.
-- KEYS  1 items of the group (hash)  2 clock of the group (hash)  3 groups of the stream (set)  4 streams (set)
--       5 outbox (stream), or none
-- ARGV  1 channel  2 middle  3 lane  4 triggers  5 contexts, see tell.lua  6 item  7 group  8 stream
-- Reply the value, or nil
local old = redis.call('HGET', KEYS[1], ARGV[6])
if not old then
  return old
end
redis.call('HDEL', KEYS[1], ARGV[6])
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SREM', KEYS[3], ARGV[7])
  if redis.call('EXISTS', KEYS[3]) == 0 then
    redis.call('SREM', KEYS[4], ARGV[8])
  end
end
local event = '{"type":"delete","data":' .. old .. '}'
tell(KEYS[2], 'i' .. ARGV[6], ARGV[1], ARGV[2], event, KEYS[5], ARGV[3], ARGV[4], ARGV[5])
return old
