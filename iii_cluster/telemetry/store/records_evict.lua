#!lua flags=allow-oom
-- Removes logs or metrics that are older than may be; they are not in the order of their times, so all are looked at.
-- KEYS  as in records_write.lua
-- ARGV  1 id after which to look ("-": from the oldest)  2 last id to look at  3 how many are looked at at once
--       4 ms since the epoch: those from before are removed
-- Reply {id of the last one looked at, "" if none was left, how many were removed}
local from = ARGV[1] == '-' and '-' or '(' .. ARGV[1]
local limit, last, ids, weight, size = tonumber(ARGV[4]), '', {}, 0, 0
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', ARGV[3])) do
  last = entry[1]
  if tonumber(entry[2][4]) < limit then
    ids[#ids + 1] = last
    weight, size = weight - tonumber(entry[2][2]), size - #entry[2][6] - 64
  end
end
if #ids > 0 then
  redis.call('XDEL', KEYS[1], unpack(ids))
  redis.call('HINCRBY', KEYS[2], 'weight', weight)
  redis.call('HINCRBY', KEYS[2], 'bytes', size)
end
return {last, #ids}
