// A worker on the Node client of the 0.2x generations.

import { Driver, loadClient } from './driver.mjs'

const list = async (iii, what) => (await iii.trigger({ function_id: `engine::${what}::list`, payload: {} }))[what]

await new Driver(await loadClient(), {
  register: (iii, { function: id, description }, handler) => iii.registerFunction(id, handler, { description }),
  functions: (iii) => list(iii, 'functions'),
  workers: (iii) => list(iii, 'workers'),
}).run()
