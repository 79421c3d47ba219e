#!lua flags=allow-oom
-- Takes a moment between two messages of a group, and reads what is stored then.
-- KEYS  1 clock of the group (hash), see tell.lua  2 items of the group (hash), or none: read nothing
-- ARGV  1 the timestamp must be later than this one  2 most items to read  3 item, or none: the whole group
-- Reply {timestamp, what is there}: an item's value, nil if there is none; a group's values, 0 if they are too many
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local given = math.max(now, tonumber(redis.call('HGET', KEYS[1], 't') or 0) + 1, ARGV[1] + 1)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 't', string.format('%.0f', given + 1)) -- nobody has that one yet
redis.call('PEXPIRE', KEYS[1], given - now + 600000)
if not KEYS[2] then
  return {given}
elseif ARGV[3] then
  return {given, redis.call('HGET', KEYS[2], ARGV[3])}
elseif redis.call('HLEN', KEYS[2]) > tonumber(ARGV[2]) then
  return {given, 0}
end
return {given, redis.call('HVALS', KEYS[2])}
