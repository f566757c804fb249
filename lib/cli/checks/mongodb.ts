import fastifyMongodb from '@fastify/mongodb'
import type { mongodb } from '../../bson.js'
import type { Collections } from '../../../types/index.js'
import { DeadLetters } from '../../store/dead-letters.js'
import { Ledger } from '../../store/ledger.js'
import { databaseIn } from '../../store/connect.js'
import { inspectCollections } from '../../store/collections.js'
import { nameOf } from '../../store/validators.js'
import { compareClocks, ok, problem, skipped, warning, type Result, type Results } from './finding.js'

/** Asks the server about itself and about the rights of this user. Nothing is written. */
export async function checkMongoDB (uri: string, collections: Collections | undefined): Promise<Results> {
  let client
  try {
    client = new fastifyMongodb.mongodb.MongoClient(uri, { serverSelectionTimeoutMS: 5000 })
    const db = client.db()
    const asked = Date.now()
    const { localTime, ...hello } = await db.command({ hello: 1 })
    const now = (asked + Date.now()) / 2
    return {
      mongodb: databaseIn(uri)
        ? ok(`reached, database ${db.databaseName}`)
        : problem('the connection string names no database', 'put it in the path, as in mongodb://host/app?replicaSet=rs0'),
      'replica-set': checkTopology(hello),
      'mongodb-version': await checkVersion(db).catch(skip('MongoDB does not tell its version')),
      permissions: await checkPermissions(db).catch(skip('MongoDB does not tell this user\'s rights')),
      'mongodb-clock': localTime instanceof Date
        ? compareClocks('MongoDB', (localTime.getTime() - now) / 1000)
        : skipped('MongoDB does not tell its time'),
      ...collections && {
        collections: await checkCollections(db, collections).catch(skip('this user may not inspect the collections'))
      }
    }
  } catch (error) {
    return { mongodb: client ? unreachable(error) : problem('the connection string cannot be read', uriFix) }
  } finally {
    await client?.close()
  }
}

const skip = (refusal: string) => (error: unknown) => skipped(`${refusal} (${nameOf(error)})`)

const uriFix = 'write mongodb://user:password@host:27017/database?replicaSet=rs0; percent-encode special characters'

function unreachable (error: unknown): Result {
  if ([13, 18].includes((error as mongodb.MongoServerError).code as number)) {
    return problem('MongoDB refused the credentials', 'check user, password and authSource in the connection string')
  }
  const fix = 'check that it runs, and its hosts, replica set and network'
  return problem(`MongoDB cannot be reached (${nameOf(error)})`, fix)
}

function checkTopology (hello: mongodb.Document): Result {
  if (hello['setName']) return ok(`replica set ${hello['setName']}`)
  if (hello['msg'] === 'isdbgrid') return problem('a sharded cluster', 'use a replica set: PowerSync needs one')
  const fix = 'start mongod with --replSet rs0 and run rs.initiate() once, or use a MongoDB Atlas cluster'
  return problem('a standalone server, without transactions and change streams', fix)
}

async function checkVersion (db: mongodb.Db): Promise<Result> {
  const { version } = await db.command({ buildInfo: 1 })
  const found = `MongoDB ${version}`
  return Number.parseInt(version) >= 6 ? ok(found) : problem(found, 'upgrade: PowerSync needs MongoDB 6 or later')
}

/** https://www.mongodb.com/docs/manual/reference/command/connectionStatus/ */
interface AuthInfo {
  authenticatedUsers: unknown[]
  authenticatedUserPrivileges: Array<{
    resource: { db?: string, collection?: string, anyResource?: boolean }
    actions: string[]
  }>
}

async function checkPermissions (db: mongodb.Db): Promise<Result> {
  const { authInfo } = await db.command({ connectionStatus: 1, showPrivileges: true })
  const { authenticatedUsers: users, authenticatedUserPrivileges: privileges } = authInfo as AuthInfo
  const { databaseName: name } = db
  if (users.length === 0) {
    const fix = `switch it on, and give this server a user with the role readWrite on ${name}`
    return warning('MongoDB has no access control', fix)
  }
  // An empty name stands for all of them: https://www.mongodb.com/docs/manual/reference/resource-document/
  const may = (action: string, wanted: string) => privileges.some(({ resource, actions }) => {
    const { db, collection, anyResource } = resource
    return actions.includes(action) &&
      (anyResource || (['', name].includes(db!) && ['', wanted].includes(collection!)))
  })
  for (const collection of [Ledger.collectionName, DeadLetters.collectionName]) {
    const missing = ['find', 'insert', 'update', 'remove', 'createIndex', 'createCollection']
      .filter(action => !may(action, collection)).join(', ')
    if (missing) {
      return problem(`this user may not ${missing} in ${name}.${collection}`, `give it the role readWrite on ${name}`)
    }
  }
  const validators = may('collMod', Ledger.collectionName) ? '' : '; validators: \'apply\' needs dbAdmin as well'
  return ok(`this user may read and write ${name}, and create indexes${validators}`)
}

/** Whether the PowerSync Service can replicate the collections, and clients can reach their documents. */
async function checkCollections (db: mongodb.Db, collections: Collections): Promise<Result> {
  const state = await inspectCollections(db, collections)
  if (!state) return skipped('MongoDB does not list its collections')
  const { missing, withoutImages, warnings: [mistaken] } = state
  if (withoutImages.length) return problem(`without post-images: ${withoutImages.join(', ')}`, postImagesFix)
  if (mistaken) return warning(mistaken, 'set id in collection() to the type of the documents')
  if (!missing.length) return ok(`${Object.keys(collections).length} tables, all with post-images`)
  const fix = 'start your server before the PowerSync Service: it creates them with post-images'
  return warning(`not there yet: ${missing.join(', ')}`, fix)
}

const postImagesFix =
  'run db.runCommand({ collMod: "<collection>", changeStreamPreAndPostImages: { enabled: true } }) ' +
  'for each, or set post_images: auto_configure in the PowerSync Service: it needs them to replicate changes'
