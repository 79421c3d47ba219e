#!lua flags=allow-oom
-- How many events wait.
-- KEYS  1... outboxes (streams)
-- Reply their lengths
local lengths = {}
for i = 1, #KEYS do
  lengths[i] = redis.call('XLEN', KEYS[i])
end
return lengths
