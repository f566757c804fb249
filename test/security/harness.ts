/**
 * The host that is attacked, and what each attack is held to: it is refused in the way that its row in the matrix says,
 * nothing in the database changes but the attacker's own dead letters and ledger, and neither the logs nor the answer
 * hold a secret or what the attacker sent as a value.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import type { mongodb } from '@fastify/mongodb'
import type { Test } from 'tap'
import powersyncMongo, { firstOf, generateKeys, jwtIssuers } from '../../index.js'
import type { TestDatabase } from '../support/database.js'
import { startIssuer, type TestIssuer } from '../support/issuer.js'
import { collections, mirror, sessions } from './host.js'
import { ALICE_SECRET, collectionNames, seeds } from './seeds.js'

/** In the values that attackers send: it must be in no log line and no answer. */
export const MARKER = 'ATTACKERS-VALUE-6d1f'
export const POWERSYNC_URL = 'https://attacked.powersync.example'
/** What the identity provider's tokens for this host have as `aud`. */
export const ISSUED_FOR = 'https://attacked.example'
export const keys = await generateKeys()

export interface AttackRequest {
  method?: 'GET' | 'POST' | 'PUT'
  url?: string
  /** Null sends no token. Default: Mallory's own, which is good. */
  token?: string | null
  headers?: Record<string, string>
  /** Objects are sent as JSON, text and bytes as they are. */
  body?: unknown
  /** The whole request as it goes over the socket, in place of all that. */
  raw?: string
  /** How often it is sent. Default: once. */
  times?: number
}

/** How an attack ends. */
export interface Refusal {
  status: number | readonly number[]
  /** `code` of Fastify's form of an error. */
  code?: string
  /** `error_code` of the failed operation, in the first result. */
  errorCode?: string
  /** Every result is a success: the operations found nothing that they may change. */
  ignored?: boolean
}

export interface Attack {
  name: string
  /** One request, or several that are sent at once. */
  request: AttackRequest | AttackRequest[] | ((host: Host) => AttackRequest | AttackRequest[] | Promise<AttackRequest>)
  refused: Refusal
}

/** 401, before anything is read. */
export const nobody: Refusal = { status: 401, code: 'FST_PSM_UNAUTHORIZED' }
/** 400: a body that no connector sends. */
export const unreadable: Refusal = { status: 400, code: 'FST_PSM_BODY' }
/** 200, with nothing found that the attacker may change. */
export const ignored: Refusal = { status: 200, ignored: true }
/** 200, with the transaction rejected for good. */
const rejected = (errorCode: string): Refusal => ({ status: 200, errorCode })
export const unauthorized = rejected('UNAUTHORIZED')
export const invalid = rejected('INVALID_DATA')
export const mismatch = rejected('SCHEMA_MISMATCH')

export interface Answer {
  status: number
  headers: string
  text: string
}

export interface Host {
  app: FastifyInstance
  /** Where it listens. */
  url: string
  /** Log lines since the last attack. */
  lines: string[]
  /** Mallory's good token. */
  token: string
  /** The identity provider whose users the host knows, and one that it does not know. */
  issuer: TestIssuer
  stranger: TestIssuer
  /** The latest snapshot: what the next attack must leave as it is. */
  state: ReadonlyMap<string, string>
  send (request: AttackRequest): Promise<Answer>
  /** Documents as BSON, by collection. Default: all of them but the attacker's own dead letters, notes and ledger. */
  snapshot (which?: (collection: string) => mongodb.Filter<mongodb.Document>): Promise<Map<string, string>>
  /** Deletes what `snapshot` leaves out. */
  forget (): Promise<void>
  /** Collections that an attack names: looked at as well. */
  watch (names: Iterable<string>): void
}

/** The plugin on a host as an app has it, with the rows of two users. */
export async function startHost (
  t: Pick<Test, 'teardown'>,
  database: Pick<TestDatabase, 'uri' | 'kind'>
): Promise<Host> {
  const lines: string[] = []
  const issuer = await startIssuer(t, 'RS256')
  const stranger = await startIssuer(t, 'RS256')
  const app = Fastify({ logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(() => app.close())
  await app.register(powersyncMongo, {
    powersyncUrl: POWERSYNC_URL,
    keys: { signing: keys.privateKey },
    mongo: { url: database.uri },
    authenticate: firstOf(
      request => sessions.get(request.headers['x-session'] as string) ?? null,
      jwtIssuers({ issuers: issuer.url, audience: ISSUED_FOR })
    ),
    token: { claims: ({ org, role }) => ({ org, role }) },
    collections,
    checkpoints: true,
    upload: { deadLetters: { mirror } }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const db = app.mongo.db!
  const watched = new Set<string>(collectionNames)
  await Promise.all(Object.entries(seeds).map(([name, documents]) => db.collection(name).insertMany(documents)))
  const { token } = await app.powersync.signToken({ id: 'mallory' })

  const host: Host = {
    app,
    url: `http://127.0.0.1:${port}`,
    lines,
    token,
    issuer,
    stranger,
    state: new Map(),
    send: request => request.raw === undefined ? inject(app, request, token) : sendRaw(port, request.raw),
    async snapshot (which = byOthers) {
      const listed =
        database.kind === 'emulator'
          ? []
          : (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name)
      const documents = new Map<string, string>()
      await Promise.all([...new Set([...watched, ...listed])].map(async name => {
        const all = await db.collection(name).find<Buffer>(which(name), { raw: true }).sort({ _id: 1 }).toArray()
        documents.set(name, Buffer.concat(all).toString('latin1'))
      }))
      return documents
    },
    async forget () {
      for (const name of owned) await db.collection(name).deleteMany({ user_id: 'mallory' })
    },
    watch (names) {
      // What MongoDB's driver refuses to ask for cannot be there.
      for (const name of names) {
        if (/^[^$\0.\s][^$\0]{0,100}$/.test(name) && !name.endsWith('.') && !name.includes('..')) watched.add(name)
      }
    }
  }
  host.state = await host.snapshot()
  return host
}

/** Collections in which the attacker may have documents of her own making. */
const owned = ['powersync_ledger', 'powersync_dead_letters', 'powersync_write_checkpoints', mirror]
export const byOthers = (name: string): mongodb.Filter<mongodb.Document> =>
  owned.includes(name) ? { user_id: { $ne: 'mallory' } } : {}

async function inject (
  app: FastifyInstance,
  { method = 'POST', url = '/upload', token, headers = {}, body }: AttackRequest,
  good: string
): Promise<Answer> {
  const bearer = token === undefined ? good : token
  const response = await app.inject({
    method,
    url,
    headers: {
      ...(method !== 'GET' && { 'content-type': 'application/json' }),
      ...(bearer !== null && { authorization: `Bearer ${bearer}` }),
      ...headers
    },
    ...(body !== undefined && {
      payload: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    })
  })
  return { status: response.statusCode, headers: JSON.stringify(response.headers), text: response.payload }
}

/** Bytes that no HTTP client sends; the answer is read until the server closes the connection. */
async function sendRaw (port: number, request: string): Promise<Answer> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  // Not end(): Node gives up on a request whose sender has hung up.
  socket.write(request, 'latin1')
  await once(socket, 'close')
  const [head = '', ...rest] = Buffer.concat(chunks).toString().split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), headers: head, text: rest.join('\r\n\r\n') }
}

const { d, p, q, dp, dq, qi } = keys.privateKey

/** What must be nowhere, whoever attacks. */
const secrets = [MARKER, ALICE_SECRET, 'PRIVATE KEY', ...[d, p, q, dp, dq, qi] as string[]]

/**
 * Makes one attack and checks what became of it.
 * @throws {AssertionError} saying what was not as it should be
 */
export async function attack (host: Host, { name, request, refused }: Attack): Promise<void> {
  const before = host.state
  const requests = [await (typeof request === 'function' ? request(host) : request)].flat()
  for (const { body } of requests) host.watch(tablesIn(body))
  host.lines.length = 0
  const answers = await Promise.all(requests.map(each => repeat(host, each)))
  const lines = [...host.lines]
  host.state = await host.snapshot()
  if (answers.some(({ status }) => status === 200)) await host.forget()
  const { statusCode } = await host.app.inject('/jwks')
  try {
    for (const answer of answers) checkAnswer(answer, refused)
    checkLeaks(requests, answers, lines)
    checkLines(lines)
    checkPrototypes()
    checkUnchanged(before, host.state)
    assert.deepEqual(host.stranger.requests, [], 'nobody is asked for keys but the issuer')
    assert.ok(host.issuer.requests.length <= 2, 'nor is that, again and again')
    assert.equal(statusCode, 200, 'the server answers')
  } catch (error) {
    throw new Error(`${name}: ${(error as Error).message}`, { cause: error })
  }
}

async function repeat (host: Host, request: AttackRequest): Promise<Answer> {
  for (let time = 1; time < (request.times ?? 1); time++) await host.send(request)
  return await host.send(request)
}

/** Collections that come into being are compared with nothing. */
export function checkUnchanged (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): void {
  const changed = [...after].filter(([name, documents]) => documents !== (before.get(name) ?? '')).map(([name]) => name)
  assert.deepEqual(changed, [], 'no collection has changed')
}

export function checkAnswer ({ status, text }: Answer, refused: Refusal): void {
  const shown = `${status} ${text.slice(0, 500)}`
  assert.ok([refused.status].flat().includes(status), `expected the status ${String(refused.status)}, found ${shown}`)
  if (refused.code) assert.equal(JSON.parse(text).code, refused.code, shown)
  if (refused.errorCode) {
    const [result] = JSON.parse(text).results
    assert.equal(result.status, 'fatal_error', shown)
    assert.equal(result.failed_operation.error_code, refused.errorCode, shown)
  }
  if (refused.ignored) for (const result of JSON.parse(text).results) assert.equal(result.status, 'success', shown)
  assert.ok(text.length < 4096, 'the answer is short, whatever was sent')
}

export function checkLeaks (requests: AttackRequest[], answers: Answer[], lines: string[]): void {
  const sent = requests.flatMap(({ token }) => token?.split('.') ?? []).filter(part => part.length > 16)
  const everything = [...lines, ...answers.flatMap(({ headers, text }) => [headers, text])].join('\n')
  for (const secret of [...secrets, ...sent]) {
    assert.ok(!everything.includes(secret), `neither the logs nor the answer hold ${secret.slice(0, 40)}`)
  }
}

/** Each line is one entry that the server itself made, and a terminal shows it as it is. */
export function checkLines (lines: string[]): void {
  for (const line of lines) {
    assert.ok(line.length < 8192, `a log line is short, whatever was sent: ${line.slice(0, 200)}`)
    // eslint-disable-next-line no-control-regex -- that is what it looks for
    assert.match(line, /^[^\x00-\x1f\x7f-\x9f]*\n$/, 'a log line has no control characters')
    assert.notEqual(JSON.parse(line).forged, true, 'nobody else writes log lines')
  }
}

export function checkPrototypes (): void {
  for (const prototype of [Object.prototype, Array.prototype, Function.prototype]) {
    assert.deepEqual(Object.keys(prototype), [], 'no prototype has got a property')
  }
}

/** What stands in the place of a table's name. */
export function tablesIn (body: unknown): string[] {
  if (typeof body !== 'object' || body === null || Buffer.isBuffer(body)) return []
  const { table, type } = body as Record<string, unknown>
  const inner = Array.isArray(body)
    ? body.slice(0, 10)
    : ['batch', 'operations', 'transactions', 'crud'].map(field => (body as Record<string, unknown>)[field])
  return [table, type].filter(name => typeof name === 'string').concat(inner.flatMap(tablesIn))
}
