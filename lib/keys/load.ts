import { KeyError } from '../errors.js'
import type { KeyAlgorithm } from './algorithms.js'
import { thumbprint, toPublicJwk } from './jwk.js'
import type { PublicJwk } from './jwk.js'
import { readPrivateKey, readPublicKey } from './read.js'
import type { ReadPublicKey } from './read.js'

/** Base64 of a JWK as JSON (the format of CloudCode), a JWK as JSON text or as an object, or PEM. */
export type KeySource = string | object

export interface KeyInputs {
  /** The private key that signs tokens. */
  signing?: KeySource | undefined
  /** The signing key's public half, if it is configured too: it has to match. */
  publicKey?: KeySource | undefined
  /** Further keys to publish, for rotation. Of a private key, only the public half is used. */
  published?: readonly KeySource[] | undefined
}

/** What each input is called in errors. */
export interface KeyNames {
  signing: string
  publicKey: string
  published: string
}

export interface SigningKey {
  /** PKCS#8. */
  privateKeyPem: string
  /** SPKI. */
  publicKeyPem: string
  algorithm: KeyAlgorithm
  kid: string
}

export interface KeySet {
  signing: SigningKey
  /** What `/jwks` answers: the public half of the signing key, then the further keys. */
  published: [PublicJwk, ...PublicJwk[]]
}

const defaultNames: KeyNames = {
  signing: 'option keys.signing',
  publicKey: 'option keys.publicKey',
  published: 'option keys.published'
}

/**
 * Reads and checks all keys of a server. One key that the PowerSync service cannot import makes it refuse all the
 * others, so every key is imported here first.
 *
 * A key's `kid` and `alg` are those of its JWK. Without `kid` it is the RFC 7638 thumbprint; without `alg` it is RS256
 * for RSA, and what the curve says for the others. What the signing key leaves open is taken from `publicKey`.
 *
 * @param names what to call the keys in errors, for example `{ signing: 'POWERSYNC_PRIVATE_KEY' }`
 * @throws KeyError if a key cannot be used, if `publicKey` is not the public half of `signing`, or if two keys have
 * the same `kid`. It never holds any part of a key.
 */
export function loadKeys (inputs: KeyInputs, names: Partial<KeyNames> = {}): KeySet {
  const from = { ...defaultNames, ...names }
  const key = readPrivateKey(inputs.signing, from.signing)
  const half = inputs.publicKey === undefined ? undefined : readPublicKey(inputs.publicKey, from.publicKey)
  if (half) assertSameKey(key, half, from)

  const algorithm = key.alg ?? half?.alg ?? key.defaultAlgorithm
  const own = toPublicJwk(key.publicKey, algorithm, key.kid ?? half?.kid)
  return {
    signing: {
      privateKeyPem: key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      publicKeyPem: key.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      algorithm,
      kid: own.kid
    },
    published: [own, ...furtherKeys(own, inputs.published ?? [], from.published)]
  }
}

function assertSameKey (key: ReadPublicKey, half: ReadPublicKey, from: KeyNames): void {
  if (!key.publicKey.equals(half.publicKey)) {
    throw new KeyError(from.publicKey, `is not the public half of the key in ${from.signing}: set both from one run of "npx powersync-mongo generate-keys", or leave ${from.publicKey} out`)
  }
  for (const member of ['kid', 'alg'] as const) {
    if (key[member] !== undefined && half[member] !== undefined && key[member] !== half[member]) {
      throw new KeyError(from.publicKey, `has another ${member} than the key in ${from.signing}: give both the same, or leave ${from.publicKey} out`)
    }
  }
}

function furtherKeys (own: PublicJwk, inputs: readonly KeySource[], source: string): PublicJwk[] {
  if (!Array.isArray(inputs)) {
    throw new KeyError(source, 'is not an array: put the key into one')
  }
  const byKid = new Map([[own.kid, own]])
  for (const [index, input] of inputs.entries()) {
    const name = `${source}[${index}]`
    const key = readPublicKey(input, name)
    const jwk = toPublicJwk(key.publicKey, key.alg ?? key.defaultAlgorithm, key.kid)
    const same = byKid.get(jwk.kid)
    // The service takes the first key with a token's kid: a second one would never be tried.
    if (same && (thumbprint(same) !== thumbprint(jwk) || same.alg !== jwk.alg)) {
      throw new KeyError(name, 'has the same kid as another key, but is not the same key with the same alg: give each key a kid of its own')
    }
    byKid.set(jwk.kid, jwk)
  }
  return [...byKid.values()].slice(1)
}
