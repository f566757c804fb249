/**
 * An operator of a soak as a process: runs dead letters again, mended or not, and discards some, while clients upload.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { send, soakApp } from './app.js'
import { mendedMark } from './history.js'
import { between, mayBeRejected, mended, pick, random, type Table, type Write } from './schedule.js'
import type { CrudOperation, DeadLetter } from '../../index.js'

process.on('disconnect', () => process.exit())

const app = await soakApp('letter')
const next = random(Number(process.env['SOAK_SEED']), 'operator', process.env['SOAK_START']!)
const { deadLetters } = app.powersync
const discarded = app.mongo.db!.collection('discarded')
const over = new AbortController()

process.on('SIGTERM', () => over.abort())
send({ ready: true })
while (!over.signal.aborted) {
  await sleep(between(next, 20, 300))
  // Fail points meet operators as well: the letter is still there, and comes again.
  await work().catch(() => {})
}
await app.close()
process.exit()

async function work (): Promise<void> {
  const letters = await deadLetters.list({ limit: 1000 })
  if (letters.length === 0) return
  // Those of a client are to be run in their order; now and then an operator does not.
  const letter = next() < 0.8 ? letters.at(-1)! : pick(next, letters)
  if (next() < 0.15) return await discard(letter)
  await deadLetters.retry(
    letter._id,
    next() < 0.5
      ? {
          edit: ({ operations, ...transaction }) => ({
            ...transaction,
            operations: operations.map(operation => mend(operation, letter))
          })
        }
      : {}
  )
}

/** First the intention, which the checker needs to know, whatever happens then. */
async function discard ({ _id, client_id: clientId, operations }: DeadLetter): Promise<void> {
  await discarded.insertOne(
    { clientId, opIds: operations.map(operation => Number(operation.op_id)) },
    { writeConcern: { w: 'majority' } }
  )
  await deadLetters.discard(_id)
}

function mend (operation: CrudOperation, { client_id: clientId }: DeadLetter): CrudOperation {
  if (operation.op === 'DELETE' || !mayBeRejected(operation as Write)) return operation
  return {
    ...operation,
    metadata: mendedMark,
    data: {
      ...operation.data,
      value: mended(operation.table as Table, String(operation.data['value']), `${clientId} ${operation.opId}`)
    }
  }
}
