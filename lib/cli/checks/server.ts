import { SignJWT } from 'jose'
import { thumbprint } from '../../keys/jwk.js'
import type { KeySet, SigningKey } from '../../keys/load.js'
import { readPublicKey } from '../../keys/read.js'
import { isProtected } from '../../urls.js'
import { compareClocks, ok, problem, skipped, warning, type Result, type Results } from './finding.js'

interface Answer { status: number, body: string, headers: Headers, milliseconds: number }

/** Sends a request that follows no redirects and takes at most 10 s. Of a stream of events, nothing is read. */
async function request (url: string, init: RequestInit = {}): Promise<Answer> {
  const began = performance.now()
  const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(10_000), ...init })
  const { status, headers } = response
  const endless = init.method === 'POST' && status === 200
  const body = endless ? '' : await response.text()
  if (endless) await response.body?.cancel()
  return { status, headers, body, milliseconds: performance.now() - began }
}

/** The code of a network error, else its name. */
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
    const fix = 'pass the server with the plugin\'s prefix, and check for a proxy'
    return problem(`${url} does not answer a key set`, fix)
  }
  if (published.some(jwk => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'].some(member => member in jwk))) {
    return problem(`${url} shows the private half of a key`, 'replace that key now: its readers can sign tokens')
  }
  for (const [index, jwk] of published.entries()) {
    try {
      readPublicKey(jwk, `key ${index} of ${url}`)
    } catch (error) {
      const found = (error as Error).message.replace('fastify-powersync-mongo: ', '')
      return problem(found, 'remove it: one key that the PowerSync Service cannot import makes it refuse all keys')
    }
  }
  if (answers.some(({ body }) => body !== answers[0]!.body)) {
    const fix = 'give all servers the same POWERSYNC_PRIVATE_KEY and POWERSYNC_PUBLISHED_KEYS'
    return problem(`${url} gives different keys from one request to the next`, fix)
  }
  const own = keys?.published[0]
  if (own && !published.some(jwk => jwk['kid'] === own.kid && thumbprint(jwk) === thumbprint(own))) {
    const fix = 'the server runs with another key: restart it with this environment, or run doctor with the server\'s'
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
  try {
    const { keys } = JSON.parse(body)
    return Array.isArray(keys) && keys.length > 0 ? keys : undefined
  } catch {
    return undefined
  }
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
  if (answer.status === 401) return ok(`${url} rejects requests without credentials`)
  if (answer.status === 404) return skipped(`there is no ${url}`)
  if (answer.status === 200) {
    return problem(`${url} gives tokens to strangers`, 'return null from authenticate for them')
  }
  if (answer.body.includes('FST_PSM_PARAMETER')) {
    const fix = 'use jwtIssuers() or a function that knows your users, and set NODE_ENV=production'
    return problem(`${url} gives strangers a token for any user: developmentAuth() is on`, fix)
  }
  const found = `${url} answered ${answer.status} to a request without credentials: expected 401`
  return problem(found, 'see the server\'s log')
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
