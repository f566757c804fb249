/** Runs rows of the matrix, and says which came out wrong. */
import { deadline, switchOff, switchOn, type Fault } from './fault.js'
import { Observer } from './observer.js'
import { nameOfRow, rowsOf, uploadCommands, type CommandSet, type Profile, type Row } from './rows.js'
import { run, type Outcome } from './run.js'
import { connect, startServer, type Server, type ServerOptions } from './server.js'
import { shapes } from './shapes.js'

/** A row that was run. */
export interface Ran extends Outcome { row: Row }

const sets: CommandSet[] = ['bulkWrite', 'update, delete']

/** What a server says that does not know the command, or not yet: the plugin then takes the older ones for good. */
const unknownCommand = [59, 115]

export class Matrix {
  readonly #uri: string
  readonly #options: ServerOptions
  readonly #observer: Observer
  readonly #servers = new Map<CommandSet, Server>()
  readonly #closers: Array<() => Promise<unknown>>
  #users = 0

  private constructor (
    uri: string,
    options: ServerOptions,
    observer: Observer,
    closers: Array<() => Promise<unknown>>
  ) {
    this.#uri = uri
    this.#options = options
    this.#observer = observer
    this.#closers = closers
  }

  /** @param uri of a MongoDB of its own, since fail points are the server's */
  static async create (uri: string, options: ServerOptions = {}): Promise<Matrix> {
    const client = connect(uri, 'observer')
    const second = await startServer(uri, { name: 'observer' })
    const observer = new Observer(client, second.app)
    await observer.prepare()
    return new Matrix(uri, options, observer, [() => second.close(), () => client.close()])
  }

  async close (): Promise<void> {
    for (const server of this.#servers.values()) await server.close()
    for (const close of this.#closers) await close()
  }

  /** All rows, in the seed's order. */
  async rows (seed: number): Promise<Row[]> {
    const profiles: Profile[] = []
    for (const set of sets) {
      const server = await this.#server(set)
      for (const shape of shapes) {
        const { sent } = await run(server, this.#observer, shape, { user: this.#user() })
        profiles.push({ shape, set, sent })
      }
    }
    const names = new Set(
      profiles.flatMap(({ set, sent }) => sent.map(({ name }) => (set === 'bulkWrite' ? name : `older ${name}`)))
    )
    if (names.has('older bulkWrite')) throw new Error('The older command set has bulkWrite: it was not switched off')
    for (const command of uploadCommands) {
      if (!names.has(command) && !names.has(`older ${command}`)) throw new Error(`No upload sends ${command}`)
    }
    return rowsOf(profiles, seed)
  }

  async run (row: Row): Promise<Ran> {
    const { shape, set, fault, atStart } = row
    if (atStart) return { row, ...await this.#runAtStart(row) }
    const outcome = await run(await this.#server(set), this.#observer, shape, { user: this.#user(), fault })
    if (fault.commands.includes('bulkWrite') && 'code' in fault.cause && unknownCommand.includes(fault.cause.code)) {
      await this.#stop(set)
    }
    return { row, ...outcome }
  }

  /** The start may fail, and then says why; once the fault is gone, it succeeds, and so does an upload. */
  async #runAtStart ({ shape, fault }: Row): Promise<Outcome> {
    await switchOn(this.#observer.client, fault)
    let server = await startServer(this.#uri, { ...this.#options, patience: deadline }).catch(
      (error: unknown) => error as Error & { code?: unknown }
    )
    await switchOff(this.#observer.client, fault)
    const failure = server instanceof Error ? server : undefined
    if (server instanceof Error) server = await startServer(this.#uri, this.#options)
    try {
      const outcome = await run(server, this.#observer, shape, { user: this.#user() })
      if (failure && failure.code !== 'FST_PSM_MONGO') {
        outcome.violations.push({
          kind: 'status',
          detail: `the start failed with ${failure.name} ${String(failure.code)}`
        })
      }
      return { ...outcome, hits: [{ name: fault.commands[0]!, place: 'start', writes: [] }] }
    } finally {
      await server.close()
    }
  }

  async #server (set: CommandSet): Promise<Server> {
    const existing = this.#servers.get(set)
    if (existing) return existing
    const server = await startServer(this.#uri, this.#options)
    this.#servers.set(set, server)
    if (set === 'update, delete') await this.#makeOlder(server)
    return server
  }

  /** As among members of different versions: bulkWrite is refused, and the server does without from then on. */
  async #makeOlder (server: Server): Promise<void> {
    const fault: Fault = {
      commands: ['bulkWrite'],
      cause: { kind: 'error', code: unknownCommand[0]!, label: 'none' },
      mode: 'once',
      skip: 0
    }
    const shape = shapes.find(({ name }) => name === 'two collections')!
    await run(server, this.#observer, shape, { user: this.#user(), fault })
  }

  async #stop (set: CommandSet): Promise<void> {
    await this.#servers.get(set)?.close()
    this.#servers.delete(set)
  }

  #user = () => `u${process.pid}n${this.#users++}`
}

/** A line for each violation. */
export function tableOf (ran: readonly Ran[]): string[] {
  return ran.flatMap(({ row, hits, violations }) => violations.map(({ kind, detail }) => {
    const places = [...new Set(hits.map(({ place }) => place))].join(' ')
    return `${nameOfRow(row)} | ${places} | ${kind}: ${detail}`.slice(0, 300)
  })).sort()
}

/** For a test's options: why the matrix cannot run, or false. */
export async function failPointsMissing (uri: string): Promise<string | false> {
  const client = connect(uri, 'observer')
  try {
    await client.db('admin').command({ configureFailPoint: 'failCommand', mode: 'off' })
    return false
  } catch {
    return 'needs a server with fail points (enableTestCommands)'
  } finally {
    await client.close()
  }
}
