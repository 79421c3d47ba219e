-- Removes the oldest logs or metrics while they weigh more than `most_weight` or take more than `most_size` bytes, no
-- more than `left` at once, and notes what is kept. Returns its weight.
local function trim(stream, info, weight, size, most_weight, most_size, left)
  while (weight > most_weight or size > most_size) and left > 0 do
    local ids = {}
    for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(16, left))) do
      if weight <= most_weight and size <= most_size then
        break
      end
      ids[#ids + 1] = entry[1]
      weight, size = weight - tonumber(entry[2][2]), size - #entry[2][6] - 64
    end
    if #ids == 0 then
      weight, size = 0, 0
      break
    end
    redis.call('XDEL', stream, unpack(ids))
    left = left - #ids
  end
  redis.call('HSET', info, 'weight', weight, 'bytes', size)
  return weight
end
