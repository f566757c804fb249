import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { Option } from 'commander'
import { HookError } from '../errors.js'
import { rootOf } from '../store/mongodb-errors.js'
import { nameOf, remedyOf } from '../store/validators.js'
import { CommandError, usageError, type CommandIO } from './terminal.js'

export const uriOption =
  new Option('--uri <url>', 'connection string with the database in its path (default: MONGO_URI)')

/** Connects to MongoDB, does work that needs a role, and disconnects. */
export async function withMongo (
  uri: string | undefined, role: string, { env }: CommandIO, work: (client: mongodb.MongoClient) => Promise<void>
): Promise<void> {
  const found = uri ?? env['MONGO_URI']
  if (!found) throw usageError('the connection string of MongoDB is missing', 'pass --uri or set MONGO_URI')
  let client
  try {
    client = new fastifyMongodb.mongodb.MongoClient(found, { serverSelectionTimeoutMS: 7500 })
    await work(client)
  } catch (error) {
    if (!isOfMongo(error)) throw error
    throw new CommandError(`MongoDB failed (${nameOf(error)})`, `${remedyOf(error, role)}, and run this again`, 1)
  } finally {
    await client?.close()
  }
}

/** An error without the message of MongoDB, which may quote documents, and with the hook that failed. */
export function reasonOf (error: unknown): string {
  const root = rootOf(error) as Error
  const reason = isOfMongo(root) ? `MongoDB (${nameOf(root)})` : `${root.name}: ${root.message}`
  return error instanceof HookError && root !== error ? `${error.message}: ${reason}` : reason
}

/** By name: errors of the driver's own packages share no class with its others. */
const isOfMongo = (error: unknown) => (error as Error).name.startsWith('Mongo')
