#!lua flags=allow-oom
-- Takes the record of a job over, as its owner.
-- KEYS  1 record (hash)
-- ARGV  1 fencing token of the owner  2 time to live (ms)
-- Reply {now, known, tick, started, gateway}: tick in seconds, times in microseconds since 1970. `known` is now when the
--       job was not known, or was gone; `started` is 0 when no claimed tick is unfinished;
--       `gateway` is the one its call went to, "" as far as is known to none.
-- Error FENCED when a later owner has taken it.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local record = redis.call('HMGET', KEYS[1], 'token', 'known', 'gone', 'tick', 'started', 'gateway')
if tonumber(record[1] or 0) > tonumber(ARGV[1]) then
  return redis.error_reply('FENCED the job has a later owner')
end
local known = tonumber(record[2] or 0)
if known == 0 or record[3] then
  known = now
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'known', string.format('%.0f', known))
redis.call('HDEL', KEYS[1], 'gone')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {now, known, tonumber(record[4] or 0), tonumber(record[5] or 0), record[6] or ''}
