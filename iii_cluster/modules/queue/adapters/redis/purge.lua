#!lua flags=allow-oom
-- Deletes jobs of a standard lane that are neither in flight nor dead.
-- KEYS  1 waiting (list)  2 delayed (zset)  3 jobs (hash)  4 tries (hash)
-- ARGV  1 how many at most
-- Reply how many.
local ids = redis.call('LPOP', KEYS[1], ARGV[1]) or {}
if #ids == 0 then
  local delayed = redis.call('ZPOPMIN', KEYS[2], ARGV[1])
  for i = 1, #delayed, 2 do
    ids[#ids + 1] = delayed[i]
  end
end
for _, id in ipairs(ids) do
  redis.call('HDEL', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
end
return #ids
