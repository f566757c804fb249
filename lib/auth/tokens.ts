import fastifyJwt, { type JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import { decodeProtectedHeader } from 'jose'
import { createPublicKey, sign as signBytes } from 'node:crypto'
import type { PublicJwk, SignedToken, User } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { deepFreeze } from '../freeze.js'
import { algorithms } from '../keys/jwk.js'
import type { KeySet, SigningKey } from '../keys/load.js'
import { userOf } from '../user.js'

export interface Tokens {
  sign (user: User): SignedToken
  /** The user of a token; null unless a published key signed it for this audience and it has not expired. */
  verify (token: string): User | null
}

/** In write-only mode there are no keys. */
export const noTokens: Tokens = {
  sign () {
    const problem = 'is missing: to sign tokens with the routes token and jwks off, pass keys and powersyncUrl'
    throw new OptionError('keys', problem)
  },
  verify: () => null
}

/**
 * Signs and verifies tokens as the PowerSync Service requires them: `kid` in the header, integer `iat` and `exp`, text
 * `sub`, `aud`. Source: KeyStore.ts in powersync-service. The host may use @fastify/jwt as well: in another namespace.
 */
export async function createTokens (
  scope: FastifyInstance, settings: { keys: KeySet, powersyncUrl: string, expiresIn: number, namespace: string }
): Promise<Tokens> {
  const { keys, powersyncUrl: audience, expiresIn, namespace } = settings
  const { algorithm, kid } = keys.signing
  // Namespaces stand in one object: not in the host's, where further scopes with this plugin would meet ours.
  if (scope.hasDecorator('jwt')) scope.jwt = Object.create(scope.jwt)
  await scope.register(fastifyJwt, {
    namespace,
    decoratorName: `${namespace}Token`,
    secret: { public: toPem(keys.published[0]) },
    verify: { algorithms: [algorithm], allowedAud: audience, requiredClaims: ['sub', 'aud', 'iat', 'exp'], cache: 1000 }
  })
  const jwt = (scope.jwt as unknown as Record<string, JWT>)[namespace] as JWT
  // During a rotation there are tokens of the previous and of the next key. The signing key has the verifier of the
  // registration, which caches tokens.
  const verifiers = new Map(keys.published.map(jwk => [
    jwk.kid, jwk.kid === kid ? undefined : { key: toPem(jwk), algorithms: [jwk.alg], cache: false }
  ]))
  const sign = signerOf(keys.signing)
  return {
    sign ({ id: sub, ...claims }) {
      const iat = Math.floor(Date.now() / 1000)
      const exp = iat + expiresIn
      return { token: sign({ ...claims, sub, aud: audience, iat, exp }), expiresAt: new Date(exp * 1000) }
    },
    verify (token) {
      try {
        const { kid = '' } = decodeProtectedHeader(token)
        if (!verifiers.has(kid)) return null
        // @fastify/jwt checks the types of the times.
        const { sub, aud, iat, exp, ...claims } =
          jwt.verify<Record<string, unknown> & { iat: number, exp: number }>(token, verifiers.get(kid))
        // The bounds of the PowerSync Service: clocks differ by at most 60 s, and a token is valid for at most a day.
        const isTimely = iat <= Date.now() / 1000 + 60 && exp - iat <= 86_400
        // Frozen, since the verifier's cache gives the same claims to further uploads.
        return typeof sub === 'string' && sub && isTimely ? userOf(sub, deepFreeze(claims)) : null
      } catch {
        return null
      }
    }
  }
}

/**
 * Signs in the compact form of JWS (RFC 7515 §7.1). Not by @fastify/jwt, whose copies of the claims take half as long
 * as a signature of ES256 or EdDSA. The same claims, `iat` included, are signed once: a client that asks several times
 * at once costs one signature.
 */
function signerOf ({ privateKey: key, algorithm, kid }: SigningKey) {
  const { digest } = algorithms[algorithm]
  const encode = (part: string) => Buffer.from(part).toString('base64url')
  const header = encode(JSON.stringify({ alg: algorithm, typ: 'JWT', kid }))
  const signed = new Map<string, string>()
  let second = 0
  return (claims: { iat: number, [name: string]: unknown }): string => {
    if (claims.iat !== second || signed.size >= 1000) signed.clear()
    second = claims.iat
    const payload = JSON.stringify(claims)
    const known = signed.get(payload)
    if (known) return known
    const input = `${header}.${encode(payload)}`
    // RFC 7518 §3.4: r and s are concatenated.
    const signature = signBytes(digest, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')
    signed.set(payload, `${input}.${signature}`)
    return `${input}.${signature}`
  }
}

const toPem = (jwk: PublicJwk) =>
  createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString()
