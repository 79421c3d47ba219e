#!lua flags=allow-oom
-- Removes the oldest logs or metrics beyond the limits.
-- KEYS  as in records_write.lua
-- ARGV  1 most weight  2 most bytes  3 how many are removed at once
-- Reply the weight that is kept
local kept = redis.call('XLEN', KEYS[1]) > 0 and redis.call('HMGET', KEYS[2], 'weight', 'bytes') or {0, 0}
local weight, size = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
return trim(KEYS[1], KEYS[2], weight, size, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
