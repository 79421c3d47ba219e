// Handlers of HTTP requests and of channels, in the Node clients' own terms; both generations share them.

import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const PROGRESS = 100 // records between two texts
const EVENTS = [
  'id: 1\nevent: start\ndata: one\n\n',
  'id: 2\nevent: step\ndata: two\n\n',
  'id: 3\nevent: step\ndata: first line\ndata: second line\n\n',
  'id: 4\nevent: end\ndata: {"done":true}\n\n',
]

// Bytes that look like a PDF and hold every value.
const sample = (size) => {
  const head = Buffer.from('%PDF-1.4\n')
  return Buffer.from(Uint8Array.from({ length: size }, (_, index) => head[index] ?? (index - head.length) % 256))
}

const sha256 = (data) => createHash('sha256').update(data).digest('hex')
const write = (stream, data) => new Promise((resolve, reject) => stream.write(data, (error) => (error ? reject(error) : resolve())))
const finish = (stream) => new Promise((resolve) => stream.end(resolve))

export const httpHandler = (command, emit, released) =>
  ({
    // What arrived, as JSON.
    show: async ({ path_params, query_params, method, headers, body }) => ({
      status_code: command.status ?? 200,
      headers: { 'x-worker': command.worker },
      body: { path_params, query_params, method, headers, body },
    }),
    raw: async (request) => ({
      status_code: 200,
      body: { base64: (await request.request_body.readAll()).toString('base64'), body: request.body },
    }),
    download: async (_request, response) => {
      response.status(200)
      response.headers({ 'content-type': 'application/pdf', 'x-kind': 'file' })
      await write(response.stream, sample(command.size))
      await finish(response.stream)
    },
    upload: async (request, response) => {
      const data = await request.request_body.readAll()
      response.status(201)
      response.headers({ 'content-type': 'application/json' })
      response.stream.end(JSON.stringify({ size: data.length, sha256: sha256(data) }))
    },
    events: async (_request, response) => {
      response.status(200)
      response.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
      for (const event of EVENTS) {
        await write(response.stream, event)
        await sleep(10)
      }
      response.stream.end()
    },
    form: async (request) => ({
      status_code: 200,
      body: Object.fromEntries(new URLSearchParams((await request.request_body.readAll()).toString())),
    }),
    multipart: async (request) => {
      const data = await request.request_body.readAll()
      const fields = await new Response(data, { headers: { 'content-type': request.headers['content-type'] } }).formData()
      const body = {}
      for (const [name, value] of fields) {
        if (typeof value === 'string') body[name] = value
        else {
          const content = Buffer.from(await value.arrayBuffer())
          body[name] = { name: value.name, type: value.type, size: content.length, sha256: sha256(content) }
        }
      }
      return { status_code: 200, body }
    },
    cookies: async () => ({ status_code: 200, headers: ['Set-Cookie: a=1; Path=/', 'Set-Cookie: b=2', 'X-One: 1'], body: {} }),
    text: async () => ({ status_code: 200, headers: { 'Content-Type': 'text/xml' }, body: '<a>✓</a>' }),
    nothing: async () => {},
    // Returns before anything of its response has been sent, as the client's own documentation shows it.
    forgetful: async (_request, response) => {
      response.status(202)
      response.headers({ 'x-late': 'yes' })
      response.stream.end('later')
      response.close()
    },
    // Answers when it is told to, whether anybody waits or not.
    late: async (_request, response) => {
      emit({ event: 'late', function: command.function })
      await released
      response.status(200)
      response.stream.end('too late')
      response.stream.once('close', () => emit({ event: 'late_done', function: command.function }))
    },
    fail: async () => {
      throw new Error(command.message)
    },
  })[command.handler]

// What reads or writes the ends that come with a call.
export const channelHandler = (kind) =>
  ({
    // Records of a line each, a text now and then.
    produce: async ({ writer, records, pad = 0 }) => {
      for (let number = 0; number < records; number++) {
        await write(writer.stream, `${JSON.stringify({ n: number, pad: 'x'.repeat(pad) })}\n`)
        if ((number + 1) % PROGRESS === 0) writer.sendMessage(JSON.stringify({ type: 'progress', done: number + 1 }))
      }
      await finish(writer.stream)
      return { sent: records }
    },
    consume: async ({ reader }) => {
      const texts = []
      reader.onMessage((text) => texts.push(JSON.parse(text)))
      const lines = (await reader.readAll()).toString().split('\n').slice(0, -1)
      const numbers = lines.map((line) => JSON.parse(line).n)
      return { received: numbers.length, ordered: numbers.every((n, index) => n === index), texts }
    },
    // Both ways at once: a text for every so many records that came in, the sum of them at the end.
    process: async ({ reader, writer }) => {
      let [done, total, rest] = [0, 0, '']
      for await (const piece of reader.stream) {
        const lines = (rest + piece).split('\n')
        rest = lines.pop()
        for (const line of lines) {
          done += 1
          total += JSON.parse(line).n
          if (done % PROGRESS === 0) writer.sendMessage(JSON.stringify({ type: 'progress', done }))
        }
      }
      await write(writer.stream, `${JSON.stringify({ n: total })}\n`)
      await finish(writer.stream)
      return { done }
    },
  })[kind]
