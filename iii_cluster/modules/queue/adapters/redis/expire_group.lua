#!lua flags=allow-oom
-- Ends a group that has had no trigger for long, in steps: it gets no more messages, and what it has is deleted.
-- KEYS  1 attended (zset)  2 lanes (set)  3 subscribers (set)  4 topics (set)  5 jobs of the topic's backlog (hash)
--       of the group:  6 token (string)  7 jobs (hash)  8 tries (hash)  9 waiting (list)  10 delayed (zset)
--       11 active (zset)  12 dead (zset)  13 errors (hash)  14 done (zset)
-- ARGV  1 lane  2 topic  3 token of the owner  4 how long it was without triggers, ms
-- Reply {0: it stays for now, 1: it has ended, 2: call once more; how many jobs were deleted}
-- Jobs in flight are left alone as long as their leases are renewed. Error FENCED: there is an owner with a higher token.
local STEP = 500
local FORGET = 3600 -- seconds until the last traces are gone, which only late commands could ask for
local token = tonumber(string.match(redis.call('GET', KEYS[6]) or '0 0', '(%d+) '))
if tonumber(ARGV[3]) < token then
  return redis.error_reply('FENCED the lane has a newer owner')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local attended = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not attended or now - attended < tonumber(ARGV[4]) then
  return {0, 0}
end
redis.call('SREM', KEYS[3], ARGV[1])

local count = 0
local function delete(ids, step)
  for i = 1, #ids, step do
    count = count + redis.call('HDEL', KEYS[7], ids[i])
    redis.call('HDEL', KEYS[8], ids[i])
    redis.call('HDEL', KEYS[13], ids[i])
  end
end
delete(redis.call('LPOP', KEYS[9], STEP) or {}, 1)
delete(redis.call('ZPOPMIN', KEYS[10], STEP), 2)
delete(redis.call('ZPOPMIN', KEYS[12], STEP), 2)
local left = redis.call('ZRANGEBYSCORE', KEYS[11], '-inf', now, 'LIMIT', 0, STEP)
for _, id in ipairs(left) do
  redis.call('ZREM', KEYS[11], id)
end
delete(left, 1)

if redis.call('EXISTS', KEYS[9], KEYS[10], KEYS[12]) > 0 or #left == STEP then
  return {2, count}
end
if redis.call('EXISTS', KEYS[11]) == 1 then
  return {0, count}
end
redis.call('DEL', KEYS[7], KEYS[8], KEYS[13])
redis.call('EXPIRE', KEYS[6], FORGET)
redis.call('EXPIRE', KEYS[14], FORGET)
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[3], KEYS[5]) == 0 then
  redis.call('SREM', KEYS[4], ARGV[2])
end
return {1, count}
