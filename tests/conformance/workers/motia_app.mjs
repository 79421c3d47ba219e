// An application on the Node framework: every step notes what reached it in the state scope it is given.
//
// Arguments: a name that makes its ids unique. The address of the gateway is in III_URL.

import { pathToFileURL } from 'node:url'

const { Motia, cron, http, initIII, queue, state, stateManager, stream } = await import(pathToFileURL(process.env.TEST_CLIENT_MODULE))

const name = process.argv[2]
initIII({ enabled: false })
const motia = new Motia()
const note = (what, value) => stateManager.set(`${name}-notes`, what, value)
const add = (what, trigger) =>
  motia.addStep({ name: `${name}-${what}`, triggers: [trigger], flows: ['test'] }, `${what}.ts`, async (data) => note(what, data ?? 'nothing'), `${what}.ts`)

add('queue', queue(`${name}-topic`))
add('state', state((event) => event.scope === `${name}-in`))
add('stream', stream(`${name}-stream`, { groupId: 'g' }))
add('cron', cron('* * * * * *'))
const addRoute = (what, trigger, handler) =>
  motia.addStep({ name: `${name}-${what}`, triggers: [trigger], flows: ['test'] }, `${what}.ts`, handler, `${what}.ts`)

const gate = async ({ request }, _context, next) => (request.queryParams.closed ? { status: 403, body: { closed: true } } : next())
const order = async ({ request }) => ({
  status: 201,
  headers: { 'x-step': 'order' },
  body: { id: request.pathParams.id, qty: request.body.qty },
})
const lines = async ({ response }) => {
  response.status(206)
  response.headers({ 'content-type': 'text/plain' })
  for (let line = 0; line < 3; line++) response.stream.write(`line ${line}\n`)
  response.stream.end()
}
addRoute('order', http('POST', `/${name}/orders/:id`, { middleware: [gate] }), order)
addRoute('lines', http('GET', `/${name}/lines`, {}, (request) => Boolean(request.queryParams.please)), lines)
const onJoin = async (subscription, _context, auth) => note('join', { group_id: subscription.groupId, auth: auth ?? null })
motia.addStream({ name: `${name}-stream`, schema: { type: 'object' }, baseConfig: { storageType: 'default' }, onJoin }, 'stream.ts')
motia.initialize()
await note('ready', true)
setInterval(() => {}, 1 << 30) // runs until it is killed
