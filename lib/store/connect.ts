import fastifyMongodb, { type FastifyMongodbOptions, type FastifyMongoObject } from '@fastify/mongodb'
import type { FastifyInstance } from 'fastify'
import type { MongoOptions } from '../../types/index.js'
import { MongoError, OptionError } from '../errors.js'
import { didYouMean, nearest } from '../nearest.js'

/**
 * The database to write to: the given connection, else the host's `fastify.mongo`, else `MONGO_URI`. Asks the server
 * what it is, so that a mistake stops the start and not the first upload.
 */
export async function connect (fastify: FastifyInstance, options: MongoOptions = {}, uri: string | undefined) {
  const { name, database } = options
  const mongo = await open(fastify, options, uri)
  const db = database ? mongo.client.db(database) : mongo.db
  if (!db) {
    throw new OptionError('mongo', `of connection ${name ?? 'fastify.mongo'} names no database: ` +
      'pass mongo.database, or put it in the path of the connection string')
  }
  const hello = await db.command({ hello: 1 }).catch((error: unknown) => { throw unreachable(error, undefined) })
  if (!hello['setName'] && hello['msg'] !== 'isdbgrid') {
    throw new MongoError('MongoDB runs as a standalone server, which has no transactions, and PowerSync cannot ' +
      'replicate from it: start mongod with --replSet rs0 and run rs.initiate() once, or use a MongoDB Atlas cluster')
  }
  // MongoDB 8.0 says 25. What encrypts fields in the driver does not know the command.
  const bulkWrite = hello['maxWireVersion'] >= 25 && !mongo.client.options.autoEncryption
  return { client: mongo.client, db, features: { bulkWrite } }
}

/** Options that are not the driver's. */
const own = ['url', 'client', 'database', 'name', 'forceClose']

async function open (fastify: FastifyInstance, options: MongoOptions, uri: string | undefined) {
  const existing = options.name ? fastify.mongo?.[options.name] : unnamed(fastify)
  const url = options.url ?? (existing || options.client ? undefined : uri)
  if (!url && !options.client && !existing) {
    throw new OptionError('mongo', options.name
      ? `names the connection ${options.name}, which no @fastify/mongodb registration has: ` +
        'pass mongo.url as well, or register that connection first'
      : 'is missing: pass mongo.url, set MONGO_URI (mongodb://host/database?replicaSet=rs0), ' +
        'or register @fastify/mongodb before')
  }
  const other = Object.entries(options).find(([name, value]) => value !== undefined && !own.includes(name))?.[0]
  if (other && !url) {
    const hint = didYouMean(nearest(other, own))
    throw new OptionError(`mongo.${other}`, `is for a new connection, and this one is there already${hint}`)
  }
  if (existing && !url && !options.client) return existing
  if (existing) {
    throw new OptionError('mongo', options.name
      ? `names the connection ${options.name}, which exists already: leave out mongo.url and mongo.client, or take another name`
      : 'gives a connection, but the host has one already (fastify.mongo): ' +
        'leave mongo out to use it, or pass mongo.name for another')
  }
  // @fastify/mongodb takes no unnamed connection after a named one.
  const name = options.name ?? (fastify.mongo ? 'powersync' : undefined)
  try {
    const database = options.database || (options.client ? options.client.options.dbName : databaseIn(url))
    await fastify.register(fastifyMongodb, { ...options, url, database, ...name && { name } } as FastifyMongodbOptions)
  } catch (error) {
    throw unreachable(error, url)
  }
  return (name ? fastify.mongo[name] : fastify.mongo) as FastifyMongoObject
}

/** The database of a connection string, as the driver reads it; @fastify/mongodb knows no escapes and no IPv6. */
export function databaseIn (url = ''): string | undefined {
  // Several hosts are no URL.
  const ofOneHost = url.replace(/:\/\/[^/?#]+/, '://host')
  return URL.canParse(ofOneHost) ? decodeURIComponent(new URL(ofOneHost).pathname.slice(1)) || undefined : undefined
}

/** The host's unnamed connection. @fastify/mongodb puts the first named one in its place, which does not count. */
function unnamed ({ mongo }: FastifyInstance): FastifyMongoObject | undefined {
  return mongo && !Object.values(mongo).includes(mongo) ? mongo : undefined
}

/** Says what to do, and never repeats the connection string, which holds the password. */
function unreachable (error: unknown, url: string | undefined): Error {
  const { name, code, message } = error as { name?: string, code?: number, message?: string }
  const [, unknown] = /^options? (.+) (?:is|are) not supported$/.exec(String(message)) ?? []
  if (unknown) {
    return new OptionError('mongo', `has ${unknown}, unknown to MongoDB's driver${didYouMean(nearest(unknown, own))}`)
  }
  if (['MongoParseError', 'MongoInvalidArgumentError', 'MongoAPIError', 'URIError'].includes(String(name))) {
    return new OptionError('mongo.url', 'cannot be read: expected mongodb://user:password@host:27017/database?replicaSet=rs0' +
      ' or mongodb+srv://…, special characters percent-encoded')
  }
  const hosts = url && /^mongodb(?:\+srv)?:\/\/(?:[^@/]*@)?([^/?]+)/.exec(url)?.[1]
  const mongo = hosts ? `MongoDB at ${hosts}` : 'MongoDB'
  return new MongoError(code === 18 || code === 13
    ? `${mongo} refused the credentials: check user, password and authSource in the connection string`
    : `${mongo} cannot be reached: check that it runs, that the connection string names the right host and replica set, ` +
      'and that the network lets this server through')
}
