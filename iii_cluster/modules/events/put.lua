#!lua
-- Appends events of data that is not in Redis.
-- KEYS  1 outbox (stream)
-- ARGV  1 lane  2 triggers  3 contexts  4... events, in order
-- Reply 1
for i = 4, #ARGV do
  append(KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[i])
end
return 1
