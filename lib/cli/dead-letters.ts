import { InvalidArgumentError, type Command } from 'commander'
import type { mongodb } from '../bson.js'
import { ParameterError } from '../errors.js'
import { noSpans } from '../observe/spans.js'
import type { DeadLetter, DeadLetterSummary, RetryResult } from '../../types/dead-letters.js'
import { DeadLetters } from '../store/dead-letters.js'
import { Statements } from '../store/statements.js'
import { createRerun } from '../uploads/rerun.js'
import { configOption, envOption, loadApp, reasonOf, uriOption, withMongo } from './config.js'
import {
  clean, jsonLine, linesOf, progressOf, questionsOf, screenOf, usageError, type CommandIO, type Screen
} from './terminal.js'

interface Options { all?: true, user?: string, limit: number, uri?: string, json?: true, config?: string, yes?: true }

export function addDeadLetters (program: Command, io: CommandIO): void {
  const screen = screenOf(io.stdout, io.env)
  const group = program.command('dead-letters').description('list, show, retry or discard rejected transactions')
  const subcommand = (name: string, description: string, example: string) => group.command(name)
    .description(description)
    .addOption(uriOption).addOption(envOption)
    .option('--json', 'print one object per line')
    .addHelpText('after', `\nExample:\n  npx powersync-mongo dead-letters ${name} ${example}`)
  const forChosen = (...texts: Parameters<typeof subcommand>) => subcommand(...texts)
    .argument('[ids...]', 'ids as "list" prints them, or their beginnings')
    .option('--all', 'all letters, the oldest first')
    .option('--user <id>', 'with --all: only letters of this user')

  subcommand('list', 'list the latest letters: time, reason, user and tables, without uploaded values', '--limit 20')
    .option('--user <id>', 'only letters of this user')
    .option('--limit <n>', 'number of letters', wholeNumber, 100)
    .action(({ user, limit, uri, json }: Options) => withMongo(uri, 'readWrite', io, async client => {
      const found = await new DeadLetters(client.db()).summaries({ limit, user })
      for (const letter of found) io.stdout.write(json ? jsonLine(letter) : describe(letter, screen))
      if (found.length === limit) io.stderr.write(`These are the latest ${limit}: --limit shows more.\n`)
      if (found.length === 0) io.stderr.write('There are no dead letters.\n')
    }))

  forChosen('show', 'print letters with uploaded values, later changes of their rows, and letters to run first', '3f2a')
    .action((ids: string[], options: Options) => each(io, ids, options, {
      async work (letters, id) {
        const letter = await letters.get(id) ?? unknown()
        const waitsFor = await letters.waitsFor(letter)
        if (options.json) return jsonLine({ ...letter, waits_for: waitsFor })
        return describe(letter, screen) + describeContent(letter, waitsFor, screen)
      }
    }))

  forChosen('retry', 'run letters through your schemas and hooks again, as their users, under later changes', '--all')
    .addOption(configOption)
    .action(async (ids: string[], options: Options) => {
      const count = Object.fromEntries(Object.values(outcomes).map(({ name }) => [name, 0]))
      await each(io, ids, options, {
        open: (db, warn) => lettersToRun(options.config, io, db, warn),
        async work (letters, id) {
          const outcome: Outcome = await letters.retry(id).catch((error: unknown) => {
            if (error instanceof ParameterError) throw error
            return { status: 'retryable_error', error: reasonOf(error) } as const
          }) ?? unknown()
          count[outcomes[outcome.status].name]!++
          if (outcome.status !== 'success') io.exitCode = 1
          return options.json ? jsonLine({ id, ...outcome }) : describeOutcome(id, outcome, screen)
        }
      })
      io.stderr.write(`${Object.entries(count).map(([name, letters]) => `${letters} ${name}`).join(', ')}\n`)
    })

  forChosen('discard', 'delete letters with everything that was uploaded; --all asks first', '3f2a')
    .option('--yes', 'do not ask')
    .action((ids: string[], options: Options) => {
      const asks = options.all && !options.yes
      if (asks && !io.stdin.isTTY) throw usageError('discard --all has no terminal to ask on', 'pass --yes as well')
      return each(io, ids, options, {
        asks,
        async work (letters, id) {
          if (!await letters.discard(id)) unknown()
          return options.json ? jsonLine({ id, status: 'discarded' }) : `${clean(id)}: discarded\n`
        }
      })
    })
}

function wholeNumber (text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Expected a whole number from 1.')
}

const idsFix = '"npx powersync-mongo dead-letters list" prints the ids'

function unknown (): never {
  throw new ParameterError(`there is no such dead letter: ${idsFix}`)
}

async function agreed (io: CommandIO, count: number): Promise<boolean> {
  const { ask, close } = questionsOf(io)
  const letters = count === 1 ? 'dead letter' : 'dead letters'
  const answer = await ask(`Delete ${count} ${letters} with everything that was uploaded? [y/N] `).finally(close)
  return /^y(es)?$/i.test(answer)
}

type Warn = (line: string) => void

async function lettersToRun (config: string | undefined, io: CommandIO, db: mongodb.Db, write: Warn) {
  const { registry: collections } = await loadApp(config, io.cwd())
  // A peer dependency: "npx fastify-powersync-mongo init" runs without it.
  const { default: Fastify } = await import('fastify')
  const { log } = Fastify({ logger: { level: 'warn', stream: { write } } })
  const statements = new Statements(db, { bulkWrite: false })
  const shared = { db, collections, statements, faults: {}, spans: noSpans, deadline: 20_000 }
  return new DeadLetters(db, {}, createRerun({ ...shared, log }))
}

interface Job {
  /** Default: letters that can be read and deleted. */
  open? (db: mongodb.Db, warn: Warn): Promise<DeadLetters>
  asks?: boolean | undefined
  /** Gives the text to print. @throws {ParameterError} for an id of no letter, or of several */
  work (letters: DeadLetters, id: string): Promise<string>
}

/** Does a job for each chosen letter. Sets the exit code to 1 for an unknown id, and if the user refuses. */
async function each (io: CommandIO, ids: string[], { all, user, uri }: Options, job: Job): Promise<void> {
  if ((ids.length > 0) === Boolean(all)) throw usageError('expected ids or --all', idsFix)
  if (user !== undefined && !all) throw usageError('--user goes with --all', 'leave it out: an id belongs to one user')
  const progress = progressOf(io, 'dead letters')
  const { wrap } = screenOf(io.stderr, io.env)
  const warn = (line: string) => {
    progress.clear()
    io.stderr.write(line)
  }
  await withMongo(uri, 'readWrite', io, async client => {
    const letters = await job.open?.(client.db(), warn) ?? new DeadLetters(client.db())
    const chosen = all ? await allIds(letters, user) : ids
    if (job.asks && chosen.length > 0 && !await agreed(io, chosen.length)) {
      io.exitCode = 1
      return
    }
    progress.start(chosen.length)
    for (const id of chosen) {
      try {
        const text = await job.work(letters, id)
        progress.step(() => io.stdout.write(text))
      } catch (error) {
        if (!(error instanceof ParameterError)) throw error
        io.exitCode = 1
        progress.step(() => io.stderr.write(`${wrap(clean(`${id}: ${error.message}`), 2)}\n`))
      }
    }
  })
}

/** The oldest first: in the order of the uploads. */
async function allIds (letters: DeadLetters, user: string | undefined): Promise<string[]> {
  const ids: string[] = []
  let last: DeadLetterSummary | undefined
  do {
    const page = await letters.summaries({ limit: 1000, after: last, user })
    ids.push(...page.map(({ _id }) => _id))
    last = page.at(-1)
  } while (last)
  return ids.reverse()
}

function describe (letter: DeadLetterSummary, { paint, wrap }: Screen): string {
  const { failed_operation: failed, operation_count: count, attempts, retried_at: last } = letter
  const origin = [
    `${count} ${count === 1 ? 'operation' : 'operations'} on ${letter.tables.join(', ')} by user ${letter.user_id}`,
    `client ${letter.client_id ?? 'unknown'}`,
    `transaction ${letter.transaction_id ?? 'unknown'}`,
    `request ${letter.request_id ?? 'unknown'}`,
    ...last ? [`rejected again ${attempts === 1 ? 'once' : `${attempts} times`}`, `last ${last.toISOString()}`] : []
  ]
  const reason = `${paint('red', clean(failed.error_code))}: ${clean(failed.message)}`
  return linesOf([
    wrap(`${paint('bold', clean(letter._id))}  ${letter.created_at.toISOString()}  ${reason}`, 2),
    wrap(clean(`  ${origin.join(', ')}`), 2)
  ])
}

function describeContent (
  { operations, failed_operation: failed, since }: DeadLetter, waitsFor: readonly string[], { paint, wrap }: Screen
): string {
  const detail = (name: string, text: string) => `     ${name.padEnd(8)} ${wrap(clean(text), 14)}`
  return linesOf([
    ...operations.flatMap(({ index, op, table, id, op_id: opId, data, previous, metadata }) => {
      const mark = index === failed.operation_index ? paint('red', '>') : ' '
      const uploaded = Object.entries({ data, previous, metadata }).filter(([, value]) => value !== null)
      return [
        wrap(` ${mark} ${clean(`${index} ${op} ${table} ${id}${opId === null ? '' : ` (op_id ${opId})`}`)}`, 5),
        ...uploaded.map(([name, value]) => detail(name, value!))
      ]
    }),
    ...since.map(({ row, replaced, set, unset, sums }) => {
      const [collection, id = ''] = row.split('\0')
      const changes = [{ ...set, ...Object.fromEntries(unset.map(field => [field, null])) }, sums].map(each =>
        JSON.stringify(each))
      const text = replaced ? 'replaced or deleted: retry leaves it alone' : changes.join(' plus ')
      return detail('since', `${collection} ${id.slice(1)} ${text}`)
    }),
    ...waitsFor.length ? [detail('waits', `for ${waitsFor.join(', ')}`)] : []
  ])
}

const outcomes = {
  success: { name: 'applied', style: 'green' },
  fatal_error: { name: 'rejected', style: 'red' },
  not_attempted: { name: 'waiting', style: 'yellow' },
  retryable_error: { name: 'failed', style: 'yellow' }
} as const

type Outcome = RetryResult | { status: 'retryable_error', error: string }

function describeOutcome (id: string, outcome: Outcome, { paint, wrap }: Screen): string {
  const { name, style } = outcomes[outcome.status]
  return linesOf([wrap(`${clean(id)}: ${paint(style, name)}${clean(detailsOf(outcome))}`, 2)])
}

function detailsOf (outcome: Outcome): string {
  if (outcome.status === 'success') return ''
  if (outcome.status === 'not_attempted') {
    return ` for older letters of its client on the same rows: retry or discard ${outcome.waits_for.join(', ')} first`
  }
  if (outcome.status === 'retryable_error') return `, not because of its data: ${outcome.error}. Run this again later`
  return ` again and kept: ${outcome.failed_operation.error_code}: ${outcome.failed_operation.message}`
}
