/** The driver's client of a MongoDB before 8.0, which has no `bulkWrite`: the server refuses that command to it. */
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'

const CommandNotFound = 59

export async function olderMongoClient (
  t: Pick<Test, 'teardown'>,
  uri: string,
  options: mongodb.MongoClientOptions = {}
): Promise<mongodb.MongoClient> {
  const appName = `older-${randomBytes(4).toString('hex')}`
  const client = new fastifyMongodb.mongodb.MongoClient(uri, { ...options, appName })
  t.teardown(() => client.close())
  await client.db('admin').command({
    configureFailPoint: 'failCommand',
    mode: 'alwaysOn',
    data: { failCommands: ['bulkWrite'], errorCode: CommandNotFound, appName }
  })
  return client
}
