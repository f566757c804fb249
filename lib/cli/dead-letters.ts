import { parseArgs } from 'node:util'
import fastifyMongodb from '@fastify/mongodb'
import Fastify from 'fastify'
import type { mongodb } from '../bson.js'
import { CollectionRegistry } from '../collections/registry.js'
import { ParameterError } from '../errors.js'
import { noSpans } from '../observe/spans.js'
import { DeadLetters, type DeadLetter, type DeadLetterSummary } from '../storage/dead-letters.js'
import { MongoDBStorage } from '../storage/mongodb-storage.js'
import { nameOf } from '../storage/validators.js'
import { createReplay } from '../upload/replay.js'
import { UsageError, type CommandIO } from './command.js'
import { loadApp, type App } from './config.js'

const usage = `Usage: powersync-mongo dead-letters list [--user <id>] [--limit <n>] [options]
       powersync-mongo dead-letters show|discard <id>…|--all [options]
       powersync-mongo dead-letters retry <id>…|--all --config <file> [options]

Uploaded transactions that were rejected for good. An id may be shortened to its beginning.

  list     the latest, without what was uploaded
  show     one with what was uploaded, values included
  retry    runs it through your schemas and hooks again, as its user; applied, it is deleted; rejected again, it stays
  discard  deletes it, and with it what was uploaded

  --all     all of them, the oldest first; with --user only that user's
  --user    id of a user
  --limit   how many to list (100)
  --config  the file that exports your collections, and your hooks for all collections under their names
  --uri     connection string with the database in its path (MONGO_URI)
  --json    one JSON object per line

Example: npx powersync-mongo dead-letters retry --all --config collections.js
`

interface Options {
  all: boolean
  user: string | undefined
  limit: number
  json: boolean
}

/** What an action does to the letters with these ids, or to the list; whether all went well. */
type Action = (letters: DeadLetters, ids: string[], options: Options, io: CommandIO) => Promise<boolean>

/** `powersync-mongo dead-letters`: 0 when all was done, 1 when something is left, or MongoDB refused. */
export async function deadLettersCommand (args: string[], io: CommandIO): Promise<number> {
  const { values, positionals: [name, ...ids] } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      all: { type: 'boolean', default: false },
      user: { type: 'string' },
      limit: { type: 'string', default: '100' },
      config: { type: 'string' },
      uri: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' }
    }
  })
  if (values.help) {
    io.stdout.write(usage)
    return 0
  }
  const { all, user, json } = values
  const action = name !== undefined && Object.hasOwn(actions, name) ? actions[name] : undefined
  if (!action) throw new UsageError(`${name === undefined ? 'what to do is missing' : `there is no ${name}`}: it is one of ${Object.keys(actions).join(', ')}`)
  const chosen = Number(ids.length > 0) + Number(all)
  if (name === 'list' && chosen !== 0) throw new UsageError('list takes neither ids nor --all: show does, and --limit lists more')
  if (name !== 'list' && chosen !== 1) throw new UsageError(`${name} takes either ids, as list prints them, or --all`)
  if (user !== undefined && ids.length > 0) throw new UsageError('--user goes with list and --all: an id is of one user anyway')
  const limit = Number(values.limit)
  if (!Number.isInteger(limit) || limit < 1) throw new UsageError(`--limit ${values.limit} is not a whole number from 1`)
  const uri = values.uri ?? process.env['MONGO_URI']
  if (!uri) throw new UsageError('which MongoDB? Pass --uri or set MONGO_URI')
  const app = name === 'retry' ? await loadApp(values.config) : undefined

  let client
  try {
    client = new fastifyMongodb.mongodb.MongoClient(uri, { serverSelectionTimeoutMS: 7500 })
    return await action(lettersOf(client, app, io), ids, { all, user, limit, json }, io) ? 0 : 1
  } catch (error) {
    io.stderr.write(`powersync-mongo dead-letters: MongoDB did not do it (${nameOf(error)}): check that the connection string is right, that the server runs, and that its user may read and write (role readWrite), and run this again\n`)
    return 1
  } finally {
    await client?.close()
  }
}

function lettersOf (client: mongodb.MongoClient, app: App | undefined, io: CommandIO): DeadLetters {
  const db = client.db()
  if (!app) return new DeadLetters(db)
  const collections = new CollectionRegistry(app.collections, app.hooks)
  const { log } = Fastify({ logger: { level: 'warn', stream: { write: line => { io.stderr.write(line) } } } })
  return new DeadLetters(db, {}, createReplay({
    client,
    db,
    collections,
    storage: new MongoDBStorage(db, collections),
    spans: noSpans,
    transactionOptions: { readConcern: 'snapshot', readPreference: 'primary', writeConcern: { w: 'majority' } },
    deadline: 20_000,
    faults: {},
    log
  }))
}

const actions: Record<string, Action> = {
  async list (letters, _ids, options, io) {
    const found = await letters.summaries(options)
    for (const letter of found) io.stdout.write(options.json ? line(letter) : describe(letter))
    if (found.length === options.limit) io.stderr.write(`These are the latest ${options.limit}: --limit shows more.\n`)
    if (found.length === 0) io.stderr.write('There are no dead letters.\n')
    return true
  },

  show: (letters, ids, options, io) => each(letters, ids, options, io, async id => {
    const letter = await letters.get(id)
    if (letter) io.stdout.write(options.json ? line(letter) : describe(letter) + letter.operations.map(operation => describeOperation(letter, operation)).join(''))
    return letter && true
  }),

  async retry (letters, ids, options, io) {
    const count = { applied: 0, rejected: 0, failed: 0 }
    const done = await each(letters, ids, options, io, async id => {
      const [outcome, result] = await retry(letters, id)
      if (!outcome) return null
      count[outcome]++
      io.stdout.write(options.json ? line({ id, ...result }) : printable(`${id}: ${words(outcome, result)}`))
      return outcome === 'applied'
    })
    io.stderr.write(`${Object.entries(count).map(([outcome, letters]) => `${letters} ${outcome}`).join(', ')}\n`)
    return done
  },

  discard: (letters, ids, options, io) => each(letters, ids, options, io, async id => {
    const discarded = await letters.discard(id)
    if (discarded) io.stdout.write(options.json ? line({ id, status: 'discarded' }) : printable(`${id}: discarded`))
    return discarded || null
  })
}

interface RetryReport {
  status: string
  failed_operation?: { error_code: string, message: string }
  error?: string
}

type Outcome = 'applied' | 'rejected' | 'failed'

async function retry (letters: DeadLetters, id: string): Promise<[Outcome | undefined, RetryReport]> {
  try {
    const result = await letters.retry(id)
    return [result ? result.status === 'success' ? 'applied' : 'rejected' : undefined, result ?? { status: 'gone' }]
  } catch (error) {
    if (error instanceof ParameterError) throw error
    return ['failed', { status: 'retryable_error', error: reasonOf(error) }]
  }
}

function words (outcome: Outcome, { failed_operation: failed, error }: RetryReport): string {
  switch (outcome) {
    case 'applied': return 'applied'
    case 'rejected': return `rejected again, and kept: ${failed?.error_code}: ${failed?.message}`
    default: return `failed, not by its data: ${error}. Run this again when that is over`
  }
}

/** MongoDB's messages quote documents: its errors are known by their names. */
function reasonOf (error: unknown): string {
  const { name, message } = error as Error
  return name.startsWith('Mongo') ? `MongoDB (${nameOf(error)})` : `${name}: ${message}`
}

/** Does something to each letter, which gives null when there is no such letter; whether all went well. */
async function each (letters: DeadLetters, ids: string[], { all, user }: Options, io: CommandIO, work: (id: string) => Promise<boolean | null>): Promise<boolean> {
  let well = true
  for (const id of all ? await allIds(letters, user) : ids) {
    try {
      const result = await work(id)
      if (result === null) io.stderr.write(printable(`${id}: there is no such dead letter: "npx powersync-mongo dead-letters list" shows which there are`))
      well = well && result === true
    } catch (error) {
      if (!(error instanceof ParameterError)) throw error
      io.stderr.write(printable(`${id}: ${error.message}`))
      well = false
    }
  }
  return well
}

/** The oldest first: the order in which they were uploaded. */
async function allIds (letters: DeadLetters, user: string | undefined): Promise<string[]> {
  const ids: string[] = []
  for (let after: DeadLetterSummary | undefined; ;) {
    const page = await letters.summaries({ limit: 1000, after, user })
    ids.push(...page.map(({ _id }) => _id))
    after = page.at(-1)
    if (!after) return ids.reverse()
  }
}

function describe (letter: DeadLetterSummary): string {
  const { failed_operation: failed, operation_count: count } = letter
  const retried = letter.retried_at && `, rejected again ${letter.attempts} times, last ${letter.retried_at.toISOString()}`
  return printable(`${letter._id}  ${letter.created_at.toISOString()}  ${failed.error_code}: ${failed.message}`) +
    printable(`  ${count} ${count === 1 ? 'operation' : 'operations'} on ${letter.tables.join(', ')} by user ${letter.user_id}, client ${letter.client_id ?? 'unknown'}, ` +
      `transaction ${letter.transaction_id ?? 'unknown'}, request ${letter.request_id ?? 'unknown'}${retried ?? ''}`)
}

function describeOperation ({ failed_operation: failed }: DeadLetter, { index, op, table, id, op_id: opId, data, previous, metadata }: DeadLetter['operations'][number]): string {
  const mark = index === failed.operation_index ? '>' : ' '
  const uploaded = Object.entries({ data, previous, metadata }).filter(([, value]) => value !== null)
  return printable(` ${mark} ${index} ${op} ${table} ${id}${opId === null ? '' : ` (op_id ${opId})`}`) +
    uploaded.map(([name, value]) => printable(`     ${name.padEnd(8)} ${value}`)).join('')
}

/** One line of text. What clients sent may hold characters that control a terminal. */
const printable = (text: string) => `${text.replace(/\p{Cc}/gu, escaped)}\n`

/** One line of JSON, which leaves some of those as they are. */
const line = (value: unknown) => printable(JSON.stringify(value))

const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
