import { createHash } from 'node:crypto'

/**
 * The signature algorithms of published keys: those of the PowerSync Service without the symmetric ones, whose keys
 * cannot be published. The first that a key fits is its default. Types, curves and digests are as node:crypto has them.
 * Source: powersync-service, `KeySpec.ts`.
 */
export const algorithms = {
  RS256: { type: 'rsa', curve: undefined, digest: 'sha256' },
  RS384: { type: 'rsa', curve: undefined, digest: 'sha384' },
  RS512: { type: 'rsa', curve: undefined, digest: 'sha512' },
  ES256: { type: 'ec', curve: 'prime256v1', digest: 'sha256' },
  ES384: { type: 'ec', curve: 'secp384r1', digest: 'sha384' },
  ES512: { type: 'ec', curve: 'secp521r1', digest: 'sha512' },
  EdDSA: { type: 'ed25519', curve: undefined, digest: null }
} as const

/** A signature algorithm, as in the `alg` of a JWK and of a token (RFC 7518 §3.1, RFC 8037 §3.1). */
export type KeyAlgorithm = keyof typeof algorithms

export const algorithmNames = Object.keys(algorithms) as KeyAlgorithm[]

/** A key as `/jwks` publishes it (RFC 7517), with these members only. Binary values are base64url. */
export interface PublicJwk {
  kty: 'RSA' | 'EC' | 'OKP'
  /** RSA: modulus and exponent. */
  n?: string
  e?: string
  /** EC and OKP: curve and coordinates. */
  crv?: string
  x?: string
  y?: string
  /** Names the key in the header of a token. */
  kid: string
  alg: KeyAlgorithm
  use: 'sig'
}

/** A signing key: a `PublicJwk` with its secret members, `d` and for RSA also primes, exponents and coefficient. */
export interface PrivateJwk extends PublicJwk, Partial<Record<'p' | 'q' | 'dp' | 'dq' | 'qi', string>> { d: string }

/** The RFC 7638 thumbprint: SHA-256 of the public members in alphabetical order, the same for both halves of a pair. */
export function thumbprint (jwk: object): string {
  return createHash('sha256').update(JSON.stringify(jwk, ['crv', 'e', 'kty', 'n', 'x', 'y'])).digest('base64url')
}
