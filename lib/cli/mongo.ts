import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { Option } from 'commander'
import { HookError } from '../errors.js'
import { rootOf } from '../store/faults.js'
import { nameOf, remedyOf } from '../store/validators.js'
import { CommandError, usageError, type CommandIO } from './io.js'

/** The option of a command that works on the app's database. */
export const uriOption = new Option('--uri <url>', 'connection string with the database in its path (default: MONGO_URI)')

/** @throws {CommandError} when neither the option nor the environment says which */
export function mongoUri (uri: string | undefined, { env }: CommandIO): string {
  const found = uri ?? env['MONGO_URI']
  if (!found) throw usageError('the connection string of MongoDB is missing', 'pass --uri or set MONGO_URI')
  return found
}

/**
 * Connects, works, and hangs up.
 * @param role that the work needs
 * @throws {CommandError} for an error of the driver or the server
 */
export async function withMongo (uri: string, role: string, work: (client: mongodb.MongoClient) => Promise<void>): Promise<void> {
  let client
  try {
    client = new fastifyMongodb.mongodb.MongoClient(uri, { serverSelectionTimeoutMS: 7500 })
    await work(client)
  } catch (error) {
    if (!isOfMongo(error)) throw error
    throw new CommandError(`MongoDB did not do it (${nameOf(error)})`, `${remedyOf(error, role)}, and run this again`, 1)
  } finally {
    await client?.close()
  }
}

/** MongoDB's messages quote documents: its errors are known by their names. Of a hook's error, which hook it was is said too. */
export function reasonOf (error: unknown): string {
  const root = rootOf(error)
  const { name, message } = root as Error
  const reason = isOfMongo(root) ? `MongoDB (${nameOf(root)})` : `${name}: ${message}`
  return error instanceof HookError && root !== error ? `${error.message}: ${reason}` : reason
}

/** Some are of the driver's own packages, and share no class. */
const isOfMongo = (error: unknown) => (error as Error).name.startsWith('Mongo')
