#!lua flags=allow-oom
-- One consistent view of all leases, for the leader.
-- KEYS  1 leases (zset)  2 nodes (hash)  3 gone (zset)  4 term (string)  5 memory (string)
-- ARGV  1 term of the caller  2... ids of the nodes in the caller's map
-- Reply {current, server, leases, gone}: leases is a flat list of id, ms left (negative once expired), NodeInfo
--       ("" if unknown); gone are those of the caller's nodes that left or were removed. current = 0: the caller's
--       term is over, the lists are empty.
-- A server is another one, too, when it has lost its memory.
local memory = redis.call('GET', KEYS[5]) or ''
local server = (string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or '') .. '/' .. memory
if tonumber(redis.call('GET', KEYS[4]) or 0) ~= tonumber(ARGV[1]) then
  return {0, server, {}, {}}
end
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local scores = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local leases = {}
for i = 1, #scores, 2 do
  leases[#leases + 1] = scores[i]
  leases[#leases + 1] = scores[i + 1] - now_ms
  leases[#leases + 1] = redis.call('HGET', KEYS[2], scores[i]) or ''
end
local gone = {}
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[3], ARGV[i]) then
    gone[#gone + 1] = ARGV[i]
  end
end
return {1, server, leases, gone}
