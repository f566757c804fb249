import type { Command } from 'commander'
import type { mongodb } from '../bson.js'
import { CollectionRegistry } from '../rules/registry.js'
import { ParameterError } from '../errors.js'
import { noSpans } from '../observe/spans.js'
import { DeadLetters, type DeadLetterSummary } from '../store/dead-letters.js'
import { Statements } from '../store/statements.js'
import { createCommit } from '../uploads/commit.js'
import { createReplay } from '../uploads/replay.js'
import { configOption, loadApp } from './config.js'
import { describe, describeChain, describeOperation, describeOutcome, outcomes, type Outcome } from './dead-letter-text.js'
import { envOption } from './environment.js'
import { usageError, type CommandIO } from './io.js'
import { mongoUri, reasonOf, uriOption, withMongo } from './mongo.js'
import { progressOf, type Progress } from './progress.js'
import { agreed } from './questions.js'
import { clean, jsonLine, screenOf } from './screen.js'

interface ListOptions { user?: string, limit: string, uri?: string, json?: true }

interface Options { all?: boolean, user?: string, uri?: string, json?: true }

/** `powersync-mongo dead-letters`: 0 when all was done, 1 when something is left, or MongoDB refused. */
export function addDeadLetters (program: Command, io: CommandIO): void {
  const screen = screenOf(io.stdout, io.env)
  const group = program.command('dead-letters').description('read, retry or discard rejected transactions')
  const subcommand = (name: string, description: string, example: string) => group.command(name).description(description)
    .addOption(uriOption)
    .addOption(envOption)
    .option('--json', 'print one object per line')
    .addHelpText('after', `\nExample:\n  npx powersync-mongo dead-letters ${name} ${example}`)
  const ofSome = (...texts: Parameters<typeof subcommand>) => subcommand(...texts)
    .argument('[ids...]', 'as "list" prints them, or only their beginnings')
    .option('--all', 'all of them, the oldest first; with --user only that user\'s')
    .option('--user <id>', 'id of a user')

  subcommand('list', 'list the latest: when, why, of which user and on which tables, without what was uploaded', '--limit 20')
    .option('--user <id>', 'only those of the user with this id')
    .option('--limit <n>', 'how many', '100')
    .action(async ({ user, limit: given, uri, json }: ListOptions) => {
      const limit = Number(given)
      if (!Number.isInteger(limit) || limit < 1) throw usageError(`--limit ${given} is not a whole number from 1`)
      await withMongo(mongoUri(uri, io), 'readWrite', async client => {
        const found = await new DeadLetters(client.db()).summaries({ limit, user })
        for (const letter of found) io.stdout.write(json ? jsonLine(letter) : describe(letter, screen))
        if (found.length === limit) io.stderr.write(`These are the latest ${limit}: --limit shows more.\n`)
        if (found.length === 0) io.stderr.write('There are no dead letters.\n')
      })
    })

  ofSome('show', 'print some with what was uploaded, values included, what changed on their rows since, and the older letters that go first', '3f2a')
    .action((ids: string[], options: Options) => each(ids, options, io, {
      doing: 'showing',
      async work (letters, id) {
        const letter = await letters.get(id)
        if (!letter) return null
        const waitsFor = await letters.waitsFor(letter)
        if (options.json) return { well: true, text: jsonLine({ ...letter, waits_for: waitsFor }) }
        const operations = letter.operations.map(operation => describeOperation(letter, operation, screen))
        return { well: true, text: [describe(letter, screen), ...operations, describeChain(letter, waitsFor, screen)].join('') }
      }
    }))

  ofSome('retry', 'run some through your schemas and hooks again, as their users, under what their clients changed since; the oldest first', '--all')
    .addOption(configOption)
    .action(async (ids: string[], { config, ...options }: Options & { config?: string }) => {
      const count = Object.fromEntries(Object.values(outcomes).map(({ name }) => [name, 0]))
      await each(ids, options, io, {
        doing: 'retrying',
        open: (client, progress) => lettersToRun(client, config, io, progress),
        async work (letters, id) {
          const outcome: Outcome | null = await letters.retry(id).catch((error: unknown) => {
            if (error instanceof ParameterError) throw error
            return { status: 'retryable_error', error: reasonOf(error) }
          })
          if (!outcome) return null
          count[outcomes[outcome.status].name]!++
          return { well: outcome.status === 'success', text: options.json ? jsonLine({ id, ...outcome }) : describeOutcome(id, outcome, screen) }
        }
      })
      io.stderr.write(`${Object.entries(count).map(([name, letters]) => `${letters} ${name}`).join(', ')}\n`)
    })

  ofSome('discard', 'delete some, and with them what was uploaded; with --all it asks before', '3f2a')
    .option('--yes', 'do not ask')
    .action((ids: string[], { yes, ...options }: Options & { yes?: true }) => {
      const asks = options.all && !yes
      if (asks && !io.stdin.isTTY) throw usageError('discard --all deletes what was uploaded, and there is no terminal to ask on', 'pass --yes as well')
      return each(ids, options, io, {
        doing: 'discarding',
        confirm: async count => !asks || await agreed(io, `Delete ${count} rejected ${count === 1 ? 'transaction' : 'transactions'}, and with them what was uploaded?`),
        work: async (letters, id) => await letters.discard(id) ? { well: true, text: options.json ? jsonLine({ id, status: 'discarded' }) : `${clean(id)}: discarded\n` } : null
      })
    })
}

async function lettersToRun (client: mongodb.MongoClient, config: string | undefined, io: CommandIO, progress: Progress): Promise<DeadLetters> {
  const app = await loadApp(config, io.cwd())
  const db = client.db()
  const collections = new CollectionRegistry(app.collections, app.hooks)
  const write = (line: string) => {
    progress.clear()
    io.stderr.write(line)
  }
  // A peer dependency: "npx fastify-powersync-mongo init" runs without it.
  const { default: Fastify } = await import('fastify')
  const { log } = Fastify({ logger: { level: 'warn', stream: { write } } })
  const shared = { db, collections, statements: new Statements(db, { bulkWrite: false }), faults: {}, spans: noSpans, deadline: 20_000 }
  return new DeadLetters(db, {}, createReplay({ ...shared, commit: createCommit(shared), log }))
}

interface Job {
  /** For the progress, as in `retrying`. */
  doing: string
  /** Whether to go on with so many. */
  confirm? (count: number): Promise<boolean>
  open? (client: mongodb.MongoClient, progress: Progress): Promise<DeadLetters>
  /** Null: there is no such letter. */
  work (letters: DeadLetters, id: string): Promise<{ well: boolean, text: string } | null>
}

/** Does something to each letter that was chosen; sets the exit code 1 unless all went well. */
async function each (ids: string[], { all = false, user, uri }: Options, io: CommandIO, { doing, confirm, open, work }: Job): Promise<void> {
  if ((ids.length > 0) === all) throw usageError('either ids or --all are expected', '"npx powersync-mongo dead-letters list" prints the ids')
  if (user !== undefined && !all) throw usageError('--user goes with --all', 'leave it out: an id is of one user anyway')
  const { wrap } = screenOf(io.stderr, io.env)
  const progress = progressOf(io, doing)
  await withMongo(mongoUri(uri, io), 'readWrite', async client => {
    const letters = await open?.(client, progress) ?? new DeadLetters(client.db())
    const chosen = all ? await allIds(letters, user) : ids
    let well: boolean = chosen.length === 0 || await confirm?.(chosen.length) !== false
    if (well) progress.start(chosen.length)
    for (const id of well ? chosen : []) {
      const done = await work(letters, id).catch((error: unknown) => {
        if (!(error instanceof ParameterError)) throw error
        return error.message
      }) ?? 'there is no such dead letter: "npx powersync-mongo dead-letters list" shows which there are'
      if (typeof done === 'string') progress.step(() => io.stderr.write(`${wrap(clean(`${id}: ${done}`), 2)}\n`))
      else progress.step(() => io.stdout.write(done.text))
      well &&= typeof done !== 'string' && done.well
    }
    if (!well) io.exitCode = 1
  })
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
