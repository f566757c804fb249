import { isDeepStrictEqual } from 'node:util'
import type { FastifyBaseLogger } from 'fastify'
import type { mongodb } from '../bson.js'
import type { Collections } from '../../types/index.js'
import { MongoError } from '../errors.js'
import { jsonSchemaOf } from '../schema/json-schema.js'
import { codeOf, refused } from './mongodb-errors.js'

export interface ValidatorOptions {
  /** `moderate`: documents that broke the rules before may be changed. Default: as it is, `strict` for a new one. */
  level?: 'strict' | 'moderate' | undefined
  /** Whether MongoDB refuses or logs a document that breaks the rules. Default: as it is, `error` for a new one. */
  action?: 'error' | 'warn' | undefined
}

export interface ValidatorDifference {
  /** Of the MongoDB collection. */
  name: string
  /** `none`: it is as it should be. */
  action: 'create' | 'update' | 'none'
  /** `- path: value` and `+ path: value`, one for each that goes and comes. */
  changes: string[]
  /** Documents that break the new rules: how many, and the `_id` of the first of them as text. */
  breaking: { count: number, ids: string[] }
  command: mongodb.Document
}

/** Compares the database's validators with what the schemas say. Collections with `schema: 'any'` are left alone. */
export async function compareValidators (
  db: mongodb.Db, collections: Collections, { level, action }: ValidatorOptions = {}
): Promise<ValidatorDifference[]> {
  const differences: ValidatorDifference[] = []
  for (const [name, validator] of validatorsOf(collections)) {
    // Numbers as numbers, whatever the host has set on its client.
    const numbers = { promoteValues: true, promoteLongs: true }
    const [existing] = await db.listCollections<mongodb.CollectionInfo>({ name }, numbers).toArray()
    const { validator: now = {}, validationLevel = 'strict', validationAction = 'error' } = existing?.options ?? {}
    const rigour = { validationLevel: level ?? validationLevel, validationAction: action ?? validationAction }
    const wanted = { validator, ...rigour }
    const changes = changesOf({ validator: now, validationLevel, validationAction }, wanted)
    differences.push({
      name,
      action: changes.length === 0 ? 'none' : existing ? 'update' : 'create',
      changes,
      breaking: existing && changes.length ? await breakingIn(db.collection(name), validator) : { count: 0, ids: [] },
      command: existing ? { collMod: name, ...wanted } : { create: name, ...postImages, ...wanted }
    })
  }
  return differences
}

/** Values stay out: the ids alone tell which documents to correct. */
async function breakingIn (collection: mongodb.Collection, validator: mongodb.Document) {
  const filter = { $nor: [validator] }
  const count = await collection.countDocuments(filter)
  const first = count > 0 ? await collection.find(filter, { projection: { _id: 1 }, limit: 10 }).toArray() : []
  return { count, ids: first.map(({ _id }) => String(_id)) }
}

export async function applyValidators (
  db: mongodb.Db, collections: Collections, options: ValidatorOptions = {}
): Promise<ValidatorDifference[]> {
  const differences = await compareValidators(db, collections, options)
  for (const difference of differences) await applyDifference(db, difference)
  return differences
}

/** Runs a difference's command. Of processes that find a collection missing at once, the first creates it. */
export async function applyDifference (db: mongodb.Db, { action, command }: ValidatorDifference): Promise<void> {
  if (action === 'none') return
  const { create, ...rest } = command
  await db.command(command).catch((error: unknown) => {
    if (action !== 'create' || codeOf(error) !== NamespaceExists) throw error
    return db.command({ collMod: create, ...rest })
  })
}

export const NamespaceExists = 48

/** For the PowerSync Service: see `prepareCollections`. */
export const postImages = { changeStreamPreAndPostImages: { enabled: true } }

export async function ensureValidators (
  db: mongodb.Db, collections: Collections, mode: 'apply' | 'check', log: FastifyBaseLogger
): Promise<void> {
  const [run, done, role] = mode === 'apply'
    ? [applyValidators, 'changed', 'dbAdmin'] as const
    : [compareValidators, 'read', 'read'] as const
  const differences = await run(db, collections)
    .catch(refused(`its validators be ${done}`, role, ', or set the option validators to false'))
  for (const { name: collection, breaking: { count: documents } } of differences) {
    if (documents === 0) continue
    log.warn({ collection, documents }, 'documents break the rules of their collection\'s validator, ' +
      'and MongoDB refuses later changes of them: "npx powersync-mongo apply-validators --dry-run" lists them')
  }
  const wrong = mode === 'check' ? differences.filter(({ action }) => action !== 'none') : []
  if (!wrong[0]) return
  const names = wrong.map(({ name }) => name).join(', ')
  const { name, changes } = wrong[0]
  throw new MongoError(
    `the validators of ${names} are not what the schemas say (${name}: ${changes.slice(0, 3).join('; ')}): ` +
    'run "npx powersync-mongo apply-validators --config <file>", or set the option validators to \'apply\'')
}

/** Documents of a collection that tables share may be of any of them; anything goes if one of them has no schema. */
function validatorsOf (collections: Collections): Map<string, mongodb.Document> {
  const schemas = new Map<string, Array<mongodb.Document | undefined>>()
  for (const [table, collection] of Object.entries(collections)) {
    const name = collection.name ?? table
    schemas.set(name, [...schemas.get(name) ?? [], jsonSchemaOf(collection, table)])
  }
  return new Map([...schemas].filter(([, all]) => all.every(Boolean)).map(([name, all]) => {
    const rules = all.map($jsonSchema => ({ $jsonSchema }))
    return [name, rules.length === 1 ? rules[0]! : { $or: rules }]
  }))
}

function changesOf (now: mongodb.Document, wanted: mongodb.Document): string[] {
  const [before, after] = [flatten(now), flatten(wanted)]
  const paths = [...new Set([...before.keys(), ...after.keys()])]
  const lines = (sign: string, path: string, value: unknown) =>
    value === undefined ? [] : [`${sign} ${path}: ${JSON.stringify(value)}`]
  return paths.filter(path => !isDeepStrictEqual(before.get(path), after.get(path)))
    .flatMap(path => [...lines('-', path, before.get(path)), ...lines('+', path, after.get(path))])
}

/** Path → value of everything that is no object; the order of keys means nothing. */
function flatten (value: unknown, path = '', into = new Map<string, unknown>()): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return into.set(path, value)
  for (const [key, inner] of Object.entries(value)) flatten(inner, path ? `${path}.${key}` : key, into)
  return into
}
