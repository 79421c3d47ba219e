-- Appends an event to an outbox in the script that makes it happen; an outbox that is full takes no more.
-- stream: key of the outbox; lane and triggers: as the writer has them (Target.arguments); event: JSON
local function append(stream, lane, triggers, event)
  if redis.call('XLEN', stream) < 100000 then
    redis.call('XADD', stream, '*', 'k', lane, 't', triggers, 'e', event)
  end
end
