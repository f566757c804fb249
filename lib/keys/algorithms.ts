import { generateKeyPair } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { promisify } from 'node:util'

/** RSA keys below this many bits are refused when a token is verified (RFC 7518 §3.3). */
export const minimumModulusLength = 2048

/** Members that make up a JWK of each key type (RFC 7518 §6, RFC 8037 §2), besides `kty`. */
export const keyTypes = {
  RSA: { publicMembers: ['n', 'e'], privateMembers: ['d', 'p', 'q', 'dp', 'dq', 'qi'] },
  EC: { publicMembers: ['crv', 'x', 'y'], privateMembers: ['d'] },
  OKP: { publicMembers: ['crv', 'x'], privateMembers: ['d'] }
} as const

export type KeyType = keyof typeof keyTypes

interface AlgorithmEntry {
  kty: KeyType
  crv?: string
  /** For node:crypto's `sign`; null where the algorithm brings its own (RFC 8032). */
  digest: string | null
  /** Makes a new pair; absent where a key is only loaded. */
  generate?: () => Promise<KeyPair>
}

interface KeyPair { publicKey: KeyObject, privateKey: KeyObject }

const generatePair = promisify(generateKeyPair)

/**
 * The signature algorithms that a published key may have: those of the PowerSync service without the symmetric ones,
 * whose key cannot be published. The first algorithm that a key fits is its default: RS256 for RSA.
 * Source: powersync-service, `KeySpec.ts`.
 */
export const algorithms = {
  RS256: { kty: 'RSA', digest: 'sha256', generate: (): Promise<KeyPair> => generatePair('rsa', { modulusLength: minimumModulusLength }) },
  RS384: { kty: 'RSA', digest: 'sha384' },
  RS512: { kty: 'RSA', digest: 'sha512' },
  ES256: { kty: 'EC', crv: 'P-256', digest: 'sha256', generate: (): Promise<KeyPair> => generatePair('ec', { namedCurve: 'P-256' }) },
  ES384: { kty: 'EC', crv: 'P-384', digest: 'sha384' },
  ES512: { kty: 'EC', crv: 'P-521', digest: 'sha512' },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', digest: null, generate: (): Promise<KeyPair> => generatePair('ed25519') }
} as const satisfies Record<string, AlgorithmEntry>

/** Name of a signature algorithm, as in the `alg` of a JWK and of a token (RFC 7518 §3.1, RFC 8037 §3.1). */
export type KeyAlgorithm = keyof typeof algorithms

/** An algorithm for which `generateKeys()` makes keys. */
export type GeneratedAlgorithm = {
  [Algorithm in KeyAlgorithm]: (typeof algorithms)[Algorithm] extends { generate: unknown } ? Algorithm : never
}[KeyAlgorithm]

export const algorithmNames = Object.keys(algorithms) as KeyAlgorithm[]

export const generatedAlgorithms = algorithmNames.filter(isGenerated)

export function isGenerated (algorithm: string): algorithm is GeneratedAlgorithm {
  return Object.hasOwn(algorithms, algorithm) && 'generate' in algorithms[algorithm as KeyAlgorithm]
}

/** Every algorithm that a key of this type and curve can sign with, the default one first. */
export function algorithmsFor ({ kty, crv }: { kty?: string, crv?: string }): KeyAlgorithm[] {
  return algorithmNames.filter((name) => {
    const entry: AlgorithmEntry = algorithms[name]
    return entry.kty === kty && entry.crv === crv
  })
}
