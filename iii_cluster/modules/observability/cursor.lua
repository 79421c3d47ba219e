#!lua flags=allow-oom
-- How far one kind of records was passed on, as its owner knows it. Doing it twice is the same as once.
-- KEYS  1 cursors (hash: kind -> place, "token")
-- ARGV  1 fencing token of the owner  2 kind  3 new place; not given: only read it
-- Reply the place, "" when there is none.
-- Error FENCED when a later owner has taken over.
local token = tonumber(redis.call('HGET', KEYS[1], 'token') or 0)
if token > tonumber(ARGV[1]) then
  return redis.error_reply('FENCED there is a later owner')
end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
if ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
  return ARGV[3]
end
return redis.call('HGET', KEYS[1], ARGV[2]) or ''
