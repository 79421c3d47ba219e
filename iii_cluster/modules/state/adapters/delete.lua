#!lua flags=allow-oom
-- Removes a value; makes room, so it is allowed when there is none.
-- KEYS  1 scope (hash)  2 scopes (set)  3 outbox (stream), if there is to be an event
-- ARGV  1 key  2 name of the scope; for the event  3 middle of its text  4 lane  5 triggers
--       6 contexts
-- Reply the old value, or nil
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old then
  redis.call('HDEL', KEYS[1], ARGV[1])
  if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('SREM', KEYS[2], ARGV[2])
  end
end
if KEYS[3] then
  append(KEYS[3], ARGV[4], ARGV[5], ARGV[6], '{"type":"state","event_type":"state:deleted'
    .. ARGV[3] .. (old or 'null') .. ',"new_value":null}')
end
return old
