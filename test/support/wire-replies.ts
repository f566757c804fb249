/** What the scripted server answers by itself, and the faults that a test can have it answer instead. */
import fastifyMongodb from '@fastify/mongodb'
import type { Command, Document } from './wire-protocol.js'

/** What kind of deployment `hello` describes. */
export type Topology = 'replicaSet' | 'standalone' | 'mongos'

export interface ServerDescription {
  readonly topology: Topology
  /** 25 is MongoDB 8.0, which has the `bulkWrite` command; 21 is 7.0. */
  readonly maxWireVersion: number
  /** `host:port` */
  readonly address: string
  readonly isWritablePrimary: boolean
  /** Replaces fields of the reply to `hello`; `undefined` leaves one out. */
  readonly hello: Document
}

export const SET_NAME = 'rs0'
const BULK_WRITE_WIRE_VERSION = 25

/** One command and the means to answer it. */
export interface Exchange {
  readonly command: Command
  /** Carries the command out, as `on` or the default does: the reply that would be sent. */
  execute (): Document
  /** Answers with an outcome; without one, with that of `execute()`. */
  answer (outcome?: Outcome): void
  /** Sends a reply, and closes the connection behind it if asked to. */
  send (reply: Document, options?: { close: boolean }): void
  /** Closes the connection without an answer. */
  drop (): void
}

/** What becomes of a command: a reply, or something that happens instead of one. */
export type Outcome = Document | Action
export type Action = (exchange: Exchange) => void

export interface ServerError {
  code: number
  codeName?: string
  errmsg?: string
  /** Error labels, as a server sends them: the driver adds none to what a server answered. */
  labels?: string[]
  /** Anything else: `keyPattern`, `keyValue`, `errInfo`, `topologyVersion`. */
  [field: string]: unknown
}

export type StatementError = Omit<ServerError, 'labels'> & { index: number }

/** The command fails as a whole: `ok: 0`. */
export function commandError ({ labels, ...error }: ServerError): Document {
  return { ok: 0, errmsg: `scripted error ${error.code}`, ...error, ...errorLabels(labels) }
}

/**
 * Statements of an insert, update or delete fail: `ok: 1` with `writeErrors`. An ordered command stops at the first.
 */
export function writeErrors (errors: StatementError[]): Action {
  return ({ command, execute, send }) => {
    const n = succeeded(command, errors).length
    const reply = execute()
    send({
      ...reply,
      n,
      ...('nModified' in reply ? { nModified: n } : {}),
      writeErrors: errors.map((error) => ({ errmsg: `scripted error ${error.code}`, ...error }))
    })
  }
}

/** Operations of a `bulkWrite` command fail. An ordered command stops at the first. */
export function bulkWriteErrors (errors: StatementError[]): Action {
  return ({ command, send }) => send(bulkWriteReply(command, errors))
}

/** The command is carried out, but its write concern is not satisfied. */
export function writeConcernError ({ labels, ...error }: ServerError): Action {
  return ({ execute, send }) => send({
    ...execute(),
    writeConcernError: { errmsg: `scripted error ${error.code}`, ...error },
    ...errorLabels(labels)
  })
}

/** What a member answers that is not primary any more, with the labels that MongoDB gives it. */
export function notWritablePrimary (): Action {
  return ({ command, send }) => send(commandError({
    code: 10107,
    codeName: 'NotWritablePrimary',
    errmsg: 'not primary',
    labels: retryLabels(command)
  }))
}

/** Closes the connection: `before` the command is carried out, or `after` it, so that only the answer is lost. */
export function dropConnection (when: 'before' | 'after' = 'before'): Action {
  return ({ execute, drop }) => {
    if (when === 'after') execute()
    drop()
  }
}

/** Answers, and closes the connection behind the answer. */
export function closeAfterReply (reply?: Document): Action {
  return ({ execute, send }) => send(reply ?? execute(), { close: true })
}

/** Answers later. */
export function delay (milliseconds: number, outcome?: Outcome): Action {
  return ({ answer }) => { setTimeout(() => answer(outcome), milliseconds) }
}

/** Never answers; the connection stays open. */
export function hang (): Action {
  return () => {}
}

/** The reply to `find`, `aggregate` or `listCollections`: these documents, and no more. */
export function cursor (firstBatch: Document[], ns = 'test.scripted'): Document {
  return { ok: 1, cursor: { id: fastifyMongodb.mongodb.BSON.Long.ZERO, ns, firstBatch } }
}

/** What the server answers when neither a script nor `on` says otherwise: everything is acknowledged. */
export function defaultReply (command: Command, server: ServerDescription): Outcome {
  const reply = replies[command.name]
  const exists =
    reply !== undefined && (command.name !== 'bulkWrite' || server.maxWireVersion >= BULK_WRITE_WIRE_VERSION)
  if (!exists) {
    return commandError({ code: 59, codeName: 'CommandNotFound', errmsg: `no such command: '${command.name}'` })
  }
  if (!server.isWritablePrimary && !anyMember.has(command.name)) return notWritablePrimary()
  if (server.topology === 'standalone' && command.txnNumber !== undefined) {
    return commandError({
      code: 20,
      codeName: 'IllegalOperation',
      errmsg: 'Transaction numbers are only allowed on a replica set member or mongos'
    })
  }
  return reply(command, server)
}

const acknowledge = (): Document => ({ ok: 1 })
const nothingFound = (command: Command): Document => cursor([], `${command.database}.${command.collection ?? '$cmd'}`)

const replies: Readonly<Record<string, (command: Command, server: ServerDescription) => Document>> = {
  hello: (command, server) => helloReply(command, server),
  ping: acknowledge,
  buildInfo: (_command, { maxWireVersion }) => ({
    ok: 1,
    version: maxWireVersion >= BULK_WRITE_WIRE_VERSION ? '8.0.0' : '7.0.0'
  }),

  insert: ({ statements }) => ({ ok: 1, n: statements }),
  update: ({ statements }) => ({ ok: 1, n: statements, nModified: statements }),
  delete: ({ statements }) => ({ ok: 1, n: statements }),
  bulkWrite: (command) => bulkWriteReply(command, []),
  findAndModify: () => ({ ok: 1, lastErrorObject: { n: 0, updatedExisting: false }, value: null }),

  find: nothingFound,
  aggregate: nothingFound,
  getMore: () => commandError({ code: 43, codeName: 'CursorNotFound', errmsg: 'cursor not found' }),
  killCursors: acknowledge,
  count: () => ({ ok: 1, n: 0 }),
  distinct: () => ({ ok: 1, values: [] }),

  commitTransaction: acknowledge,
  abortTransaction: acknowledge,
  endSessions: acknowledge,

  create: acknowledge,
  collMod: acknowledge,
  drop: acknowledge,
  dropDatabase: acknowledge,
  createIndexes: () => ({ ok: 1, createdCollectionAutomatically: false, numIndexesBefore: 1, numIndexesAfter: 2 }),
  dropIndexes: acknowledge,
  listIndexes: nothingFound,
  listCollections: nothingFound,
  listDatabases: () => ({ ok: 1, databases: [], totalSize: 0 })
}

/** What a secondary answers as well. */
const anyMember = new Set(['hello', 'ping', 'buildInfo', 'killCursors', 'endSessions'])

function helloReply (
  { connection }: Command,
  { topology, maxWireVersion, address, isWritablePrimary, hello }: ServerDescription
): Document {
  return withoutUndefined({
    helloOk: true,
    isWritablePrimary,
    ismaster: isWritablePrimary, // the legacy hello knows only this one
    ...topologyFields[topology](address, isWritablePrimary),
    maxBsonObjectSize: 16_777_216,
    maxMessageSizeBytes: 48_000_000,
    maxWriteBatchSize: 100_000,
    localTime: new Date(),
    logicalSessionTimeoutMinutes: 30,
    connectionId: connection,
    minWireVersion: 0,
    maxWireVersion,
    readOnly: false,
    ok: 1,
    // No topologyVersion: it would make the driver stream the hello, which this server does not.
    ...hello
  })
}

const topologyFields: Readonly<Record<Topology, (address: string, isWritablePrimary: boolean) => Document>> = {
  replicaSet: (address, isWritablePrimary) => ({
    setName: SET_NAME,
    setVersion: 1,
    hosts: [address],
    me: address,
    primary: isWritablePrimary ? address : undefined,
    secondary: !isWritablePrimary
  }),
  mongos: () => ({ msg: 'isdbgrid' }),
  standalone: () => ({})
}

function withoutUndefined (document: Document): Document {
  return Object.fromEntries(Object.entries(document).filter(([, value]) => value !== undefined))
}

function bulkWriteReply (command: Command, errors: StatementError[]): Document {
  const done = succeeded(command, errors)
  const keys = command.statementKeys()
  const count = (key: string) => done.reduce((n, index) => keys[index] === key ? n + 1 : n, 0)
  const updated = count('update')
  const results = command.flag('errorsOnly') === true
    ? []
    : done.map((idx) => ({ ok: 1, idx, n: 1, ...(keys[idx] === 'update' ? { nModified: 1 } : {}) }))
  const failures = errors.map(({ index, ...error }) => ({
    ok: 0,
    idx: index,
    n: 0,
    errmsg: `scripted error ${error.code}`,
    ...error
  }))

  return {
    ...cursor([...results, ...failures].sort((a, b) => a.idx - b.idx), 'admin.$cmd.bulkWrite'),
    nErrors: errors.length,
    nInserted: count('insert'),
    nMatched: updated,
    nModified: updated,
    nUpserted: 0,
    nDeleted: count('delete')
  }
}

/** The indexes of the statements that took effect. */
function succeeded (command: Command, errors: StatementError[]): number[] {
  const failed = new Set(errors.map(({ index }) => index))
  const end = command.flag('ordered') === false ? command.statements : Math.min(command.statements, ...failed)
  return Array.from({ length: end }, (_, index) => index).filter((index) => !failed.has(index))
}

/**
 * Which label MongoDB gives an error after which the command may be sent again.
 * https://github.com/mongodb/specifications/blob/master/source/transactions/transactions.md#error-labels
 */
function retryLabels ({ name, autocommit, txnNumber }: Command): string[] {
  const endsTransaction = name === 'commitTransaction' || name === 'abortTransaction'
  if (autocommit === false && !endsTransaction) return ['TransientTransactionError']
  return txnNumber === undefined ? [] : ['RetryableWriteError']
}

function errorLabels (labels: string[] | undefined): Document {
  return labels === undefined || labels.length === 0 ? {} : { errorLabels: labels }
}
