-- A change, or what was sent, told to the followers of its group and to the triggers that want it, in the script that
-- makes it happen. Messages of a group are published in the order of their timestamps.

-- The timestamp of a message, in ms: later than that of every earlier message about the same member of the group (an
-- item, or the group itself), and than that of every earlier snapshot. Ahead of the time if it must be.
-- clock: key of the group's clock, a hash: t = the newest timestamp, and the members that have it
local function stamp(clock, member)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local newest = tonumber(redis.call('HGET', clock, 't') or 0)
  local given
  if newest < now then
    given = now
  elseif redis.call('HEXISTS', clock, member) == 1 then
    given = newest + 1
  else
    redis.call('HSET', clock, member, 1)
    return string.format('%.0f', newest)
  end
  local text = string.format('%.0f', given)
  redis.call('DEL', clock)
  redis.call('HSET', clock, 't', text, member, 1)
  redis.call('PEXPIRE', clock, given - now + 600000)
  return text
end

-- clock: as above; member: 'i' and the item's id, or 'g'; channel: of the group; middle: the message's part between its
-- timestamp and its event; event: JSON; outbox, lane, triggers, contexts: for `append`, no outbox if no
-- trigger wants it
local function tell(clock, member, channel, middle, event, outbox, lane, triggers, contexts)
  local head = '{"type":"stream","timestamp":' .. stamp(clock, member) .. middle
  local message = head .. event .. '}'
  if #message <= 4194304 then
    redis.call('PUBLISH', channel, message)
  else -- subscribers' buffers at the server are limited; gateways read it themselves
    redis.call('PUBLISH', channel, head .. '{"type":"large"}}')
  end
  if outbox then
    append(outbox, lane, triggers, contexts, message)
  end
end
