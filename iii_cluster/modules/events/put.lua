#!lua
-- Appends an event of data that is not in Redis.
-- KEYS  1 outbox (stream)
-- ARGV  1 lane  2 triggers  3 event
-- Reply 1
append(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return 1
