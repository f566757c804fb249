/**
 * Uploads that nobody thought of: whatever comes, the server answers in one of the ways that it says, and changes
 * nothing but the rows of whoever sent it.
 *
 * The seed is in each test's name. What fails is printed with a path, and is tried again alone, and made smaller, by
 *
 *     FUZZ_SEED=… FUZZ_PATH=… npm test -- test/security/fuzz.test.ts
 */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { mongodb } from '@fastify/mongodb'
import fc, { type Arbitrary } from 'fast-check'
import t, { type Test } from 'tap'
import { testDatabase } from '../support/database.js'
import { fullSize } from '../support/size.js'
import {
  byOthers, checkLeaks, checkLines, checkPrototypes, checkUnchanged, startHost, tablesIn, type Answer
} from './harness.js'
import { at } from './seeds.js'
import { mutated, random, type Upload } from './uploads.js'

const { FUZZ_SEED: seed = '20261126', FUZZ_PATH: path } = process.env

/**
 * Uploads of each kind; the database is looked at after so many of them, which so many clients send at the same time.
 */
const count = fullSize ? 10_000 : 400
const step = 50
const clients = 10

// Two minutes in full size where nothing else runs.
t.setTimeout(900_000)

const host = await startHost(t, await testDatabase(t))
const db = host.app.mongo.db!

/**
 * Which rows are Mallory's. One in which she has set a field of the server's counts as somebody else's, so that it is
 * seen.
 */
const mallorys: Record<string, mongodb.Filter<mongodb.Document>> = {
  lists: { owner_id: 'mallory', verified: { $in: [null, false] }, created_at: { $in: [null, at] } },
  todos: { list_id: { $nin: ['alice-list', 'caf\u00e9', '\u212a'] } },
  notes: { owner: 'mallory', revoked_at: { $in: [null, at] } },
  events: { name: { $ne: 'signed up' } },
  ...Object.fromEntries(
    ['photos', 'counters', 'documents', 'contacts', 'drafts', 'accounts'].map(name => [name, { owner_id: 'mallory' }])
  )
}

const notMallorys = (name: string) => mallorys[name] ? { $nor: [mallorys[name]] } : byOthers(name)
const before = await host.snapshot(notMallorys)
const rows = await Promise.all(
  Object.entries(mallorys).map(async ([name, own]) => ({
    name,
    own,
    documents: await db.collection(name).find(own).toArray()
  }))
)

/** Puts Mallory's rows back. Gives the collections in which they were others. */
async function reset (): Promise<string[]> {
  await host.forget()
  const changed = await Promise.all(rows.map(async ({ name, own, documents }) => {
    const collection = db.collection(name)
    if (isDeepStrictEqual(await collection.find(own).toArray(), documents)) return []
    await collection.deleteMany(own)
    if (documents.length > 0) await collection.insertMany(documents)
    return [name]
  }))
  return changed.flat()
}

async function send ({ body, headers }: Upload, token: string): Promise<Answer> {
  const response = await fetch(`${host.url}/upload`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, ...headers },
    body
  })
  return { status: response.status, headers: JSON.stringify([...response.headers]), text: await response.text() }
}

/** Sends uploads, each client one after the other, with a token that lives until they are sent. */
async function sendAll (uploads: Upload[]): Promise<Array<{ upload: Upload, answer: Answer }>> {
  const queue = uploads.values()
  const { token } = await host.app.powersync.signToken({ id: 'mallory' })
  const sent = await Promise.all(Array.from({ length: clients }, async () => {
    const answers = []
    for (const upload of queue) answers.push({ upload, answer: await send(upload, token) })
    return answers
  }))
  return sent.flat()
}

/** Tables that an upload names, if anything can be read in it. */
function named ({ body }: Upload): string[] {
  try {
    return tablesIn(JSON.parse(String(body)))
  } catch {
    return []
  }
}

interface Outcome {
  /** Uploads by their status, and by the status of a transaction in them. */
  uploads: Record<string, number>
  /** Steps after which a collection had other rows of Mallory's than before. */
  changes: Record<string, number>
}

/** Sends uploads, checks what becomes of them, and adds it up. */
async function fuzz (t: Test, kind: Arbitrary<Upload>): Promise<Outcome> {
  const outcome: Outcome = { uploads: {}, changes: {} }
  const add = (counts: Record<string, number>, name: string | number) => { counts[name] = (counts[name] ?? 0) + 1 }
  const tables = new Set<string>()
  const property = fc.asyncProperty(
    fc.array(kind, { minLength: step, maxLength: step, size: 'max' }),
    async uploads => {
      host.lines.length = 0
      const sent = await sendAll(uploads)
      const lines = [...host.lines]
      const after = await host.snapshot(notMallorys)
      for (const name of await reset()) add(outcome.changes, name)
      for (const { upload, answer: { status, text } } of sent) {
        assert.ok([200, 400, 401, 413, 415, 503].includes(status), `${status} ${text} for ${String(upload.body)}`)
        const { results = [] } = JSON.parse(text) as { results?: Array<{ status: string }> }
        for (const each of new Set([status, ...results.map(({ status }) => status)])) add(outcome.uploads, each)
        for (const name of named(upload)) tables.add(name)
      }
      checkUnchanged(before, after)
      checkLeaks([], sent.map(({ answer }) => answer), lines)
      checkLines(lines)
      checkPrototypes()
    }
  )
  await fc.assert(property, {
    seed: Number(seed),
    numRuns: count / step,
    ...(path === undefined ? { endOnFailure: true } : { path })
  })
  // A collection that came into being, where the database does not list them.
  host.watch(tables)
  checkUnchanged(before, await host.snapshot(notMallorys))
  t.comment(JSON.stringify({ ...outcome, tables: tables.size }))
  return outcome
}

/** So that the tests below say something: of all uploads or steps, this share has to get there. */
function atLeast (t: Test, counts: Record<string, number>, all: number, shares: Record<string, number>): void {
  for (const [name, share] of Object.entries(shares)) {
    t.ok((counts[name] ?? 0) >= share * all, `${name}: ${counts[name]} of ${all}, at least ${share * all}`)
  }
}

const bodies = count.toLocaleString('en').replace(',', ' ')

t.test(`${bodies} bodies at random change nothing but their sender's rows (seed ${seed})`, async t => {
  const { uploads } = await fuzz(t, random)
  atLeast(t, uploads, count, { 200: 0.1, 400: 0.2, 401: 0.05, 415: 0.05, success: 0.01, fatal_error: 0.1 })
})

t.test(`${bodies} good uploads with random changes do so neither (seed ${seed})`, async t => {
  const { uploads, changes } = await fuzz(t, mutated)
  atLeast(t, uploads, count, { 200: 0.5, 400: 0.1, success: 0.2, fatal_error: 0.2 })
  atLeast(t, changes, count / step, Object.fromEntries(Object.keys(mallorys).map(name => [name, 0.25])))
})
