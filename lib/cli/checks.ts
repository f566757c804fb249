/** The checks of `doctor`. None writes, and no result holds a key, a token or a password. */
import fastifyMongodb from '@fastify/mongodb'
import { SignJWT } from 'jose'
import type { mongodb } from '../bson.js'
import type { Collections } from '../../types/index.js'
import { thumbprint } from '../keys/jwk.js'
import type { KeySet, SigningKey } from '../keys/load.js'
import { readPublicKey } from '../keys/read.js'
import { readKeys, readUrl, type Environment } from '../options/settings.js'
import { inspectCollections } from '../store/collections.js'
import { databaseIn } from '../store/connect.js'
import { DeadLetters } from '../store/dead-letters.js'
import { Ledger } from '../store/ledger.js'
import { nameOf } from '../store/mongodb-errors.js'
import { isPlain } from '../type-words.js'
import { isProtected } from '../urls.js'
import { pathOfDatabase } from './config.js'

export interface Result {
  /** `skipped`: the check cannot be made; `found` says why. */
  status: 'ok' | 'warning' | 'problem' | 'skipped'
  found: string
  fix?: string
}

/** By the names of their checks, in the order in which they are printed. */
export type Results = Record<string, Result>

const ok = (found: string): Result => ({ status: 'ok', found })
const warning = (found: string, fix: string): Result => ({ status: 'warning', found, fix })
const problem = (found: string, fix: string): Result => ({ status: 'problem', found, fix })
export const skipped = (found: string): Result => ({ status: 'skipped', found })

export function checkEnvironment (environment: Environment) {
  const { value: keys, fault: keyFault } = attempt(() => readKeys(undefined, environment))
  const { value: url, fault: urlFault } = attempt(() => readUrl(undefined, environment, false))
  const [own, ...further] = keys?.published ?? []
  const others = further.length ? `; further keys: ${further.map(({ kid }) => kid).join(', ')}` : ''
  const results = {
    environment: checkVariables(environment),
    keys: own ? ok(`${own.alg}, kid ${own.kid}${others}`) : unreadable(keyFault!),
    'powersync-url': url ? checkUrl(url) : unreadable(urlFault!)
  }
  return { results, keys, powersyncUrl: url }
}

function attempt<Value> (read: () => Value): { value?: Value, fault?: string } {
  try {
    return { value: read() }
  } catch (error) {
    return { fault: (error as Error).message.replace('fastify-powersync-mongo: ', '') }
  }
}

/** Errors of options and keys say the fix after their first colon. */
function unreadable (fault: string): Result {
  const [found = '', ...fix] = fault.split(': ')
  return problem(found, fix.join(': '))
}

const checkUrl = (url: string) => isProtected(new URL(url))
  ? ok(`${url}, the audience of tokens`)
  : warning(`${url} is plain http`, 'use the https URL that clients connect to: production rejects plain http')

function checkVariables (environment: Environment): Result {
  const { NODE_ENV: mode } = environment
  const names = ['URL', 'PRIVATE_KEY', 'PUBLIC_KEY', 'PUBLISHED_KEYS'].map(name => `POWERSYNC_${name}`)
  const set = [...names, 'MONGO_URI'].filter(name => environment[name]).join(', ') || 'no variable'
  const found = `${set} set, ${mode === undefined ? 'NODE_ENV not set' : `NODE_ENV=${mode}`}`
  if (mode === 'production') return ok(found)
  return warning(found, 'set NODE_ENV=production for real users: it rejects settings that are for development only')
}

/** @param seconds how far the other clock is ahead of this machine's */
function compareClocks (other: string, seconds: number): Result {
  const distance = Math.abs(Math.round(seconds))
  if (distance < 10) return ok(`${other} and this machine have the same time`)
  const found = `${other} is ${distance} s ${seconds > 0 ? 'ahead of' : 'behind'} this machine`
  return (distance < 60 ? warning : problem)(found, 'set both clocks by NTP: the PowerSync Service tolerates 60 s')
}

interface Answer { status: number, body: string, headers: Headers, milliseconds: number }

/** Follows no redirects, takes at most 10 s, and reads nothing of a stream of events. */
async function request (url: string, init: RequestInit = {}): Promise<Answer> {
  const began = performance.now()
  const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(10_000), ...init })
  const { status, headers } = response
  const endless = init.method === 'POST' && status === 200
  const body = endless ? '' : await response.text()
  if (endless) await response.body?.cancel()
  return { status, headers, body, milliseconds: performance.now() - began }
}

const reasonOf = ({ name, cause }: Error): string => Object(cause).code ?? name

/** Looks at the running server as the PowerSync Service and a stranger do. */
export async function checkServer (url: string, keys: KeySet | undefined): Promise<Results> {
  const base = url.replace(/\/+$/, '')
  // Enough at once to meet each of the few servers behind a load balancer.
  const answers = await Promise.all(Array.from({ length: 5 }, () => request(`${base}/jwks`))).catch(reasonOf)
  if (typeof answers === 'string') {
    const fix = 'check that the server runs, and that network and DNS lead to it: the PowerSync Service needs its keys'
    return { jwks: problem(`${base}/jwks cannot be reached (${answers})`, fix) }
  }
  return {
    jwks: checkJwks(`${base}/jwks`, answers, keys),
    'server-clock': checkClock(answers[0]!),
    token: await checkToken(`${base}/token`)
  }
}

function checkJwks (url: string, answers: Answer[], keys: KeySet | undefined): Result {
  const refused = answers.find(({ status }) => status !== 200)?.status
  if (refused) return problem(`${url} answered ${refused}`, statusFix(refused))
  const [published, ...others] = answers.map(({ body }) => readKeySet(body))
  if (!published || others.includes(undefined)) {
    return problem(`${url} does not answer a key set`, "pass the server with the plugin's prefix, and check for a proxy")
  }
  if (published.some(jwk => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'].some(member => member in jwk))) {
    return problem(`${url} shows the private half of a key`, 'replace that key now: its readers can sign tokens')
  }
  const unusable = published
    .map((jwk, index) => attempt(() => readPublicKey(jwk, `key ${index} of ${url}`)).fault).find(Boolean)
  if (unusable) {
    return problem(unusable, 'remove it: one key that the PowerSync Service cannot import makes it refuse all keys')
  }
  if (answers.some(({ body }) => body !== answers[0]!.body)) {
    const fix = 'give all servers the same POWERSYNC_PRIVATE_KEY and POWERSYNC_PUBLISHED_KEYS'
    return problem(`${url} gives different keys from one request to the next`, fix)
  }
  const own = keys?.published[0]
  if (own && !published.some(jwk => jwk['kid'] === own.kid && thumbprint(jwk) === thumbprint(own))) {
    const fix = "the server runs with another key: restart it with this environment, or run doctor with the server's"
    return problem(`${url} does not have the key of POWERSYNC_PRIVATE_KEY, kid ${own.kid}`, fix)
  }
  const found = `keys published at ${url}: ${published.length}${own ? ', the signing key among them' : ''}`
  if (!isProtected(new URL(url))) {
    return warning(`${found}, by plain http`, 'use an https URL: PowerSync Cloud takes no other')
  }
  const slowest = Math.round(Math.max(...answers.map(({ milliseconds }) => milliseconds)))
  if (slowest < 3000) return ok(found)
  return warning(`${found}, after ${slowest} ms`, 'make the server faster: the PowerSync Service waits 3 s for keys')
}

function statusFix (status: number): string {
  if (status === 404) return 'add the plugin\'s prefix to --url, and check routes.jwks'
  if (status === 401 || status === 403) return 'let everybody read /jwks: the PowerSync Service does not sign in'
  if (status >= 300 && status < 400) return 'serve /jwks without a redirect: the PowerSync Service does not sign in'
  return 'see the server\'s log'
}

function readKeySet (body: string): Array<Record<string, unknown>> | undefined {
  const keys = attempt(() => JSON.parse(body).keys).value
  return Array.isArray(keys) && keys.length > 0 && keys.every(isPlain) ? keys : undefined
}

/** A cache's copy is older than its date says, by its age (RFC 9111 §5.1). */
function checkClock ({ headers }: Answer): Result {
  const date = Date.parse(headers.get('date') ?? '')
  if (Number.isNaN(date)) return skipped('the server sends no date')
  return compareClocks('the server', (date - Date.now()) / 1000 + Number(headers.get('age') ?? 0))
}

async function checkToken (url: string): Promise<Result> {
  const answer = await request(url).catch(reasonOf)
  if (typeof answer === 'string') return problem(`${url} cannot be reached (${answer})`, 'see the server\'s log')
  const { status, body } = answer
  if (status === 401) return ok(`${url} rejects requests without credentials`)
  if (status === 404) return skipped(`there is no ${url}`)
  const isToken = status === 200 && attempt(() => JSON.parse(body).token).value
  if (isToken) return problem(`${url} gives tokens to strangers`, 'return null from authenticate for them')
  if (body.includes('FST_PSM_PARAMETER')) {
    const fix = 'use jwtIssuers() or a function that knows your users, and set NODE_ENV=production'
    return problem(`${url} gives strangers a token for any user: developmentAuth() is on`, fix)
  }
  return problem(`${url} answered ${status} to a request without credentials: expected 401`, 'see the server\'s log')
}

/** By codes of a rejected token. Source: powersync-service, `packages/service-errors/src/codes.ts`. */
const serviceFixes: Record<string, string> = {
  S2101: 'set its JWKS URI to this server\'s /jwks (dashboard: Client Auth; self-hosted: client_auth.jwks_uri)',
  S2103: 'set the clocks of this machine and of the service by NTP',
  S2105: 'add POWERSYNC_URL to its audiences (self-hosted: client_auth.audience), or set POWERSYNC_URL to one of them',
  S2201: 'remove the keys that it cannot import from its JWKS URI',
  S2202: 'give the host of its JWKS URI an IPv4 address',
  S2203: 'use a public address for its JWKS URI, or change client_auth.jwks_reject_ip_ranges',
  S2204: 'make its JWKS URI reachable from the service: check the URI, the network and the certificate'
}

/** Connects to the PowerSync Service as a client does, with a token of one minute for a user that does not exist. */
export async function checkService (url: string, { privateKey, algorithm, kid }: SigningKey): Promise<Result> {
  const fix = 'check that POWERSYNC_URL is the URL of a running PowerSync instance'
  const token = await new SignJWT({}).setProtectedHeader({ alg: algorithm, kid })
    .setSubject('powersync-mongo-doctor').setAudience(url).setIssuedAt().setExpirationTime('60s').sign(privateKey)
  const answer = await request(`${url}/sync/stream`, {
    method: 'POST',
    headers: { authorization: `Token ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ buckets: [], include_checksum: true, raw_data: true, client_id: 'powersync-mongo-doctor' })
  }).catch(reasonOf)
  if (typeof answer === 'string') {
    return problem(`${url} cannot be reached (${answer})`, `${fix}, and that the network leads to it`)
  }
  if (answer.status === 200) return ok(`${url} accepts this app's tokens`)
  const code = answer.status === 401 && /S2\d{3}/.exec(answer.body)?.[0]
  if (!code) return problem(`${url}/sync/stream answered ${answer.status}`, fix)
  return problem(`${url} rejects this app's tokens (${code})`, serviceFixes[code] ?? 'see the service\'s log')
}

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
        : problem('the connection string names no database', pathOfDatabase),
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

async function checkPermissions (db: mongodb.Db): Promise<Result> {
  // https://www.mongodb.com/docs/manual/reference/command/connectionStatus/
  const { authInfo } = await db.command({ connectionStatus: 1, showPrivileges: true })
  const privileges: mongodb.Document[] = authInfo.authenticatedUserPrivileges
  const { databaseName: name } = db
  if (authInfo.authenticatedUsers.length === 0) {
    const fix = `switch it on, and give this server a user with the role readWrite on ${name}`
    return warning('MongoDB has no access control', fix)
  }
  // An empty name stands for all of them: https://www.mongodb.com/docs/manual/reference/resource-document/
  const may = (action: string, wanted: string) => privileges.some(({ resource, actions }) => {
    const { db, collection, anyResource } = resource
    return actions.includes(action) && (anyResource || (['', name].includes(db) && ['', wanted].includes(collection)))
  })
  for (const collection of [Ledger.collectionName, DeadLetters.collectionName]) {
    const missing = ['find', 'insert', 'update', 'remove', 'createIndex', 'createCollection']
      .filter(action => !may(action, collection)).join(', ')
    if (!missing) continue
    return problem(`this user may not ${missing} in ${name}.${collection}`, `give it the role readWrite on ${name}`)
  }
  const validators = may('collMod', Ledger.collectionName) ? '' : '; validators: \'apply\' needs dbAdmin as well'
  return ok(`this user may read and write ${name}, and create indexes${validators}`)
}

async function checkCollections (db: mongodb.Db, collections: Collections): Promise<Result> {
  const state = await inspectCollections(db, collections)
  if (!state) return skipped('MongoDB does not list its collections')
  const { unfit: [unfit], missing, withoutImages, warnings: [mistaken] } = state
  if (unfit) return problem(unfit.found, unfit.fix)
  if (withoutImages.length) return problem(`without post-images: ${withoutImages.join(', ')}`, postImagesFix)
  if (mistaken) return warning(mistaken, 'set id in collection() to the type of the documents')
  if (!missing.length) return ok(`${Object.keys(collections).length} tables, all with post-images`)
  const fix = 'start your server before the PowerSync Service: it creates them with post-images'
  return warning(`not there yet: ${missing.join(', ')}`, fix)
}

const postImagesFix =
  'run db.runCommand({ collMod: "<collection>", changeStreamPreAndPostImages: { enabled: true } }) ' +
  'for each, or set post_images: auto_configure in the PowerSync Service: it needs them to replicate changes'
