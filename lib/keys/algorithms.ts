/**
 * The signature algorithms that a published key may have: those of the PowerSync Service without the symmetric ones,
 * where the key cannot be published. The first one that a key fits is its default. `digest` is for node:crypto.
 * Source: powersync-service, `KeySpec.ts`.
 */
export const algorithms = {
  RS256: { kty: 'RSA', crv: undefined, digest: 'sha256' },
  RS384: { kty: 'RSA', crv: undefined, digest: 'sha384' },
  RS512: { kty: 'RSA', crv: undefined, digest: 'sha512' },
  ES256: { kty: 'EC', crv: 'P-256', digest: 'sha256' },
  ES384: { kty: 'EC', crv: 'P-384', digest: 'sha384' },
  ES512: { kty: 'EC', crv: 'P-521', digest: 'sha512' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', digest: null }
} as const

/** Name of a signature algorithm, as in the `alg` of a JWK and of a token (RFC 7518 §3.1, RFC 8037 §3.1). */
export type KeyAlgorithm = keyof typeof algorithms

export const algorithmNames = Object.keys(algorithms) as KeyAlgorithm[]
