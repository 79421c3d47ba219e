// A program on a published stream client: one JSON command a line in, answers and changes of its subscriptions out.
//
// A command is {"id", "op", ...}; its answer {"id", "value"}. {"event": "state", "name", "state"} tells that the client
// library sees another state, {"event": "custom", "name", "type", "data"} that it was sent something.

import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

for (const level of ['log', 'info', 'debug', 'warn']) console[level] = console.error

const { Stream } = await import(pathToFileURL(process.env.TEST_CLIENT_MODULE))

const emit = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

let stream
const subscriptions = new Map()

const follow = (name, subscription, custom = []) => {
  subscriptions.set(name, subscription)
  subscription.addChangeListener((state) => emit({ event: 'state', name, state }))
  for (const type of custom) subscription.onEvent(type, (data) => emit({ event: 'custom', name, type, data }))
}

const ops = {
  open({ url, protocols }) {
    stream = new Stream(url, protocols ? { protocols } : undefined)
  },
  item({ name, streamName, groupId, itemId, custom }) {
    follow(name, stream.subscribeItem(streamName, groupId, itemId), custom)
  },
  group({ name, streamName, groupId, custom }) {
    follow(name, stream.subscribeGroup(streamName, groupId), custom)
  },
  leave({ name }) {
    subscriptions.get(name).close()
  },
  state: ({ name }) => subscriptions.get(name).getState(),
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  try {
    emit({ id: command.id, value: ops[command.op](command) ?? null })
  } catch (error) {
    emit({ id: command.id, error: { code: error.name, message: error.message } })
  }
}
process.exit(0)
