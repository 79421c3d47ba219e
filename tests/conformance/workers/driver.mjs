// What the Node worker programs have in common: one JSON command a line in, answers and events out.
//
// A command is {"id", "op", ...}; its answer {"id", "value"} or {"id", "error": {"code", "message"}}.
// Events are {"event", ...}. Commands run concurrently. The end of stdin ends the program.

import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

import { channelHandler, httpHandler } from './edge.mjs'

// stdout belongs to the test alone; the client libraries print to the console.
for (const level of ['log', 'info', 'debug', 'warn']) console[level] = console.error

export const loadClient = () => import(pathToFileURL(process.env.TEST_CLIENT_MODULE))

const emit = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

// The newer client puts the code in front of the message of its errors, the older one rejects with the bare error body.
const describe = (error) => {
  const code = error?.code ?? error?.name ?? 'Error'
  const message = error?.message ?? String(error)
  return { code, message: error?.name === 'InvocationError' ? message.slice(`${code}: `.length) : message }
}

// Keeps the triggers of one type; with `unique` it refuses a value of that config member twice, as a router would.
class Provider {
  constructor(type, unique) {
    this.type = type
    this.unique = unique
    this.triggers = new Map()
  }

  async registerTrigger(trigger) {
    const others = [...this.triggers.values()].filter((other) => other.id !== trigger.id)
    const value = (other) => other.config[this.unique]
    if (this.unique && others.some((other) => value(other) === value(trigger))) {
      emit({ event: 'trigger_refused', type: this.type, ...trigger })
      throw new Error(`${this.unique} already taken`)
    }
    this.triggers.set(trigger.id, trigger)
    emit({ event: 'trigger_registered', type: this.type, ...trigger })
  }

  async unregisterTrigger(trigger) {
    this.triggers.delete(trigger.id)
    emit({ event: 'trigger_unregistered', type: this.type, id: trigger.id })
  }
}

// The options a published client takes under the same names in every generation.
const options = ({ name, headers, otel, reconnection = {} }) => ({
  workerName: name,
  headers,
  otel,
  reconnectionConfig: Object.fromEntries(
    Object.entries(reconnection).map(([key, value]) => [key.replace(/_(.)/g, (_, c) => c.toUpperCase()), value]),
  ),
})

export class Driver {
  // `register(iii, command, handler)` is all that differs between the generations.
  // So are `http(handler)`, which makes a function of a handler of requests, and `channel(iii, buffer)`.
  constructor({ registerWorker, TriggerAction }, { register, functions, workers, http, channel, Logger }) {
    Object.assign(this, { registerWorker, TriggerAction, register, functions, workers, http, channel, Logger })
    this.name = ''
    this.holds = new Map()
    this.references = new Map()
    this.triggers = new Map()
    this.providers = new Map()
  }

  async run() {
    for await (const line of createInterface({ input: process.stdin })) this.answer(JSON.parse(line))
    // The test is gone: so is its worker, at once.
    process.exit(0)
  }

  async answer(command) {
    try {
      const value = await this[`op_${command.op}`](command)
      emit({ id: command.id, value: value ?? null })
    } catch (error) {
      emit({ id: command.id, error: describe(error) })
    }
    if (command.op === 'shutdown') {
      // Let the close frame and the answer leave before the process ends.
      if (this.socket && this.socket.readyState !== 3) await Promise.race([once(this.socket, 'close'), once(this.socket, 'error')])
      process.stdout.write('', () => process.exit(0))
    }
  }

  op_connect(command) {
    this.name = command.name
    this.iii = this.registerWorker(command.url, options(command))
  }

  op_state() {
    return { state: this.iii.connectionState, worker_id: this.iii.workerId ?? null }
  }

  op_register(command) {
    this.references.set(command.function, this.register(this.iii, command, this.handler(command)))
  }

  op_serve(command) {
    const released = new Promise((resolve) => this.holds.set(command.function, resolve))
    const handler = this.http(httpHandler({ ...command, worker: this.name }, emit, released))
    this.references.set(command.function, this.register(this.iii, command, handler))
  }

  op_pipe(command) {
    this.references.set(command.function, this.register(this.iii, command, channelHandler(command.kind)))
  }

  op_external(command) {
    this.references.set(command.function, this.register(this.iii, command, command.invocation))
  }

  async op_channel({ buffer }) {
    const { writerRef: writer, readerRef: reader } = await this.channel(this.iii, buffer)
    return { writer, reader }
  }

  op_unregister(command) {
    this.references.get(command.function).unregister()
  }

  op_release(command) {
    this.holds.get(command.function)()
  }

  op_call(command) {
    return this.iii.trigger(this.request(command))
  }

  async op_void(command) {
    await this.iii.trigger({ ...this.request(command), action: this.TriggerAction.Void() })
  }

  op_enqueue(command) {
    return this.iii.trigger({ ...this.request(command), action: this.TriggerAction.Enqueue({ queue: command.queue }) })
  }

  op_provide(command) {
    const provider = new Provider(command.type, command.unique)
    this.providers.set(command.type, provider)
    this.iii.registerTriggerType({ id: command.type, description: 'of a test' }, provider)
  }

  op_unprovide(command) {
    this.iii.unregisterTriggerType({ id: command.type, description: 'of a test' })
  }

  // The provider's own call of a trigger's target.
  op_fire(command) {
    const trigger = this.providers.get(command.type).triggers.get(command.trigger)
    return this.op_call({ function: trigger.function_id, data: command.data, metadata: trigger.metadata })
  }

  op_trigger(command) {
    const { type, config, metadata } = command
    this.triggers.set(command.key, this.iii.registerTrigger({ type, function_id: command.function, config, metadata }))
  }

  op_untrigger(command) {
    this.triggers.get(command.key).unregister()
  }

  op_functions() {
    return this.functions(this.iii)
  }

  op_workers() {
    return this.workers(this.iii)
  }

  async op_shutdown() {
    this.socket = this.iii.ws
    await this.iii.shutdown()
  }

  request(command) {
    const { function: function_id, data: payload, timeout_ms: timeoutMs, metadata } = command
    return { function_id, payload, timeoutMs, metadata }
  }

  handler(command) {
    const record = (data) => emit({ event: 'called', function: command.function, worker: this.name, data })
    const released = new Promise((resolve) => this.holds.set(command.function, resolve))
    const handlers = {
      echo: async (data) => ({ worker: this.name, data }),
      fail: async () => {
        throw new Error(command.message)
      },
      record: async (data, metadata) => {
        record(metadata == null ? data : { data, metadata })
        return { worker: this.name }
      },
      hold: async (data) => {
        record(data)
        await released
        return { worker: this.name, data }
      },
    }
    handlers.value = async (data) => {
      record(data)
      return command.value
    }
    // What `cases` has for the value at `path`; an error for any other.
    handlers.cases = async (data) => {
      record(data)
      const found = command.cases[command.path.reduce((value, key) => value[key], data)]
      if (found === undefined) throw new Error('no such case')
      return found
    }
    // As middleware of a listener: makes the call that came to it, with its own name around the result.
    handlers.relay = async (data) => {
      record(data)
      return { by: this.name, result: await this.op_call({ function: data.function_id, data: data.payload }) }
    }
    // What it is given goes to the client's own logger.
    handlers.log = async ({ level, message, n }) => {
      new this.Logger()[level](message, { n })
      return { worker: this.name }
    }
    // Makes the calls of `steps`, one after the other; those with a `queue` are put there.
    handlers.steps = async (data) => {
      record(data)
      for (const step of command.steps) await ('queue' in step ? this.op_enqueue(step) : this.op_call(step))
      return command.value
    }
    return handlers[command.kind]
  }
}
