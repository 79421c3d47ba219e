// A worker on the Node client of the 0.2x generations.

import { pathToFileURL } from 'node:url'

import { Driver, loadClient } from './driver.mjs'

// What is not in the main module of the package.
const beside = (path) => import(new URL(path, pathToFileURL(process.env.TEST_CLIENT_MODULE)))
const { createChannel } = await beside('./helpers.mjs')
const { Logger } = await beside('../../@iii-dev/helpers/dist/observability/index.mjs')
const { http } = await beside('../../@iii-dev/helpers/dist/http/index.mjs')

const list = async (iii, what) => (await iii.trigger({ function_id: `engine::${what}::list`, payload: {} }))[what]

await new Driver(await loadClient(), {
  http,
  Logger,
  channel: createChannel,
  register: (iii, { function: id, description, metadata }, handler) => iii.registerFunction(id, handler, { description, metadata }),
  functions: (iii) => list(iii, 'functions'),
  workers: (iii) => list(iii, 'workers'),
}).run()
