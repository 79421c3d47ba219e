#!lua flags=allow-oom
-- Reads on in a stream.
-- KEYS  1 spans or records (stream)
-- ARGV  1 id after which to read ("-": from the oldest, "": not at all)  2 last id to read ("+": up to the newest)
--       3 most entries  4 bytes enough
-- Reply {id of the newest entry that ever was, id of the last one read or "", body...}. The last may exceed ARGV 4.
local reply = {'0-0', ''}
if redis.call('EXISTS', KEYS[1]) == 0 then
  return reply
end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then
    reply[1] = info[i + 1]
  end
end
local most, bytes = tonumber(ARGV[3]), 0
local from = ARGV[1] == '-' and '-' or '(' .. ARGV[1]
while ARGV[1] ~= '' and #reply - 2 < most and bytes < tonumber(ARGV[4]) do
  local entries = redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', math.min(16, most + 2 - #reply))
  if #entries == 0 then
    break
  end
  for _, entry in ipairs(entries) do
    reply[2] = entry[1]
    reply[#reply + 1] = entry[2][6]
    bytes = bytes + #entry[2][6]
    if bytes >= tonumber(ARGV[4]) then
      break
    end
  end
  from = '(' .. reply[2]
end
return reply
