#!lua
-- Stores a value.
-- KEYS  1 scope (hash)  2 scopes (set)  3 outbox (stream), if there is to be an event
-- ARGV  1 key  2 value  3 name of the scope; for the event  4 middle of its text  5 lane  6 triggers
--       7 contexts
-- Reply the old value, or nil
local old = redis.call('HGET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if not old and redis.call('HLEN', KEYS[1]) == 1 then
  redis.call('SADD', KEYS[2], ARGV[3])
end
if KEYS[3] then
  append(KEYS[3], ARGV[5], ARGV[6], ARGV[7], '{"type":"state","event_type":"state:' .. (old and 'updated' or 'created')
    .. ARGV[4] .. (old or 'null') .. ',"new_value":' .. ARGV[2] .. '}')
end
return old
