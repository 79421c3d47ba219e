#!lua flags=allow-oom
-- Puts the newest known map back after Redis lost its memory, and lifts the term so that its leader is the newest.
-- KEYS  1 map (hash)  2 term (string)
-- ARGV  1 term and 2 epoch of the map  3 body, msgpack
-- Reply 1, or 0 if the stored map is at least as new.
local stored = redis.call('HMGET', KEYS[1], 'term', 'epoch')
local term, epoch = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
local new_term, new_epoch = tonumber(ARGV[1]), tonumber(ARGV[2])
if term > new_term or (term == new_term and epoch >= new_epoch) then
  return 0
end
redis.call('HSET', KEYS[1], 'term', ARGV[1], 'epoch', ARGV[2], 'body', ARGV[3])
if tonumber(redis.call('GET', KEYS[2]) or 0) < new_term then
  redis.call('SET', KEYS[2], new_term)
end
return 1
