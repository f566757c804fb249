import { createHash, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { algorithms, keyTypes } from './algorithms.js'
import type { KeyAlgorithm, KeyType } from './algorithms.js'

/** A key as `/jwks` publishes it (RFC 7517): these members and no others. Binary values are base64url. */
export interface PublicJwk {
  kty: KeyType
  /** RSA: modulus and exponent. */
  n?: string
  e?: string
  /** EC and OKP: curve and coordinates. */
  crv?: string
  x?: string
  y?: string
  /** What a token names in its header to say which key signed it. */
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

/** The public half of a key, which may be given whole. Without `kid`, its thumbprint is the kid. */
export function toPublicJwk (key: KeyObject, alg: KeyAlgorithm, kid?: string): PublicJwk {
  const { kty } = algorithms[alg]
  const members = pick(key.export({ format: 'jwk' }), keyTypes[kty].publicMembers)
  return { kty, ...members, kid: kid ?? thumbprint({ kty, ...members }), alg, use: 'sig' }
}

/** The whole of a private key, under the `kid` and `alg` of its public half. */
export function toPrivateJwk (key: KeyObject, publicJwk: PublicJwk): PrivateJwk {
  const members = pick(key.export({ format: 'jwk' }), keyTypes[publicJwk.kty].privateMembers)
  return { ...publicJwk, ...members }
}

/** The key as PEM (SPKI). */
export function toPublicPem (jwk: PublicJwk): string {
  return createPublicKey({ key: { ...jwk }, format: 'jwk' }).export({ type: 'spki', format: 'pem' }).toString()
}

/**
 * SHA-256 of the public members in their canonical form, as base64url: the same for both halves of a pair
 * (RFC 7638 §3).
 */
export function thumbprint (jwk: Omit<PublicJwk, 'kid' | 'alg' | 'use'>): string {
  const members = ['kty', ...keyTypes[jwk.kty].publicMembers].sort()
  return createHash('sha256').update(JSON.stringify(pick(jwk, members))).digest('base64url')
}

// Node exports every member that the table lists for a key's type.
function pick<Member extends string> (jwk: { [M in Member]?: unknown }, members: readonly Member[]) {
  return Object.fromEntries(members.map((member) => [member, jwk[member]])) as Record<Member, string>
}
