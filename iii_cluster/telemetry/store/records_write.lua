#!lua
-- Keeps logs or metrics, and removes the oldest beyond the limits.
-- KEYS  1 records (stream: w weight, m ms since the epoch, d the record)  2 numbers (hash: bytes, weight, dropped)
-- ARGV  1 most weight  2 most bytes  3 records that were lost on their way here  4.. weight, ms, record
-- Reply the weight that is kept
local stream, info = KEYS[1], KEYS[2]
local kept = redis.call('XLEN', stream) > 0 and redis.call('HMGET', info, 'weight', 'bytes') or {0, 0}
local weight, size = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
for at = 4, #ARGV, 3 do
  redis.call('XADD', stream, '*', 'w', ARGV[at], 'm', ARGV[at + 1], 'd', ARGV[at + 2])
  weight, size = weight + tonumber(ARGV[at]), size + #ARGV[at + 2] + 64
end
-- Limits that became lower are reached step by step.
weight = trim(stream, info, weight, size, tonumber(ARGV[1]), tonumber(ARGV[2]), (#ARGV - 3) / 3 * 2 + 500)
if ARGV[3] ~= '0' then
  redis.call('HINCRBY', info, 'dropped', ARGV[3])
end
return weight
