-- Appends an event to an outbox in the script that makes it happen; an outbox that is full takes no more.
-- stream: key of the outbox; lane, triggers, contexts: as the writer has them (Target.arguments); event: JSON
-- contexts has one line for each event, in the order they are appended.
local next_context = 1
local function append(stream, lane, triggers, contexts, event)
  local context
  context, next_context = string.match(contexts, '([^\n]*)\n?()', next_context)
  if redis.call('XLEN', stream) >= 100000 then
    return
  end
  if context == '' then
    redis.call('XADD', stream, '*', 'k', lane, 't', triggers, 'e', event)
  else
    redis.call('XADD', stream, '*', 'k', lane, 't', triggers, 'e', event, 'c', context)
  end
end
