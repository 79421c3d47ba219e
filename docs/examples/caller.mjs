// Calls the Python worker's function, whichever gateway that worker is connected to.
import { registerWorker } from 'iii-sdk'

const iii = registerWorker(process.env.III_URL ?? 'ws://127.0.0.1:49134', { workerName: 'caller' })

const answer = await iii.trigger({ function_id: 'greeter::greet', payload: { name: 'Ada' } })
console.log(answer.greeting)
await iii.shutdown()
process.exit(0)
