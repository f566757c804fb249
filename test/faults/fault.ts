/** The faults of the matrix, and how a second client switches them on and off. */
import type { mongodb } from '../../lib/bson.js'

/** The name that the server under test gives to MongoDB: fail points reach its connections only. */
export const appName = 'fault-matrix'

export type Label = 'none' | 'TransientTransactionError' | 'RetryableWriteError' | 'UnknownTransactionCommitResult'

export type Cause =
  | { kind: 'none' }
  /** MongoDB refuses the command with a code, and does nothing. */
  | { kind: 'error', code: number, label: Label }
  /** MongoDB runs the command, and then says that it is not known whether it is durable. */
  | { kind: 'write concern', code: number, label: Label }
  /** The connection closes before the command runs. */
  | { kind: 'closed' }
  /** The command runs after the upload's deadline, when the answer was given. */
  | { kind: 'late' }
  /** The collection has a validator that refuses everything: codes 121 and 11000 cannot be given to a fail point. */
  | { kind: 'validator', collection: string }

export interface Fault {
  /** Names of the commands that fail. */
  commands: string[]
  cause: Cause
  /** One command only, or all of them until the fault is switched off. */
  mode: 'once' | 'on'
  /** How many commands of these names pass before. */
  skip: number
}

export const noFault: Fault = { commands: [], cause: { kind: 'none' }, mode: 'once', skip: 0 }

/**
 * What only data can cause: it may be final where a write of the data meets it. 121 and 11000 come from the database
 * itself.
 */
export const dataCodes = [2, 52, 10334, 16755, 17419]

/** What passes: hosts, time-outs, elections, shutdowns, conflicts, transactions that are gone. */
export const passingCodes = [6, 50, 91, 112, 189, 251, 262, 11602]

/** What somebody has to see to, and what nobody knows. */
export const otherCodes = [8, 13, 20, 59, 263, 391, 14031, 424_242]

/** Milliseconds: the upload's deadline, and how long a late command waits. */
export const deadline = 300
const late = 2 * deadline

/** @param client of a second process, which the fault does not reach */
export async function switchOn (client: mongodb.MongoClient, { commands, cause, mode, skip }: Fault): Promise<void> {
  if (cause.kind === 'none') return
  if (cause.kind === 'validator') return await setValidator(client.db(), cause.collection, { never: { $exists: true } })
  await client.db('admin').command({
    configureFailPoint: 'failCommand',
    // A server that does not know both at once takes the first: the fault comes earlier, and what it met is observed.
    mode: mode === 'once' ? { times: 1, skip } : { skip },
    data: { failCommands: commands, appName, ...dataOf(cause) }
  })
}

export async function switchOff (client: mongodb.MongoClient, { cause }: Fault): Promise<void> {
  if (cause.kind === 'validator') await setValidator(client.db(), cause.collection, {})
  else await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' })
}

function dataOf (cause: Exclude<Cause, { kind: 'none' | 'validator' }>): object {
  switch (cause.kind) {
    case 'error':
      return { errorCode: cause.code, errorLabels: labelsOf(cause.label) }
    case 'write concern':
      return { writeConcernError: { code: cause.code, errmsg: injected }, errorLabels: labelsOf(cause.label) }
    case 'closed':
      return { closeConnection: true }
    case 'late':
      return { blockConnection: true, blockTimeMS: late }
  }
}

/** An empty list says none; without a list MongoDB adds labels of its own. */
const labelsOf = (label: Label) => label === 'none' ? [] : [label]

/** What an injected error says of itself. */
export const injected = 'failCommand'

async function setValidator (db: mongodb.Db, collection: string, validator: object): Promise<void> {
  await db.command({ collMod: collection, validator })
}

export function nameOf ({ commands, cause, mode, skip }: Fault): string {
  if (cause.kind === 'none') return 'no fault'
  const what =
    'code' in cause
      ? `${cause.kind} ${cause.code} ${cause.label}`
      : cause.kind === 'validator'
        ? `validator of ${cause.collection}`
        : cause.kind
  return `${commands.length > 1 ? 'all' : commands[0]} ${mode}${skip ? ` after ${skip}` : ''} ${what}`
}
