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
  mongodb: (options) => developmentMongoDB({ ...options, emulator: false }),
  secantusdb: startSecantusDB,
  emulator: developmentMongoDB
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
  throw new Error(errors.map(String).join('\n') || `TEST_DATABASE is ${wanted}: expected one of ${Object.keys(servers).join(', ')}`)
}

export interface TestDatabaseOptions {
  /** Port to listen on; of no effect with MONGO_URI. Default: any free one. */
  port?: number
}

export interface TestDatabase {
  /** Connection string, with the database in its path. */
  uri: string
  kind: Server['kind']
  /** Name of the database: random, so that test files do not meet on one server. */
  database: string
  /** Stops the server, as in an outage. Its data goes. Not with MONGO_URI: see `needs`. */
  stop: () => Promise<void>
  /** Starts it again, empty, at the same `uri`. */
  restart: () => Promise<void>
}

/**
 * A database of its own for one test file or one test, gone when `t` ends: a server of its own, or with MONGO_URI a
 * database on that server. It never downloads mongod: `npm test` does that once, before the first test.
 */
export async function testDatabase (t: Pick<Test, 'teardown'>, { port = 0 }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const database = `test_${randomBytes(6).toString('hex')}`
  let server = await startServer({ database, port, download: false })
  const uri = server.kind === 'MONGO_URI' ? withDatabase(server.uri, database) : server.uri
  t.teardown(() => server.kind === 'MONGO_URI' ? dropDatabase(uri) : server.stop())

  return {
    uri,
    kind: server.kind,
    database,
    stop: () => server.stop(),
    restart: async () => {
      server = await startServer({ database, port: portOf(uri), download: false })
    }
  }
}

/** What a test may ask for, and the servers that have it. */
const kinds = {
  /** More than the emulator does: `$jsonSchema`, `listCollections`, change streams, … */
  mongod: ['mongod', 'SecantusDB', 'MONGO_URI'],
  /** A server that the test may stop and start again. */
  ownServer: ['mongod', 'SecantusDB', 'emulator'],
  /** A server on the loopback interface that takes any connection, for a proxy before it. */
  emulator: ['emulator', 'SecantusDB']
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

function portOf (uri: string): number {
  return Number(/:(\d+)\//.exec(uri)?.[1])
}
