/**
 * Connects the PowerSync SDKs for JavaScript to fastify-powersync-mongo: React Native, web, Node.js, Capacitor, Tauri.
 * Compiled, and run in this package's tests. On React Native, one request takes one transaction, unless there is a
 * polyfill for Symbol.asyncIterator (@azure/core-asynciterator-polyfill).
 *
 *     await connect(database, () => session.accessToken)
 */
import type { AbstractPowerSyncDatabase } from '@powersync/common'
import { createConnector } from 'fastify-powersync-mongo/client'

export const connect = (database: AbstractPowerSyncDatabase, accessToken: () => string): Promise<void> =>
  database.connect(createConnector({
    url: 'https://app.example.com/powersync',
    headers: () => ({ authorization: `Bearer ${accessToken()}` }),
    // The server keeps it as a dead letter: this is the place to tell the user.
    onFatal: ({ failedOperation }) => { console.warn(`rejected: ${failedOperation.error_code}`) }
  }))
