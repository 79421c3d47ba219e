#!lua flags=allow-oom
-- Says that hooks are being told who left; not of those that their gateway has taken back meanwhile.
-- KEYS  1 who has joined at a dead gateway (hash, number -> membership)  2 whose hooks were told (set of numbers)
-- ARGV  1 how long that is remembered, ms  then numbers
-- Reply those of whom hooks are to be told
local left = {}
for place = 2, #ARGV do
  if redis.call('HEXISTS', KEYS[1], ARGV[place]) == 1 then
    redis.call('SADD', KEYS[2], ARGV[place])
    left[#left + 1] = ARGV[place]
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return left
