import Fastify from 'fastify'
import type { mongodb } from '../bson.js'
import { CollectionRegistry } from '../rules/registry.js'
import { ParameterError } from '../errors.js'
import { noSpans } from '../observe/spans.js'
import { DeadLetters, type DeadLetterSummary } from '../store/dead-letters.js'
import { Statements } from '../store/statements.js'
import { createCommit } from '../uploads/commit.js'
import { createReplay } from '../uploads/replay.js'
import { command, type CommandGroup, type CommandIO } from './command.js'
import { configOptions, loadApp, type App } from './config.js'
import { describe, describeChain, describeOperation } from './dead-letter-text.js'
import { environmentOptions } from './environment.js'
import { UsageError } from './errors.js'
import { mongoOptions, mongoUri, reasonOf, withMongo } from './mongo.js'
import { progressOf, type Progress } from './progress.js'
import { clean, jsonLine, screenOf, type Screen } from './screen.js'

const takes = '<id>…|--all'

const chosenOptions = {
  all: { type: 'boolean', help: 'all of them, the oldest first; with --user only that user\'s' },
  user: { type: 'string', value: '<id>', help: 'id of a user' }
} as const

const shared = { ...mongoOptions, ...environmentOptions } as const

/** What a retry or the deletion of a letter is told as. */
const outcomeOption = { json: { type: 'boolean', help: 'print one { id, status, … } per line' } } as const

const list = command({
  summary: 'list the latest, without what was uploaded',
  about: 'Lists the latest transactions that were rejected for good: when, why, of whom, and on which tables. Prints nothing of what was uploaded.',
  options: {
    user: { type: 'string', value: '<id>', help: 'only those of the user with this id' },
    limit: { type: 'string', value: '<n>', default: '100', help: 'how many' },
    ...shared,
    json: { type: 'boolean', help: 'print one letter per line' }
  },
  example: 'dead-letters list --limit 20',

  async run ({ user, limit: given, uri, json }, io) {
    const limit = Number(given)
    if (!Number.isInteger(limit) || limit < 1) throw new UsageError(`--limit ${given} is not a whole number from 1`)
    const screen = screenOf(io.stdout, io.env)
    return await withMongo(mongoUri(uri, io), 'readWrite', async client => {
      const found = await new DeadLetters(client.db()).summaries({ limit, user })
      for (const letter of found) io.stdout.write(json ? jsonLine(letter) : describe(letter, screen))
      if (found.length === limit) io.stderr.write(`These are the latest ${limit}: --limit shows more.\n`)
      if (found.length === 0) io.stderr.write('There are no dead letters.\n')
      return 0
    })
  }
})

const show = command({
  summary: 'print some with what was uploaded, values included',
  about: 'Prints rejected transactions with what was uploaded, values included, and marks the operation that failed; then what the client changed on their rows since, ' +
    'which a retry goes under, and the older letters that have to be run before. An id may be shortened to its beginning.',
  takes,
  options: { ...chosenOptions, ...shared, json: { type: 'boolean', help: 'print one letter per line' } },
  example: 'dead-letters show 3f2a',

  async run ({ json, ...options }, io, ids) {
    const screen = screenOf(io.stdout, io.env)
    return await each(ids, options, io, client => new DeadLetters(client.db()), 'showing', async (letters, id) => {
      const letter = await letters.get(id)
      if (!letter) return null
      const waitsFor = await letters.waitsFor(letter)
      return {
        well: true,
        text: json
          ? jsonLine({ ...letter, waits_for: waitsFor })
          : [
              describe(letter, screen),
              ...letter.operations.map(operation => describeOperation(letter, operation, screen)),
              describeChain(letter, waitsFor, screen)
            ].join('')
      }
    })
  }
})

const retry = command({
  summary: 'run some through your schemas and hooks again',
  about: 'Runs rejected transactions through your schemas and hooks again, as their users, under what their clients changed since. Applied, a letter is deleted; rejected again, it stays. ' +
    'Of letters that share a row the oldest is run first. ' +
    'Your hooks for all collections are exported by the same file under their names, as authorize. An id may be shortened to its beginning.',
  takes,
  options: { ...chosenOptions, ...configOptions, ...shared, ...outcomeOption },
  example: 'dead-letters retry --all',

  async run ({ config, json, ...options }, io, ids) {
    const count = { applied: 0, rejected: 0, waiting: 0, failed: 0 }
    const screen = screenOf(io.stdout, io.env)
    const code = await each(ids, options, io, async (client, progress) => lettersOf(client, await loadApp(config, io.cwd()), io, progress), 'retrying', async (letters, id) => {
      const [outcome, report] = await retryOne(letters, id)
      if (!outcome) return null
      count[outcome]++
      return { well: outcome === 'applied', text: json ? jsonLine({ id, ...report }) : outcomeLine(screen, id, outcome, report) }
    })
    io.stderr.write(`${Object.entries(count).map(([outcome, letters]) => `${letters} ${outcome}`).join(', ')}\n`)
    return code
  }
})

const discard = command({
  summary: 'delete some, and with them what was uploaded',
  about: 'Deletes rejected transactions, and with them what was uploaded. An id may be shortened to its beginning.',
  takes,
  options: { ...chosenOptions, ...shared, ...outcomeOption },
  example: 'dead-letters discard 3f2a',

  run: async ({ json, ...options }, io, ids) => await each(ids, options, io, client => new DeadLetters(client.db()), 'discarding', async (letters, id) =>
    await letters.discard(id) ? { well: true, text: json ? jsonLine({ id, status: 'discarded' }) : `${clean(id)}: discarded\n` } : null
  )
})

/** `powersync-mongo dead-letters`: 0 when all was done, 1 when something is left, or MongoDB refused. */
export const deadLetterCommands: CommandGroup = {
  summary: 'read, retry or discard rejected transactions',
  commands: { list, show, retry, discard }
}

function lettersOf (client: mongodb.MongoClient, app: App, io: CommandIO, progress: Progress): DeadLetters {
  const db = client.db()
  const collections = new CollectionRegistry(app.collections, app.hooks)
  const write = (line: string) => {
    progress.clear()
    io.stderr.write(line)
  }
  const { log } = Fastify({ logger: { level: 'warn', stream: { write } } })
  const shared = { client, db, collections, statements: new Statements(db, { bulkWrite: false }), faults: {}, spans: noSpans, deadline: 20_000 }
  return new DeadLetters(db, {}, createReplay({ ...shared, commit: createCommit(shared), log }))
}

interface RetryReport {
  status: string
  failed_operation?: { error_code: string, message: string }
  waits_for?: string[]
  error?: string
}

type Outcome = 'applied' | 'rejected' | 'waiting' | 'failed'

const outcomes = { success: 'applied', fatal_error: 'rejected', not_attempted: 'waiting' } as const

async function retryOne (letters: DeadLetters, id: string): Promise<[Outcome | undefined, RetryReport]> {
  try {
    const result = await letters.retry(id)
    return result ? [outcomes[result.status], result] : [undefined, { status: 'gone' }]
  } catch (error) {
    if (error instanceof ParameterError) throw error
    return ['failed', { status: 'retryable_error', error: reasonOf(error) }]
  }
}

function outcomeLine ({ paint, wrap }: Screen, id: string, outcome: Outcome, { failed_operation: failed, waits_for: older = [], error }: RetryReport): string {
  const text = {
    applied: () => paint('green', 'applied'),
    rejected: () => `${paint('red', 'rejected again')}, and kept: ${clean(`${failed?.error_code}: ${failed?.message}`)}`,
    waiting: () => `${paint('yellow', 'waits')} for older letters of its client on the same rows: retry or discard ${clean(older.join(', '))} first`,
    failed: () => `${paint('yellow', 'failed')}, not by its data: ${clean(String(error))}. Run this again when that is over`
  }
  return `${wrap(`${clean(id)}: ${text[outcome]()}`, 2)}\n`
}

interface Chosen {
  all: boolean
  user: string | undefined
  uri: string | undefined
}

/** What became of a letter: whether that is well, and what to print. Null: there is no such letter. */
type Work = (letters: DeadLetters, id: string) => Promise<Done | null>

interface Done { well: boolean, text: string }

/** Does something to each letter that was chosen; 0 when all went well. */
async function each (ids: string[], { all, user, uri }: Chosen, io: CommandIO, open: (client: mongodb.MongoClient, progress: Progress) => DeadLetters | Promise<DeadLetters>, doing: string, work: Work): Promise<number> {
  if ((ids.length > 0) === all) throw new UsageError('takes either ids, as "dead-letters list" prints them, or --all')
  if (user !== undefined && !all) throw new UsageError('--user goes with --all: an id is of one user anyway')
  const { wrap } = screenOf(io.stderr, io.env)
  const progress = progressOf(io, doing)
  return await withMongo(mongoUri(uri, io), 'readWrite', async client => {
    const letters = await open(client, progress)
    const chosen = all ? await allIds(letters, user) : ids
    let well = true
    progress.start(chosen.length)
    for (const id of chosen) {
      const done = await attempt(letters, id, work)
      if ('problem' in done) progress.step(() => io.stderr.write(`${wrap(clean(`${id}: ${done.problem}`), 2)}\n`))
      else progress.step(() => io.stdout.write(done.text))
      well &&= 'well' in done && done.well
    }
    return well ? 0 : 1
  })
}

async function attempt (letters: DeadLetters, id: string, work: Work): Promise<Done | { problem: string }> {
  try {
    return await work(letters, id) ?? { problem: 'there is no such dead letter: "npx powersync-mongo dead-letters list" shows which there are' }
  } catch (error) {
    if (!(error instanceof ParameterError)) throw error
    return { problem: error.message }
  }
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
