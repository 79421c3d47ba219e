#!lua flags=allow-oom
-- One turn of a standard lane's owner: writes how jobs ended, takes others.
-- KEYS  1 token (string)  2 jobs (hash)  3 tries (hash)  4 waiting (list)  5 delayed (zset)  6 active (zset)
--       7 dead (zset)  8 errors (hash)  9 done (zset)
-- ARGV  1 token of the owner  2 lease, ms  3 how many jobs to take  4 number of the turn
--       5 how long done jobs are remembered, ms  6 1: one by one, a delayed job holds all others
--       7 number of jobs to renew  8 of those done  9 of those to repeat  10 of dead ones; then these, as
--       renew: id / done: id / repeat: id, tries, delay in ms / dead: id, tries, error
-- Reply {ms until the next delayed job is due or -1, jobs left in waiting, id, job, tries or false, id, ...}
-- Jobs that are not active any more are left alone. Error FENCED: there is an owner with a higher token,
-- or the owner has given this turn up.
local MAX_BYTES = 4 * 1024 * 1024 -- of the jobs of one turn
local token, number = string.match(redis.call('GET', KEYS[1]) or '0 0', '(%d+) (%d+)')
token, number = tonumber(token), tonumber(number)
if tonumber(ARGV[1]) < token or (tonumber(ARGV[1]) == token and tonumber(ARGV[4]) <= number) then
  return redis.error_reply('FENCED the lane has a newer owner, or its owner went on without this turn')
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = now + ARGV[2]
local at = 11

for _ = 1, ARGV[7] do
  redis.call('ZADD', KEYS[6], 'XX', lease, ARGV[at])
  at = at + 1
end

for _ = 1, ARGV[8] do
  local id = ARGV[at]
  if redis.call('ZREM', KEYS[6], id) == 1 then
    redis.call('HDEL', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    redis.call('ZADD', KEYS[9], now, id)
  end
  at = at + 1
end
redis.call('ZREMRANGEBYSCORE', KEYS[9], '-inf', now - ARGV[5])

for _ = 1, ARGV[9] do
  local id, tries, delay = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  if redis.call('ZREM', KEYS[6], id) == 1 then
    redis.call('HSET', KEYS[3], id, tries)
    redis.call('ZADD', KEYS[5], now + delay, id)
  end
  at = at + 3
end

for _ = 1, ARGV[10] do
  local id, tries, error = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if redis.call('ZREM', KEYS[6], id) == 1 then
    redis.call('HSET', KEYS[3], id, tries)
    redis.call('HSET', KEYS[8], id, error)
    redis.call('ZADD', KEYS[7], now, id)
  end
  at = at + 3
end

-- What is due goes before what waits, the earliest first.
local due = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, 1000)
for i = #due, 1, -1 do
  redis.call('ZREM', KEYS[5], due[i])
  redis.call('LPUSH', KEYS[4], due[i])
end

local reply = {-1, 0}
local want = tonumber(ARGV[3])
if ARGV[6] == '1' and (redis.call('ZCARD', KEYS[6]) > 0 or redis.call('ZCARD', KEYS[5]) > 0) then
  want = 0
end
local bytes = 0
while want > 0 and bytes < MAX_BYTES do
  local id = redis.call('LPOP', KEYS[4])
  if not id then
    break
  end
  local job = redis.call('HGET', KEYS[2], id)
  if job then
    redis.call('ZADD', KEYS[6], lease, id)
    reply[#reply + 1] = id
    reply[#reply + 1] = job
    reply[#reply + 1] = redis.call('HGET', KEYS[3], id)
    want, bytes = want - 1, bytes + #job
  end
end
local next = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
if next[2] then
  reply[1] = math.max(0, next[2] - now)
end
reply[2] = redis.call('LLEN', KEYS[4])
return reply
