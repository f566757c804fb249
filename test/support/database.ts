/** The MongoDB that a test file runs on, by the chain in examples/mongodb.ts. */
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import fastifyMongodb from '@fastify/mongodb'
import { developmentMongoDB, type DevelopmentMongoDB } from '../../examples/mongodb.js'

export interface TestDatabaseOptions {
  /** Port to listen on; of no effect with MONGO_URI. Default: any free one. */
  port?: number
}

export interface TestDatabase {
  /** Connection string, with the database in its path. */
  uri: string
  kind: DevelopmentMongoDB['kind']
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
  let server = await developmentMongoDB({ database, port, download: false })
  const uri = server.kind === 'MONGO_URI' ? withDatabase(server.uri, database) : server.uri
  t.teardown(() => server.kind === 'MONGO_URI' ? dropDatabase(uri) : server.stop())

  return {
    uri,
    kind: server.kind,
    database,
    stop: () => server.stop(),
    restart: async () => {
      server = await developmentMongoDB({ database, port: portOf(uri), download: false })
    }
  }
}

/** What a test may ask for, and the servers that have it. */
const servers = {
  /** More than the emulator does: `$jsonSchema`, `listCollections`, change streams, … */
  mongod: ['mongod', 'MONGO_URI'],
  /** A server that the test may stop and start again. */
  ownServer: ['mongod', 'emulator'],
  /** A server on the loopback interface that takes any connection, for a proxy before it. */
  emulator: ['emulator']
} satisfies Record<string, Array<DevelopmentMongoDB['kind']>>

/**
 * For a test's options, `{ skip: needs(mongo, 'mongod', 'change streams') }`: false where the test can run, else the
 * reason why it is skipped.
 */
export function needs ({ kind }: Pick<TestDatabase, 'kind'>, what: keyof typeof servers, why: string): string | false {
  const kinds: string[] = servers[what]
  return kinds.includes(kind) ? false : `needs ${kinds.join(' or ')} for ${why}, runs on ${kind}`
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
