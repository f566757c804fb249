/** The MongoDB that a test file runs on. */
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { developmentMongoDB, type DevelopmentMongoDB, type DevelopmentMongoDBOptions } from '../../examples/mongodb.js'
import { startSecantusDB, type SecantusDB } from './secantusdb.js'

type Server = DevelopmentMongoDB | SecantusDB
type ServerOptions = Required<Pick<DevelopmentMongoDBOptions, 'database' | 'port' | 'download'>>

/** The first of these that there is, or the one that TEST_DATABASE names. */
const servers: Record<string, (options: ServerOptions) => Promise<Server>> = {
  mongodb: options =>
    developmentMongoDB({ ...options, args: ['--setParameter', 'enableTestCommands=1'], emulator: false }),
  secantusdb: startSecantusDB,
  emulator: (options) => developmentMongoDB({ ...options, download: false })
}

/**
 * Starts a server for tests.
 *
 * @throws when there is none, with the reasons.
 */
export async function startServer (options: ServerOptions): Promise<Server> {
  const { TEST_DATABASE: wanted } = process.env
  const errors: unknown[] = []
  for (const [name, start] of Object.entries(servers)) {
    if (wanted && wanted !== name) continue
    try {
      return await start(options)
    } catch (error) {
      errors.push(error)
    }
  }
  throw new Error(
    errors.map(String).join('\n') || `TEST_DATABASE is ${wanted}: expected one of ${Object.keys(servers).join(', ')}`
  )
}

export interface TestDatabaseOptions {
  /** A server that no other test uses, for a test that stops it; of no effect with MONGO_URI. Default: false. */
  ownServer?: boolean
}

export interface TestDatabase {
  /** Connection string, with the database in its path. */
  uri: string
  kind: Server['kind']
  /** Name of the database: random, so that tests do not meet on one server. */
  database: string
  /** Stops the server, as in an outage. Its data goes. For a server of its own only: see `needs`. */
  stop: () => Promise<void>
  /** Starts it again, empty, at the same `uri`. */
  restart: () => Promise<void>
}

/** What all tests of this file share while one of them needs it. */
let shared: { server: Promise<Server>, users: number } | undefined

/**
 * A database of its own for one test file or one test, gone when `t` ends. One server per file holds them.
 * It never downloads mongod: `npm test` does that once, before the first test.
 */
export async function testDatabase (
  t: Pick<Test, 'teardown'>,
  { ownServer = false }: TestDatabaseOptions = {}
): Promise<TestDatabase> {
  const database = `test_${randomBytes(6).toString('hex')}`
  if (ownServer) return await databaseOfItsOwn(t, database)

  shared ??= { server: startServer({ database, port: 0, download: false }), users: 0 }
  const used = shared
  used.users++
  const server = await used.server
  const uri = withDatabase(server.uri, database)
  t.teardown(async () => {
    if (server.kind === 'MONGO_URI') await dropDatabase(uri)
    if (--used.users > 0) return
    shared = undefined
    await server.stop()
  })
  const stop = () => { throw new Error('Other tests use this server: ask for one with ownServer') }
  return { uri, kind: server.kind, database, stop, restart: stop }
}

async function databaseOfItsOwn (t: Pick<Test, 'teardown'>, database: string): Promise<TestDatabase> {
  let server = await startServer({ database, port: 0, download: false })
  const { uri, kind } = server
  t.teardown(() => server.stop())
  return {
    uri,
    kind,
    database,
    stop: () => server.stop(),
    restart: async () => { server = await startServer({ database, port: Number(new URL(uri).port), download: false }) }
  }
}

/** What a test may ask for, and the servers that have it. */
const kinds = {
  /** More than the emulator does: `$jsonSchema`, `listCollections`, change streams, … */
  mongod: ['mongod', 'SecantusDB', 'MONGO_URI'],
  /** A server that the test may stop and start again. */
  ownServer: ['mongod', 'SecantusDB', 'emulator'],
  /** A server that fails on demand: see fail-point.ts. */
  failPoints: ['mongod', 'SecantusDB']
} satisfies Record<string, Array<Server['kind']>>

/**
 * For a test's options, `{ skip: needs(mongo, 'mongod', 'change streams') }`: false where the test can run, else the
 * reason why it is skipped.
 */
export function needs ({ kind }: Pick<TestDatabase, 'kind'>, what: keyof typeof kinds, why: string): string | false {
  const having: string[] = kinds[what]
  return having.includes(kind) ? false : `needs ${having.join(' or ')} for ${why}, runs on ${kind}`
}

/** Puts another database into a connection string; who could log in with the old one still can. */
export function withDatabase (uri: string, database: string): string {
  const [, servers = uri, path = '', query = ''] = /^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?([^?]*)\??(.*)$/.exec(uri) ?? []
  const parameters = query.split('&').filter(Boolean)
  if (path && servers.includes('@') && !/(?:^|&)authSource=/i.test(query)) parameters.push(`authSource=${path}`)
  return `${servers}/${database}${parameters.length ? '?' : ''}${parameters.join('&')}`
}

async function dropDatabase (uri: string): Promise<void> {
  const client = new fastifyMongodb.mongodb.MongoClient(uri)
  try {
    await client.db().dropDatabase()
  } finally {
    await client.close()
  }
}
