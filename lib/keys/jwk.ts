import { createHash } from 'node:crypto'
import type { KeyAlgorithm } from './algorithms.js'

/** A key as `/jwks` publishes it (RFC 7517): these members and no others. Binary values are base64url. */
export interface PublicJwk {
  kty: 'RSA' | 'EC' | 'OKP'
  /** RSA: modulus and exponent. */
  n?: string
  e?: string
  /** EC and OKP: curve and coordinates. */
  crv?: string
  x?: string
  y?: string
  /** The key's name in the header of a token. */
  kid: string
  alg: KeyAlgorithm
  use: 'sig'
}

/** A key that signs: `PublicJwk` and the members that must stay secret. */
export interface PrivateJwk extends PublicJwk {
  d: string
  /** RSA only: primes, exponents and coefficient. */
  p?: string
  q?: string
  dp?: string
  dq?: string
  qi?: string
}

/**
 * SHA-256 of the members that make up a public key, in their alphabetical order and as base64url: the same for both
 * halves of a pair (RFC 7638 §3).
 */
export function thumbprint (jwk: object): string {
  return createHash('sha256').update(JSON.stringify(jwk, ['crv', 'e', 'kty', 'n', 'x', 'y'])).digest('base64url')
}
