#!lua flags=allow-oom
-- What an owner reads before its first turn, and after a turn whose reply was lost: the jobs in flight.
-- KEYS  1 token (string)  2 active (zset)  3 jobs (hash)  4 tries (hash)
-- ARGV  1 token of the owner
-- Reply {number of the last turn, id, job, tries or false, ms left of its lease, id, ...}. Turns with that number or a
--       lower one are refused from now on. Error FENCED: there is an owner with a higher token.
local token, number = string.match(redis.call('GET', KEYS[1]) or '0 0', '(%d+) (%d+)')
token, number = tonumber(token), tonumber(number)
if tonumber(ARGV[1]) < token then
  return redis.error_reply('FENCED the lane has a newer owner')
end
number = tonumber(ARGV[1]) == token and number + 1 or 1
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. string.format('%d', number))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = {number}
local active = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for i = 1, #active, 2 do
  local id = active[i]
  local job = redis.call('HGET', KEYS[3], id)
  if job then
    reply[#reply + 1] = id
    reply[#reply + 1] = job
    reply[#reply + 1] = redis.call('HGET', KEYS[4], id)
    reply[#reply + 1] = math.max(0, active[i + 1] - now)
  else
    redis.call('ZREM', KEYS[2], id)
  end
end
return reply
