#!lua flags=allow-oom
-- Renews the lease of a node and hands it the cluster map if a newer one is stored.
-- KEYS  1 leases (zset)  2 nodes (hash)  3 gone (zset)  4 map (hash)  5 memory (string)
-- ARGV  1 node id  2 time to live, ms  3 NodeInfo, msgpack
--       4 term and 5 epoch of the newest map the node has seen
--       6 earlier id of the same process that ends with this, or ""  7 how long that is remembered as gone, ms
-- Reply {renewed, server, term, epoch, body}: term and epoch of the stored map (0, 0 when there is none); body is
--       "" unless that map is newer than the node's. renewed = 0: the node was removed and must not come back
--       under this id.
-- A server is another one, too, when it has lost its memory.
local memory = redis.call('GET', KEYS[5])
if not memory then
  local born = redis.call('TIME')
  memory = born[1] .. '.' .. born[2]
  redis.call('SET', KEYS[5], memory)
end
local server = (string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or '') .. '/' .. memory
if redis.call('ZSCORE', KEYS[3], ARGV[1]) then
  return {0, server, 0, 0, ''}
end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], now_ms + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
if ARGV[6] ~= '' then
  redis.call('ZREM', KEYS[1], ARGV[6])
  redis.call('HDEL', KEYS[2], ARGV[6])
  redis.call('ZADD', KEYS[3], now_ms + ARGV[7], ARGV[6])
end
local stored = redis.call('HMGET', KEYS[4], 'term', 'epoch')
local term, epoch = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
local seen_term, seen_epoch = tonumber(ARGV[4]), tonumber(ARGV[5])
local body = ''
if term > seen_term or (term == seen_term and epoch > seen_epoch) then
  body = redis.call('HGET', KEYS[4], 'body')
end
return {1, server, term, epoch, body}
