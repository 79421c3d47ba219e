-- Bytes that a span takes: its text, and what the stream and the index need for an entry.
local function cost(trace, span, body)
  return #trace + #span + #body + 256
end

local function before(id, other)
  local ms, number = string.match(id, '(%d+)-(%d+)')
  local other_ms, other_number = string.match(other, '(%d+)-(%d+)')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms < other_ms or (ms == other_ms and tonumber(number) < tonumber(other_number))
end

-- Removes the oldest spans, and what the index has of them, while there are more than `count`, they take more than
-- `bytes` (then until they take `low`, though that may need several calls), or are from before the id `oldest`; no more than `most` at once. Returns how
-- many are left and how many were removed.
local function evict(stream, info, index, count, bytes, low, oldest, most)
  local held = redis.call('XLEN', stream)
  local known = redis.call('HMGET', info, 'bytes', 'draining')
  local size = held > 0 and tonumber(known[1] or 0) or 0
  local draining = size > bytes or (known[2] and size > low)
  local aim = draining and low or bytes
  local removed, done = 0, false
  while held > 0 and removed < most and not done do
    local ids = {}
    local some = math.min(32, most - removed, math.max(held - count, 1))
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', some)) do
      if held <= count and size <= aim and not before(entry[1], oldest) then
        done = true
        break
      end
      local trace, span = entry[2][2], entry[2][4]
      ids[#ids + 1] = entry[1]
      redis.call('HDEL', index .. trace, span)
      held, size = held - 1, size - cost(trace, span, entry[2][6])
    end
    if #ids > 0 then
      redis.call('XDEL', stream, unpack(ids))
      removed = removed + #ids
    end
  end
  redis.call('HSET', info, 'bytes', math.max(size, 0))
  if draining and size > low then
    redis.call('HSET', info, 'draining', 1)
  elseif known[2] then
    redis.call('HDEL', info, 'draining')
  end
  return held, removed
end
