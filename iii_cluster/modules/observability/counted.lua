#!lua flags=allow-oom
-- What alerts count, as the last look left it; whoever read it may replace it unless somebody else has done so since.
-- KEYS  1 counts (hash: version, body)
-- ARGV  none: only read. Else 1 the version that was read, "" for none  2 new body  3 time to live (ms)
-- Reply {now (ms), version, body}, "" and "" when there is none; of a body that was replaced: {now (ms), new version, ""}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = redis.call('HGET', KEYS[1], 'version') or ''
if ARGV[1] == version and ARGV[2] then
  version = redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('HSET', KEYS[1], 'body', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {now, tostring(version), ''}
end
return {now, version, redis.call('HGET', KEYS[1], 'body') or ''}
