import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { nameOf, remedyOf } from '../store/validators.js'
import type { CommandIO } from './command.js'
import { FailedError, UsageError } from './errors.js'

/** The option of a command that works on the app's database. */
export const mongoOptions = {
  uri: { type: 'string', value: '<url>', help: 'connection string with the database in its path (MONGO_URI)' }
} as const

/** @throws {UsageError} when neither the option nor the environment says which */
export function mongoUri (uri: string | undefined, { env }: CommandIO): string {
  const found = uri ?? env['MONGO_URI']
  if (!found) throw new UsageError('which MongoDB? Pass --uri or set MONGO_URI')
  return found
}

/**
 * Connects, works, and hangs up.
 * @param role that the work needs
 * @throws {FailedError} for an error of the driver or the server
 */
export async function withMongo (uri: string, role: string, work: (client: mongodb.MongoClient) => Promise<number>): Promise<number> {
  try {
    return await connected(uri, work)
  } catch (error) {
    if (!isOfMongo(error)) throw error
    throw new FailedError(`MongoDB did not do it (${nameOf(error)})`, `${remedyOf(error, role)}, and run this again`)
  }
}

async function connected (uri: string, work: (client: mongodb.MongoClient) => Promise<number>): Promise<number> {
  const client = new fastifyMongodb.mongodb.MongoClient(uri, { serverSelectionTimeoutMS: 7500 })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

/** MongoDB's messages quote documents: its errors are known by their names. */
export function reasonOf (error: unknown): string {
  const { name, message } = error as Error
  return isOfMongo(error) ? `MongoDB (${nameOf(error)})` : `${name}: ${message}`
}

/** Some are of the driver's own packages, and share no class. */
const isOfMongo = (error: unknown) => (error as Error).name.startsWith('Mongo')
