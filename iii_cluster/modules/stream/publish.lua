#!lua
-- Tells of what is not stored here: data of a provider or of another store, and what is sent.
-- KEYS  1 clock of the group (hash)  2 outbox (stream), or none
-- ARGV  1 channel  2 middle  3 lane  4 triggers  5 contexts  6 member, see tell.lua  7.. events, JSON
-- Reply 1
for at = 7, #ARGV do
  tell(KEYS[1], ARGV[6], ARGV[1], ARGV[2], ARGV[at], KEYS[2], ARGV[3], ARGV[4], ARGV[5])
end
return 1
