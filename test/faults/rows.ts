/** The rows of the matrix: each command × each fault, on uploads that send the command. */
import { createHash } from 'node:crypto'
import { dataCodes, nameOf, noFault, otherCodes, passingCodes, type Cause, type Fault, type Label } from './fault.js'
import type { Sent } from './server.js'
import type { Shape } from './shapes.js'

/** With MongoDB 8's `bulkWrite`, or with what older versions have. */
export type CommandSet = 'bulkWrite' | 'update, delete'

/** What an upload sends when nothing fails. */
export interface Profile { shape: Shape, set: CommandSet, sent: Sent[] }

export interface Row {
  shape: Shape
  set: CommandSet
  fault: Fault
  /** Whether the fault is there when the server starts. */
  atStart: boolean
}

/** What the package sends for uploads; `insert` is an `updateBatch`'s, and a hook's. */
export const uploadCommands = [
  'find',
  'update',
  'delete',
  'bulkWrite',
  'insert',
  'commitTransaction',
  'abortTransaction'
]

const labels: Label[] = ['none', 'TransientTransactionError', 'RetryableWriteError', 'UnknownTransactionCommitResult']
const modes = ['once', 'on'] as const
const codes = [...dataCodes, ...passingCodes, ...otherCodes]

/** Codes of a write concern that was not met: the command has run. */
const unmetCodes = [2, 64, 79, 91, 100, 189, 11602, 424_242]

const refusals: Cause[] = codes.flatMap(code => labels.map((label): Cause => ({ kind: 'error', code, label })))
const unmet: Cause[] = unmetCodes.flatMap(code =>
  labels.map((label): Cause => ({ kind: 'write concern', code, label }))
)
/** Labels say nothing at the start. */
const unlabelled = refusals.filter(cause => 'label' in cause && cause.label === 'none')

/** All rows, in an order of the seed's: which upload meets which fault, and when, is the seed's as well. */
export function rowsOf (profiles: readonly Profile[], seed: number): Row[] {
  const rows: Row[] = []
  const anyOf = profiles.map(profile => ({ ...profile, skip: 0 }))
  for (const command of uploadCommands) {
    const targets = targetsOf(profiles, command)
    add(targets, [command], refusals)
    const some = shuffled(targets, seed, nameOfTarget)
    for (const target of some.slice(0, 24)) add([target], [command], [{ kind: 'closed' }])
    // Each takes a second, and only once: what waits for the first of them sees no second one.
    for (const target of some.slice(0, 8)) add([target], [command], [{ kind: 'late' }], { only: ['once'] })
  }
  add(targetsOf(profiles, 'commitTransaction'), ['commitTransaction'], unmet)
  for (const command of ['update', 'delete']) {
    add(targetsOf(profiles.filter(({ sent }) => sent.length === 1), command), [command], unmet)
  }
  for (const target of anyOf) {
    const { shape, set } = target
    rows.push({ shape, set, fault: noFault, atStart: false })
    add([target], [...uploadCommands, 'hello'], [{ kind: 'closed' }], { only: ['on'] })
    for (const collection of ['powersync_ledger', 'powersync_dead_letters', 'visits', 'outbox', 'lists']) {
      if (isInserting(target, collection)) {
        add([target], ['validator'], [{ kind: 'validator', collection }], { only: ['on'] })
      }
    }
  }
  add(anyOf, [...uploadCommands, 'hello'], unlabelled, { only: ['on'] })
  add(anyOf, ['createIndexes'], [...unlabelled, ...unmet, { kind: 'closed' }], { atStart: true })
  add(anyOf, ['hello'], [...unlabelled, { kind: 'closed' }], { atStart: true })
  return shuffled(rows, seed, nameOfRow)

  /** Each cause and mode on one of the targets, in turn: in another order each time, so that they meet in all ways. */
  function add (
    targets: Target[],
    commands: string[],
    causes: Cause[],
    { only = modes, atStart = false }: { only?: ReadonlyArray<Fault['mode']>, atStart?: boolean } = {}
  ): void {
    let left: Target[] = []
    for (const cause of causes) {
      for (const mode of only) {
        if (left.length === 0) left = shuffled(targets, seed, target => `${rows.length} ${nameOfTarget(target)}`)
        const { shape, set, skip } = left.pop()!
        rows.push({ shape, set, atStart, fault: { commands, cause, mode, skip } })
      }
    }
  }
}

interface Target { shape: Shape, set: CommandSet, skip: number }

const nameOfTarget = ({ shape, set, skip }: Target): string => `${shape.name} ${set} ${skip}`

/** Each command of this name that an upload sends. */
function targetsOf (profiles: readonly Profile[], command: string): Target[] {
  return profiles.flatMap(({ shape, set, sent }) =>
    sent.filter(({ name }) => name === command).map((_, skip) => ({ shape, set, skip }))
  )
}

/** Whether a validator can refuse what an upload writes there. */
const isInserting = ({ sent, shape }: Profile, collection: string): boolean => collection === 'lists'
  ? shape.transactions.flat().some(({ op, table, fault }) => table === collection && op !== 'DELETE' && !fault)
  : sent.some(({ writes }) => writes.includes(collection))

/** Its command and kind of fault. */
export const groupOf = ({ fault: { commands, cause } }: Row): string =>
  `${commands.length > 1 ? 'all' : commands[0]} ${cause.kind}`

export const nameOfRow = ({ fault, shape, set, atStart }: Row): string =>
  `${nameOf(fault)} | ${atStart ? 'start' : set} | ${shape.name}`

function shuffled<Item> (items: readonly Item[], seed: number, key: (item: Item) => string): Item[] {
  const keyed = items.map(item => ({ item, order: createHash('sha256').update(`${seed} ${key(item)}`).digest('hex') }))
  return keyed.sort((a, b) => a.order < b.order ? -1 : 1).map(({ item }) => item)
}
