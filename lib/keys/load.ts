import type { KeyObject } from 'node:crypto'
import { KeyError } from '../errors.js'
import type { KeyAlgorithm } from './algorithms.js'
import { thumbprint, type PublicJwk } from './jwk.js'
import { readPrivateKey, readPublicKey, readPublicKeys, type ReadKey } from './read.js'

/** A JWK as base64, as JSON text or as an object, or PEM. */
export type KeySource = string | object

export interface KeyInputs {
  /** The private key that signs tokens. */
  signing?: KeySource | undefined
  /** The signing key's public half, if it is configured too: it has to match. */
  publicKey?: KeySource | undefined
  /** Further keys to publish, for rotation: any number in a text, and JWK Sets too. Of a private key, only the public half is used. */
  published?: KeySource | readonly KeySource[] | undefined
}

/** Names of the inputs in errors. */
export type KeyNames = Record<keyof KeyInputs, string>

export interface SigningKey {
  privateKey: KeyObject
  algorithm: KeyAlgorithm
  kid: string
}

export interface KeySet {
  signing: SigningKey
  /** The answer of `/jwks`: the public half of the signing key, then the further keys. */
  published: [PublicJwk, ...PublicJwk[]]
}

/**
 * Reads and checks all keys of a server. One key that the PowerSync Service cannot import makes it refuse all the
 * others, so every key is imported here first.
 *
 * A key's `kid` and `alg` are those of its JWK. Without `kid` it is the RFC 7638 thumbprint; without `alg` it is RS256
 * for RSA, and that of the curve for the others. A member that the signing key lacks is taken from `publicKey`.
 *
 * @throws {KeyError} if a key cannot be used, if `publicKey` is not the public half of `signing`, or if two keys have
 * the same `kid`. It never holds any part of a key.
 */
export function loadKeys ({ signing, publicKey, published }: KeyInputs, names: Partial<KeyNames> = {}): KeySet {
  const from: KeyNames = { signing: 'option keys.signing', publicKey: 'option keys.publicKey', published: 'option keys.published', ...names }
  const key = readPrivateKey(signing, from.signing)
  const half = publicKey === undefined ? undefined : readPublicKey(publicKey, from.publicKey)
  for (const member of ['publicKey', 'kid', 'alg'] as const) {
    if (half?.[member] === undefined || key[member] === undefined || isSame(key[member], half[member])) continue
    throw new KeyError(from.publicKey, member === 'publicKey'
      ? `is not the public half of the key in ${from.signing}: set both from one run of "npx powersync-mongo generate-keys", or leave ${from.publicKey} out`
      : `has another ${member} than the key in ${from.signing}: give both the same, or leave ${from.publicKey} out`)
  }
  const own = toPublicJwk({ ...half, ...key, alg: key.alg ?? half?.alg, kid: key.kid ?? half?.kid })

  const byKid = new Map([[own.kid, own]])
  const nameOf = (index: number) => `${from.published}[${index}]`
  for (const [index, further] of readPublicKeys(published, nameOf).entries()) {
    const jwk = toPublicJwk(further)
    const same = byKid.get(jwk.kid)
    // The service takes the first key with a token's kid: a second one would never be tried.
    if (same && (thumbprint(same) !== thumbprint(jwk) || same.alg !== jwk.alg)) {
      throw new KeyError(nameOf(index), 'has the same kid as another key, but is not the same key with the same alg: give each key a kid of its own')
    }
    byKid.set(jwk.kid, jwk)
  }
  return {
    signing: { privateKey: key.privateKey, algorithm: own.alg, kid: own.kid },
    published: [own, ...[...byKid.values()].slice(1)]
  }
}

function isSame (one: KeyObject | string, other: KeyObject | string): boolean {
  return typeof one === 'string' ? one === other : one.equals(other as KeyObject)
}

function toPublicJwk ({ publicKey, kid, alg, defaultAlgorithm }: ReadKey): PublicJwk {
  const jwk = publicKey.export({ format: 'jwk' })
  return { ...jwk, kid: kid ?? thumbprint(jwk), alg: alg ?? defaultAlgorithm, use: 'sig' } as PublicJwk
}
