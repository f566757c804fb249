import fastifyMongodb from '@fastify/mongodb'
import type { mongodb } from '../../bson.js'
import type { Collections } from '../../../types/index.js'
import { DeadLetters } from '../../store/dead-letters.js'
import { Ledger } from '../../store/ledger.js'
import { databaseIn } from '../../store/connect.js'
import { inspectCollections } from '../../store/collections.js'
import { nameOf } from '../../store/validators.js'
import { clockFinding, ok, problem, skipped, warning, type Finding } from './finding.js'

const minimumVersion = 6
const needed = ['find', 'insert', 'update', 'remove', 'createIndex', 'createCollection']

/** Asks the server what it is and what this user may do. Nothing is written. */
export async function checkMongoDB (uri: string, collections: Collections | undefined): Promise<Finding[]> {
  let client
  try {
    client = new fastifyMongodb.mongodb.MongoClient(uri, { serverSelectionTimeoutMS: 5000 })
  } catch {
    return [problem('mongodb', 'the connection string cannot be read', 'expected mongodb://user:password@host:27017/database?replicaSet=rs0 or mongodb+srv://…, special characters percent-encoded')]
  }
  try {
    return await checkConnection(client, uri, collections)
  } finally {
    await client.close()
  }
}

async function checkConnection (client: mongodb.MongoClient, uri: string, collections: Collections | undefined): Promise<Finding[]> {
  const db = client.db()
  const asked = Date.now()
  let hello
  try {
    hello = await db.command({ hello: 1 })
  } catch (error) {
    return [unreachable(error)]
  }
  const now = (asked + Date.now()) / 2
  return [
    databaseIn(uri)
      ? ok('mongodb', `reached, database ${db.databaseName}`)
      : problem('mongodb', 'the connection string names no database', 'put it in the path, as in mongodb://host/app?replicaSet=rs0'),
    checkTopology(hello),
    await checkVersion(db),
    await checkPermissions(db),
    hello['localTime'] instanceof Date
      ? clockFinding('mongodb-clock', 'MongoDB', (hello['localTime'].getTime() - now) / 1000)
      : skipped('mongodb-clock', 'MongoDB says no time'),
    ...collections ? [await checkCollections(db, collections)] : []
  ]
}

/** Whether the PowerSync Service can replicate the collections, and clients reach their documents. */
async function checkCollections (db: mongodb.Db, collections: Collections): Promise<Finding> {
  try {
    const state = await inspectCollections(db, collections)
    if (!state) return skipped('collections', 'MongoDB does not list its collections')
    const { missing, withoutImages, warnings } = state
    if (withoutImages.length) {
      return problem('collections', `without post-images: ${withoutImages.join(', ')}`, 'run db.runCommand({ collMod: "<collection>", changeStreamPreAndPostImages: { enabled: true } }) for each, or let the PowerSync Service do it (post_images: auto_configure): it needs them to replicate changes')
    }
    if (warnings[0]) return warning('collections', warnings[0], 'set id in collection() to the type of the documents')
    if (missing.length) return warning('collections', `not there yet: ${missing.join(', ')}`, 'start your server before the PowerSync Service: it creates them with post-images')
    return ok('collections', `${Object.keys(collections).length} tables, all with post-images`)
  } catch (error) {
    return skipped('collections', `MongoDB does not let this user look at the collections (${nameOf(error)})`)
  }
}

function unreachable (error: unknown): Finding {
  const { code } = error as mongodb.MongoServerError
  if (code === 13 || code === 18) return problem('mongodb', 'MongoDB refused the credentials', 'check user, password and authSource in the connection string')
  return problem('mongodb', `MongoDB cannot be reached (${nameOf(error)})`, 'check that it runs, that the connection string names the right hosts and replica set, and that the network lets this machine through')
}

function checkTopology (hello: mongodb.Document): Finding {
  if (hello['setName']) return ok('replica-set', `replica set ${hello['setName']}`)
  if (hello['msg'] === 'isdbgrid') return problem('replica-set', 'a sharded cluster', 'use a replica set: PowerSync does not replicate from sharded clusters')
  return problem('replica-set', 'a standalone server, without transactions and change streams', 'start mongod with --replSet rs0 and run rs.initiate() once, or use a MongoDB Atlas cluster')
}

async function checkVersion (db: mongodb.Db): Promise<Finding> {
  try {
    const { version } = await db.command({ buildInfo: 1 })
    if (Number.parseInt(version) >= minimumVersion) return ok('mongodb-version', `MongoDB ${version}`)
    return problem('mongodb-version', `MongoDB ${version}`, `upgrade: PowerSync needs MongoDB ${minimumVersion} or later`)
  } catch (error) {
    return skipped('mongodb-version', `MongoDB does not say which it is (${nameOf(error)})`)
  }
}

/** https://www.mongodb.com/docs/manual/reference/command/connectionStatus/ */
interface AuthInfo {
  authenticatedUsers: unknown[]
  authenticatedUserPrivileges: Privilege[]
}

interface Privilege {
  resource: { db?: string, collection?: string, anyResource?: boolean }
  actions: string[]
}

async function checkPermissions (db: mongodb.Db): Promise<Finding> {
  let info: AuthInfo
  try {
    info = (await db.command({ connectionStatus: 1, showPrivileges: true }))['authInfo']
  } catch (error) {
    return skipped('permissions', `MongoDB does not say what this user may do (${nameOf(error)})`)
  }
  if (info.authenticatedUsers.length === 0) return warning('permissions', 'MongoDB asks nobody who they are', 'switch on its access control, and make a user with the role readWrite on the database for this server')
  const may = (collection: string, action: string) => info.authenticatedUserPrivileges.some(privilege => covers(privilege, db.databaseName, collection) && privilege.actions.includes(action))
  for (const collection of [Ledger.collectionName, DeadLetters.collectionName]) {
    const missing = needed.filter(action => !may(collection, action))
    if (missing.length > 0) return problem('permissions', `this user may not ${missing.join(', ')} in ${db.databaseName}.${collection}`, `give it the role readWrite on ${db.databaseName}`)
  }
  const validators = may(Ledger.collectionName, 'collMod') ? '' : '; validators: \'apply\' needs dbAdmin as well'
  return ok('permissions', `this user may read and write ${db.databaseName}, and create indexes${validators}`)
}

/** An empty name stands for all of them (https://www.mongodb.com/docs/manual/reference/resource-document/). */
function covers ({ resource }: Privilege, database: string, collection: string): boolean {
  return resource.anyResource === true || (['', database].includes(resource.db as string) && ['', collection].includes(resource.collection as string))
}
