#!lua flags=allow-oom
-- Reads single entries of a stream.
-- KEYS  1 spans (stream)
-- ARGV  1 bytes enough  2.. ids
-- Reply {how many ids were looked at, body...}. The last may exceed ARGV 1; what is no longer there is left out.
local reply, bytes = {0}, 0
for at = 2, #ARGV do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[at], ARGV[at])[1]
  reply[1] = at - 1
  if entry then
    reply[#reply + 1] = entry[2][6]
    bytes = bytes + #entry[2][6]
    if bytes >= tonumber(ARGV[1]) then
      break
    end
  end
end
return reply
