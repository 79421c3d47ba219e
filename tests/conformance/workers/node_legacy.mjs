// A worker on the Node client of the 0.9 generation.

import { Driver, loadClient } from './driver.mjs'

const client = await loadClient()

await new Driver(client, {
  http: client.http,
  Logger: client.Logger,
  channel: (iii, buffer) => iii.createChannel(buffer),
  register: (iii, { function: id, description, metadata }, handler) => iii.registerFunction({ id, description, metadata }, handler),
  functions: (iii) => iii.listFunctions(),
  workers: (iii) => iii.listWorkers(),
}).run()
