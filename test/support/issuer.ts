/** A real identity provider on the loopback interface: OpenID configuration, key set, signed tokens. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT, type CryptoKey, type GenerateKeyPairResult, type JWK,
  type JWTPayload
} from 'jose'
import type { Test } from 'tap'

const pairs = new Map<string, Promise<GenerateKeyPairResult>>()

/** One pair for each algorithm of a test file: RSA keys take a while. */
export function keyPair (alg: string): Promise<GenerateKeyPairResult> {
  const pair = pairs.get(alg) ?? generateKeyPair(alg, { extractable: true })
  pairs.set(alg, pair)
  return pair
}

type Answer = (response: ServerResponse) => void

interface SignOptions {
  alg?: string
  /** `null` leaves it out. */
  kid?: string | null
  /** Signs in place of the issuer's own key. */
  key?: CryptoKey | Uint8Array
  header?: Record<string, unknown>
}

export interface TestIssuer {
  /** What its tokens have as `iss`. */
  readonly url: string
  readonly jwksUri: string
  /** Paths that were asked for, in order. */
  readonly requests: string[]
  /** What the key set has; may be changed. */
  keys: JWK[]
  /** What the OpenID configuration has; may be changed. */
  configuration: Record<string, unknown>
  /** Answers a path by this from now on; without it as before. */
  answer (path: '/jwks' | '/.well-known/openid-configuration', how?: Answer): void
  /** A token for `api`, of one minute, with these claims. */
  sign (claims?: JWTPayload, options?: SignOptions): Promise<string>
  stop (): Promise<void>
  /** Comes back at the same URL. */
  start (): Promise<void>
}

/** Starts an issuer with one key for each of these algorithms. It stops when the test ends. */
export async function startIssuer (t: Pick<Test, 'teardown'>, ...algorithms: string[]): Promise<TestIssuer> {
  const answers = new Map<string, Answer>()
  const requests: string[] = []
  const server = createServer(({ url = '' }, response) => {
    requests.push(url)
    const json = (body: unknown) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
    const answer = answers.get(url)
    if (answer) answer(response)
    else if (url === '/jwks') json({ keys: issuer.keys })
    else if (url === '/.well-known/openid-configuration') json(issuer.configuration)
    else response.writeHead(404).end()
  })
  let port = 0
  const start = async () => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }
  const stop = async () => {
    if (!server.listening) return
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  }
  t.teardown(stop)
  await start()

  const url = `http://127.0.0.1:${port}`
  const issuer: TestIssuer = {
    url,
    jwksUri: `${url}/jwks`,
    requests,
    keys: await Promise.all((algorithms.length ? algorithms : ['ES256']).map(async alg => publicJwk(alg))),
    configuration: { issuer: url, jwks_uri: `${url}/jwks` },
    answer (path, how) {
      if (how) answers.set(path, how)
      else answers.delete(path)
    },
    async sign (claims = {}, { alg = algorithms[0] ?? 'ES256', kid, key, header } = {}) {
      const now = Math.floor(Date.now() / 1000)
      const name = kid === undefined ? (await publicJwk(alg)).kid : kid
      return new SignJWT({ iss: url, aud: 'api', sub: 'user1', iat: now, exp: now + 60, ...claims })
        .setProtectedHeader({ alg, ...name !== null && { kid: name! }, ...header })
        .sign(key ?? (await keyPair(alg)).privateKey)
    },
    stop,
    start
  }
  return issuer
}

async function publicJwk (alg: string): Promise<JWK> {
  const jwk = await exportJWK((await keyPair(alg)).publicKey)
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg, use: 'sig' }
}
