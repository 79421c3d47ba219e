#!lua flags=allow-oom
-- Keeps what became of an alert, and tells whether it is time to tell somebody.
-- KEYS  1 state of the alert (hash)
-- ARGV  1 1: it fires, 0: it does not  2 its value, or "" for none  3 cooldown (ms)  4 time to live (ms)
--       5 the metric it looks at, if there is one of that name, or ""
-- Reply {1: tell, 0: do not, now (ms)}. Of several processes that ask within one cooldown, one is told to.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('HGET', KEYS[1], 'triggered') or 0)
redis.call('HSET', KEYS[1], 'firing', ARGV[1], 'value', ARGV[2], 'evaluated', now)
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'seen', ARGV[5])
end
local tell = 0
if ARGV[1] == '1' and now - last >= tonumber(ARGV[3]) then
  tell = 1
  redis.call('HSET', KEYS[1], 'triggered', now)
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {tell, now}
