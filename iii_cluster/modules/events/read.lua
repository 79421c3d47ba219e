#!lua flags=allow-oom
-- Reads on in an outbox, as its owner: who has owned it before can neither read nor remove from now on.
-- KEYS  1 outbox (stream)  2 fences (hash)
-- ARGV  1 name of the outbox  2 token  3 id of the last entry read ("-": none)  4 most entries  5 bytes enough
-- Reply {id of the newest entry that ever was (said only when none was read before), entry...} with entry {id, lane,
--       triggers, event, context}; error FENCED if a later owner has been here. The last entry may exceed ARGV 5.
local token = tonumber(ARGV[2])
local fence = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
if token < fence then
  return redis.error_reply('FENCED by ' .. fence)
end
if token > fence then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
local reply = {'0-0'}
if ARGV[3] == '-' and redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      reply[1] = info[i + 1]
    end
  end
end
local last, bytes = ARGV[3], 0
while #reply <= tonumber(ARGV[4]) and bytes < tonumber(ARGV[5]) do
  local from = last == '-' and '-' or '(' .. last
  local entry = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
  if not entry then
    break
  end
  last = entry[1]
  local fields = entry[2]
  local context = fields[8] or '' -- former versions write none
  reply[#reply + 1] = {last, fields[2], fields[4], fields[6], context}
  bytes = bytes + #fields[6] + #context
end
return reply
