#!lua
-- Keeps spans, each in place of what was kept of it while it went on, and removes the oldest beyond the limits.
-- KEYS  1 spans (stream: t trace id, s span id, d the span)  2 numbers (hash: bytes, dropped, draining)  3 prefix of the index
--       (hash per trace: span id -> id in the stream)
-- ARGV  1 most spans  2 most bytes  3 bytes that are left when there were more  4 seconds without a new span after
--       which the index of a trace goes  5 spans that were lost on their way here
--       6.. trace id, span id, "1" if it still goes on, the span
-- Reply how many spans there are
local stream, info = KEYS[1], KEYS[2]
local added, saved, seen = 0, 0, {}
if redis.call('EXISTS', stream) == 0 then
  redis.call('HDEL', info, 'bytes')
end
for at = 6, #ARGV, 4 do
  local trace, span, body = ARGV[at], ARGV[at + 1], ARGV[at + 3]
  local key = KEYS[3] .. trace
  local old = redis.call('HGET', key, span)
  if not old or ARGV[at + 2] ~= '1' then
    if old then
      local entry = redis.call('XRANGE', stream, old, old)[1]
      if entry then
        saved = saved + cost(trace, span, entry[2][6])
        redis.call('XDEL', stream, old)
      end
    end
    redis.call('HSET', key, span, redis.call('XADD', stream, '*', 't', trace, 's', span, 'd', body))
    added = added + cost(trace, span, body)
    seen[key] = true
  end
end
for key in pairs(seen) do
  redis.call('EXPIRE', key, ARGV[4])
end
if added ~= saved then
  redis.call('HINCRBY', info, 'bytes', added - saved)
end
if ARGV[5] ~= '0' then
  redis.call('HINCRBY', info, 'dropped', ARGV[5])
end
-- Limits that became lower are reached step by step.
local most = (#ARGV - 5) / 2 + 500
return (evict(stream, info, KEYS[3], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), '0-0', most))
