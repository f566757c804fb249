import { createHash } from 'node:crypto'
import type { KeyAlgorithm } from '../../types/keys.js'

/** Those of the PowerSync Service (`KeySpec.ts`) that can be published. The first that a key fits is its default. */
export const algorithms = {
  RS256: { type: 'rsa', curve: undefined, digest: 'sha256' },
  RS384: { type: 'rsa', curve: undefined, digest: 'sha384' },
  RS512: { type: 'rsa', curve: undefined, digest: 'sha512' },
  ES256: { type: 'ec', curve: 'prime256v1', digest: 'sha256' },
  ES384: { type: 'ec', curve: 'secp384r1', digest: 'sha384' },
  ES512: { type: 'ec', curve: 'secp521r1', digest: 'sha512' },
  EdDSA: { type: 'ed25519', curve: undefined, digest: null }
} as const satisfies Record<KeyAlgorithm, object>

export const algorithmNames = Object.keys(algorithms) as KeyAlgorithm[]

/** The RFC 7638 thumbprint: SHA-256 of the public members in alphabetical order, the same for both halves of a pair. */
export function thumbprint (jwk: object): string {
  return createHash('sha256').update(JSON.stringify(jwk, ['crv', 'e', 'kty', 'n', 'x', 'y'])).digest('base64url')
}
