#!lua flags=allow-oom
-- One turn of a fifo lane's owner: writes how jobs ended, takes the oldest of other message groups.
-- KEYS  1 token (string)  2 jobs (hash)  3 tries (hash)  4 groups (zset)  5 delayed (zset)  6 active (zset)
--       7 dead (zset)  8 errors (hash)  9 done (zset)  10 due (hash)  11 prefix of the lists of message groups
-- ARGV  1 token of the owner  2 lease, ms  3 how many jobs to take  4 number of the turn
--       5 how long done jobs are remembered, ms  6 not used
--       7 number of jobs to renew  8 of those done  9 of those to repeat  10 of dead ones; then these, as
--       renew: id / done: id, group / repeat: id, group, tries, delay in ms / dead: id, group, tries, error
-- Reply {ms until the next delayed group is due or -1, groups left, id, job, tries or false, id, ...}
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

-- The job at the head of the group has left: it is the next one's turn.
local function advance(group, id)
  redis.call('LREM', KEYS[11] .. group, 1, id)
  local head = redis.call('LINDEX', KEYS[11] .. group, 0)
  if head then
    local due = tonumber(redis.call('HGET', KEYS[10], head) or 0)
    redis.call('ZADD', due > now and KEYS[5] or KEYS[4], math.max(due, now), group)
  end
end

for _ = 1, ARGV[7] do
  redis.call('ZADD', KEYS[6], 'XX', lease, ARGV[at])
  at = at + 1
end

for _ = 1, ARGV[8] do
  local id, group = ARGV[at], ARGV[at + 1]
  if redis.call('ZREM', KEYS[6], id) == 1 then
    redis.call('HDEL', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    redis.call('ZADD', KEYS[9], now, id)
    advance(group, id)
  end
  at = at + 2
end
redis.call('ZREMRANGEBYSCORE', KEYS[9], '-inf', now - ARGV[5])

for _ = 1, ARGV[9] do
  local id, group, tries, delay = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  if redis.call('ZREM', KEYS[6], id) == 1 then
    redis.call('HSET', KEYS[3], id, tries)
    redis.call('ZADD', KEYS[5], now + delay, group)
  end
  at = at + 4
end

for _ = 1, ARGV[10] do
  local id, group, tries, error = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  if redis.call('ZREM', KEYS[6], id) == 1 then
    redis.call('HSET', KEYS[3], id, tries)
    redis.call('HSET', KEYS[8], id, error)
    redis.call('ZADD', KEYS[7], now, id)
    advance(group, id)
  end
  at = at + 4
end

local due = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1000)
for i = 1, #due, 2 do
  redis.call('ZREM', KEYS[5], due[i])
  redis.call('ZADD', KEYS[4], due[i + 1], due[i])
end

local reply = {-1, 0}
local want = tonumber(ARGV[3])
local bytes = 0
while want > 0 and bytes < MAX_BYTES do
  local group = redis.call('ZPOPMIN', KEYS[4])[1]
  if not group then
    break
  end
  local id = redis.call('LINDEX', KEYS[11] .. group, 0)
  local job = id and redis.call('HGET', KEYS[2], id)
  if job then
    redis.call('ZADD', KEYS[6], lease, id)
    redis.call('HDEL', KEYS[10], id)
    reply[#reply + 1] = id
    reply[#reply + 1] = job
    reply[#reply + 1] = redis.call('HGET', KEYS[3], id)
    want, bytes = want - 1, bytes + #job
  elseif id then
    advance(group, id)
  end
end
local next = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
if next[2] then
  reply[1] = math.max(0, next[2] - now)
end
reply[2] = redis.call('ZCARD', KEYS[4])
return reply
