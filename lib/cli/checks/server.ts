import { thumbprint, type PublicJwk } from '../../keys/jwk.js'
import type { KeySet } from '../../keys/load.js'
import { readPublicKey } from '../../keys/read.js'
import { isProtected } from '../../urls.js'
import { clockFinding, networkReason, ok, problem, skipped, warning, type Finding } from './finding.js'

/** As many requests, at once, should meet each of the few servers behind a load balancer. */
const requests = 5
/** Milliseconds. The PowerSync Service lets clients wait 3 s for keys. */
const slow = 3000
const timeout = 10_000

interface Answer { status: number, body: string, headers: Headers, milliseconds: number }

/**
 * Looks at the running server as the PowerSync Service and a stranger do.
 * @param url of the server, with the plugin's prefix
 * @param keys what the server should publish; undefined if that is not known
 */
export async function checkServer (url: string, keys: KeySet | undefined): Promise<Finding[]> {
  const jwksUrl = `${url.replace(/\/+$/, '')}/jwks`
  const answers = await Promise.all(Array.from({ length: requests }, () => get(jwksUrl)))
  const failure = answers.find(answer => typeof answer === 'string')
  if (failure !== undefined) {
    return [problem('jwks', `${jwksUrl} cannot be reached (${failure})`, 'check that the server runs, and that the network and DNS lead to it from outside: the PowerSync Service fetches keys there')]
  }
  const reached = answers as [Answer, ...Answer[]]
  return [checkJwks(jwksUrl, reached, keys), checkClock(reached[0]), await checkToken(url)]
}

async function get (url: string): Promise<Answer | string> {
  const began = performance.now()
  try {
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(timeout), headers: { accept: 'application/json' } })
    return { status: response.status, body: await response.text(), headers: response.headers, milliseconds: performance.now() - began }
  } catch (error) {
    return networkReason(error)
  }
}

function checkJwks (url: string, answers: [Answer, ...Answer[]], keys: KeySet | undefined): Finding {
  const refused = answers.find(({ status }) => status !== 200)
  if (refused) return problem('jwks', `${url} answered ${refused.status}`, statusFix(refused.status))
  const sets = answers.map(({ body }) => readKeySet(body))
  const [published] = sets
  if (!published || sets.includes(undefined)) return problem('jwks', `${url} answered something that is not a key set`, 'check that --url is the server\'s URL with the plugin\'s prefix, and that no proxy answers in its place')
  const secret = published.find(jwk => ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k'].some(member => member in jwk))
  if (secret) return problem('jwks', `${url} shows the private half of a key`, 'whoever has seen it can sign tokens: replace that key now, and serve /jwks by this plugin, which shows public halves only')
  for (const [index, jwk] of published.entries()) {
    try {
      readPublicKey(jwk, `key ${index} of ${url}`)
    } catch (error) {
      return problem('jwks', (error as Error).message.replace('fastify-powersync-mongo: ', ''), 'remove it: one key that the PowerSync Service cannot import makes it refuse all of them')
    }
  }
  if (answers.some(({ body }) => body !== answers[0].body)) return problem('jwks', `${url} gives different keys from one request to the next`, 'give all servers the same POWERSYNC_PRIVATE_KEY and POWERSYNC_PUBLISHED_KEYS: a token of one is refused while the PowerSync Service has the keys of another')
  const own = keys?.published[0]
  if (own && !published.some(jwk => isSame(jwk, own))) return problem('jwks', `${url} does not have the key of POWERSYNC_PRIVATE_KEY, kid ${own.kid}`, 'the server runs with another key: restart it with this environment, or run the doctor with the server\'s')
  const found = `keys published at ${url}: ${published.length}${own ? ', the signing key among them' : ''}`
  if (!isProtected(new URL(url))) return warning('jwks', `${found}, by plain http`, 'give the PowerSync Service an https URL: PowerSync Cloud takes no other')
  const slowest = Math.max(...answers.map(({ milliseconds }) => milliseconds))
  if (slowest > slow) return warning('jwks', `${found}, after ${Math.round(slowest)} ms`, 'the PowerSync Service lets clients wait 3 s for keys: find out what makes the server slow')
  return ok('jwks', found)
}

function statusFix (status: number): string {
  if (status === 404) return 'add the plugin\'s prefix to --url, and check routes.jwks'
  if (status === 401 || status === 403) return 'let everybody read /jwks: the PowerSync Service has no credentials, and there is nothing secret in it'
  if (status >= 300 && status < 400) return 'serve /jwks itself: the PowerSync Service would end up at a login page'
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

function isSame (jwk: Record<string, unknown>, own: PublicJwk): boolean {
  return jwk['kid'] === own.kid && thumbprint(jwk) === thumbprint(own)
}

/** A cache in between says how old its copy is (RFC 9111 §5.1). */
function checkClock ({ headers }: Answer): Finding {
  const date = Date.parse(headers.get('date') ?? '')
  if (Number.isNaN(date)) return skipped('server-clock', 'the server says no date')
  const age = Number(headers.get('age') ?? 0)
  return clockFinding('server-clock', 'the server', date / 1000 + age - Date.now() / 1000)
}

/** Who brings no credentials must get no token. */
async function checkToken (url: string): Promise<Finding> {
  const tokenUrl = `${url.replace(/\/+$/, '')}/token`
  const answer = await get(tokenUrl)
  if (typeof answer === 'string') return problem('token', `${tokenUrl} cannot be reached (${answer})`, 'see the server\'s log')
  if (answer.status === 401) return ok('token', `${tokenUrl} refuses who is not signed in`)
  if (answer.status === 404) return skipped('token', `there is no ${tokenUrl}`)
  if (answer.status === 200) return problem('token', `${tokenUrl} gives a token to anybody`, 'let authenticate give null for who is not signed in')
  if (answer.body.includes('FST_PSM_PARAMETER')) return problem('token', `${tokenUrl} gives a token for any user to anybody: developmentAuth() is on`, 'use jwtIssuers() or a function that knows your users, and set NODE_ENV=production')
  return problem('token', `${tokenUrl} answered ${answer.status} to who is not signed in: expected 401`, 'see the server\'s log')
}
