#!lua
-- Compare-and-set: goes through one value after the other, if what is there is what the caller knows.
-- KEYS  1 scope (hash)  2 scopes (set)  3 outbox (stream), if there are to be events
-- ARGV  1 key  2 name of the scope  3 whether there should be a value (1 or 0)  4 that value
--       for the events  5 middle of their text  6 lane  7 triggers  8 contexts
--       then  9... values, the last of which is stored
-- Reply {1}, or {0, value that is there or nil}
local old = redis.call('HGET', KEYS[1], ARGV[1])
if (old and '1' or '0') ~= ARGV[3] or (old and old ~= ARGV[4]) then
  return {0, old}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[#ARGV])
if not old and redis.call('HLEN', KEYS[1]) == 1 then
  redis.call('SADD', KEYS[2], ARGV[2])
end
if KEYS[3] then
  for i = 9, #ARGV do
    append(KEYS[3], ARGV[6], ARGV[7], ARGV[8], '{"type":"state","event_type":"state:' .. (old and 'updated' or 'created')
      .. ARGV[5] .. (old or 'null') .. ',"new_value":' .. ARGV[i] .. '}')
    old = ARGV[i]
  end
end
return {1}
