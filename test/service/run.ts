/** `npm run test:service`: this package between PowerSync's own service and client SDK. See CONTRIBUTING.md. */
import t from 'tap'
import { sdkMissing } from '../e2e/client.js'
import { obstacle } from './set-up.js'

const reason = obstacle ?? await sdkMissing()
if (reason) {
  t.plan(0, reason)
} else {
  // One after the other: each brings its server up where the service looks for its keys.
  await import('./types.js')
  await import('./ids.js')
  await import('./rejections.js')
  await import('./conflicts.js')
  await import('./transactions.js')
  await import('./settled.js')
  await import('./tokens.js')
  await import('./restarts.js')
}
