#!lua flags=allow-oom
-- Takes or renews the leader lease. Every new leadership has a term higher than all before.
-- KEYS  1 leader (string)  2 term (string)  3 memory (string)
-- ARGV  1 node id  2 time to live, ms  3 term the caller leads in, 0 when it does not
--       4 highest term the caller has ever seen (matters when Redis lost its memory)
--       5 the only server whose lease the caller takes while it does not lead, "" for any
-- Reply {term, server, holder}: term the caller leads in now, 0 when it does not.
-- A server is another one, too, when it has lost its memory.
local memory = redis.call('GET', KEYS[3])
if not memory then
  local born = redis.call('TIME')
  memory = born[1] .. '.' .. born[2]
  redis.call('SET', KEYS[3], memory)
end
local server = (string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or '') .. '/' .. memory
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {0, server, holder}
end
local held = tonumber(ARGV[3])
if held == 0 and ARGV[5] ~= '' and ARGV[5] ~= server then
  return {0, server, holder or ''}
end
local stored = tonumber(redis.call('GET', KEYS[2]) or 0)
local term = stored
-- A lease that ran out without a successor is simply renewed: nobody led in between, or the term had grown.
if held == 0 or held ~= stored then
  term = math.max(stored, tonumber(ARGV[4])) + 1
  redis.call('SET', KEYS[2], term)
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {term, server, ARGV[1]}
