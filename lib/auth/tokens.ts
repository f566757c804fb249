import fastifyJwt from '@fastify/jwt'
import type { JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import { decodeProtectedHeader } from 'jose'
import { createPublicKey, sign as signBytes } from 'node:crypto'
import type { User } from '../../types/index.js'
import { OptionError } from '../errors.js'
import { algorithms } from '../keys/jwk.js'
import type { PublicJwk } from '../keys/jwk.js'
import type { KeySet, SigningKey } from '../keys/load.js'
import { claimsOf, userOf } from '../user.js'

/** A token for the PowerSync Service, and until when it is valid. */
export interface SignedToken {
  token: string
  /** When the token ends. */
  expiresAt: Date
}

export interface Tokens {
  sign (user: User): SignedToken
  /** The user of a token that one of the published keys signed for this audience and that has not expired, else null. */
  verify (token: string): User | null
}

export interface TokenSettings {
  keys: KeySet
  /** The tokens' audience. */
  powersyncUrl: string
  expiresIn: number
  /** Namespace in @fastify/jwt, so that the host's own use of it is left alone. */
  namespace: string
}

/** Without keys, in write-only mode: nobody has a token of this server. */
export const noTokens: Tokens = {
  sign () { throw new OptionError('keys', 'is missing: the routes token and jwks are off, so that no token can be signed. Pass keys and powersyncUrl') },
  verify: () => null
}

/**
 * Tokens as the PowerSync Service checks them: `kid` in the header, integer `iat` and `exp`, text `sub`, `aud`.
 * Source: KeyStore.ts in powersync-service.
 */
export async function createTokens (scope: FastifyInstance, { keys, powersyncUrl: audience, expiresIn, namespace }: TokenSettings): Promise<Tokens> {
  const { algorithm, kid } = keys.signing
  await scope.register(fastifyJwt, {
    namespace,
    decoratorName: `${namespace}Token`,
    secret: { public: toPem(keys.published[0]) },
    verify: { algorithms: [algorithm], allowedAud: audience, requiredClaims: ['sub', 'aud', 'iat', 'exp'], cache: 1000 }
  })
  const jwt = (scope.jwt as unknown as Record<string, JWT>)[namespace] as JWT
  // While keys are rotated, tokens of the previous key are still about, and those of the next key come from servers
  // that have it already. The signing key has the verifier of the registration, which remembers tokens.
  const verifiers = new Map(keys.published.map(jwk => [
    jwk.kid, jwk.kid === kid ? undefined : { key: toPem(jwk), algorithms: [jwk.alg], cache: false }
  ]))

  const sign = oncePerSecond(signerOf(keys.signing))

  return {
    sign (user) {
      const issuedAt = Math.floor(Date.now() / 1000)
      const expires = issuedAt + expiresIn
      const token = sign({ ...claimsOf(user), sub: user.id, aud: audience, iat: issuedAt, exp: expires })
      return { token, expiresAt: new Date(expires * 1000) }
    },
    verify (token) {
      try {
        const { kid = '' } = decodeProtectedHeader(token)
        if (!verifiers.has(kid)) return null
        const { sub, aud, iat, exp, ...claims } = jwt.verify<Payload>(token, verifiers.get(kid))
        return typeof sub === 'string' && sub && isTimely(iat, exp) ? userOf(sub, claims) : null
      } catch {
        return null
      }
    }
  }
}

type Sign = (claims: Record<string, unknown> & { iat: number }) => string

/**
 * JWS in its compact form (RFC 7515 §7.1), with a key that is read once. Not by @fastify/jwt, whose copies of the claims
 * take half as long again as a signature of ES256 or EdDSA.
 */
function signerOf ({ privateKey: key, algorithm, kid }: SigningKey): Sign {
  const { digest } = algorithms[algorithm]
  const header = encode({ alg: algorithm, typ: 'JWT', kid })
  return claims => {
    const input = `${header}.${encode(claims)}`
    // RFC 7518 §3.4 has r and s one behind the other, where DSA is meant.
    return `${input}.${signBytes(digest, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
}

const toPem = (jwk: PublicJwk) => createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString()

const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')

/** Users whose tokens of this second are remembered. */
const mostRemembered = 1000

/**
 * Gives the token that it signed before for the same claims, `iat` included: a client that asks several times at once
 * costs one signature, and one that asks a second later gets a token of its own.
 */
function oncePerSecond (sign: Sign): Sign {
  const signed = new Map<string, string>()
  let second = 0
  return claims => {
    if (claims.iat !== second || signed.size >= mostRemembered) signed.clear()
    second = claims.iat
    const key = JSON.stringify(claims)
    const token = signed.get(key) ?? sign(claims)
    signed.set(key, token)
    return token
  }
}

/** The signature and the types of the times are checked before. */
interface Payload extends Record<string, unknown> { sub: unknown, iat: number, exp: number }

/** Not made in the future, by clocks that differ by no more than the service allows, and not for longer than it allows. */
function isTimely (issuedAt: number, expires: number): boolean {
  return issuedAt <= Date.now() / 1000 + 60 && expires - issuedAt <= 86_400
}
