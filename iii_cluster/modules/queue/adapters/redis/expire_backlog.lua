#!lua flags=allow-oom
-- Deletes messages of a topic without groups that have waited for long, in steps.
-- KEYS  1 attended (zset)  2 lanes (set)  3 subscribers (set)  4 topics (set)
--       of the backlog: 5 jobs (hash)  6 waiting (list)  7 delayed (zset)
-- ARGV  1 lane  2 topic  3 how long, ms
-- Reply {1: none is left that is so old, 2: call once more; how many were deleted}
-- Of a job nothing is read but when it was made: its third field, after id and data.
local STEP = 100
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = now - ARGV[3]
local LENGTH = {[0xc4] = 1, [0xc5] = 2, [0xc6] = 4, [0xd9] = 1, [0xda] = 2, [0xdb] = 4} -- bytes that say how long
local function made(id)
  local job = redis.call('HGET', KEYS[5], id)
  if not job then
    return 0
  end
  local at = 2
  for _ = 1, 2 do
    local kind = string.byte(job, at)
    local width = LENGTH[kind]
    at = at + 1 + (width and width + struct.unpack('>I' .. width, job, at + 1) or kind - 0xa0)
  end
  local _, time = cmsgpack.unpack_one(job, at - 1) -- cmsgpack knows nothing of bytes
  return time
end

local count, looked, head = 0, 0, redis.call('LINDEX', KEYS[6], 0)
while head and looked < STEP and made(head) <= oldest do
  redis.call('LPOP', KEYS[6])
  count = count + redis.call('HDEL', KEYS[5], head)
  looked, head = looked + 1, redis.call('LINDEX', KEYS[6], 0)
end
local due = redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', oldest, 'LIMIT', 0, STEP)
for _, id in ipairs(due) do
  redis.call('ZREM', KEYS[7], id)
  count = count + redis.call('HDEL', KEYS[5], id)
end
if looked == STEP or #due == STEP then
  return {2, count}
end

local next = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]
if head or next then
  redis.call('ZADD', KEYS[1], math.min(head and made(head) or math.huge, tonumber(next) or math.huge), ARGV[1])
  return {1, count}
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('SREM', KEYS[4], ARGV[2])
end
return {1, count}
