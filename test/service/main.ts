/** `npm run test:service`: the package between PowerSync's own service and client SDK. CONTRIBUTING.md says how to run it. */
import t from 'tap'
import { sdkMissing } from '../e2e/client.js'
import { obstacle } from './set-up.js'

const reason = obstacle ?? await sdkMissing()
if (reason) t.plan(0, reason)
else for (const file of process.argv[2]?.split(',') ?? ['types', 'ids', 'rejections', 'conflicts', 'transactions', 'tokens', 'restarts']) await import(`./${file}.js`)
