#!lua flags=allow-oom
-- Removes the oldest spans beyond the limits, and those that are older than may be.
-- KEYS  as in spans_write.lua
-- ARGV  1 most spans  2 most bytes  3 bytes that are left when there were more  4 id before which all are removed
--       5 how many are removed at once
-- Reply how many were removed
local count, bytes, low = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local _, removed = evict(KEYS[1], KEYS[2], KEYS[3], count, bytes, low, ARGV[4], tonumber(ARGV[5]))
return removed
