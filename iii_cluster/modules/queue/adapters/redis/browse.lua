#!lua
-- Reads dead jobs of one lane.
-- KEYS  1 dead (zset)  2 errors (hash)  3 tries (hash)  4 jobs (hash)
-- ARGV  1 1: newest first, 0: oldest first  2 how many to skip  3 how many
-- Reply {id, when it was given up, job or false, tries or false, error or false, id, ...}
local command = ARGV[1] == '1' and 'ZREVRANGE' or 'ZRANGE'
local dead = redis.call(command, KEYS[1], ARGV[2], ARGV[2] + ARGV[3] - 1, 'WITHSCORES')
local reply = {}
for i = 1, #dead, 2 do
  local id = dead[i]
  reply[#reply + 1] = id
  reply[#reply + 1] = dead[i + 1]
  reply[#reply + 1] = redis.call('HGET', KEYS[4], id)
  reply[#reply + 1] = redis.call('HGET', KEYS[3], id)
  reply[#reply + 1] = redis.call('HGET', KEYS[2], id)
end
return reply
