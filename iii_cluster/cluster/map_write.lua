#!lua flags=allow-oom
-- Compare-and-set of the cluster map: only the current leader writes, and only the successor of what is stored.
-- KEYS  1 map (hash)  2 term (string)
-- ARGV  1 term of the writer  2 epoch of the new map  3 body, msgpack  4 epoch of the map it replaces
-- Reply 1, or 0 if refused.
if tonumber(redis.call('GET', KEYS[2]) or 0) ~= tonumber(ARGV[1]) then
  return 0
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) ~= tonumber(ARGV[4]) then
  return 0
end
redis.call('HSET', KEYS[1], 'term', ARGV[1], 'epoch', ARGV[2], 'body', ARGV[3])
return 1
