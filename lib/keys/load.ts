import type { KeyObject } from 'node:crypto'
import type { KeyAlgorithm, KeySource, PublicJwk } from '../../types/keys.js'
import { KeyError } from '../errors.js'
import { thumbprint } from './jwk.js'
import { readPrivateKey, readPublicKey, readPublicKeys, type ReadKey } from './read.js'

export interface KeyInputs {
  signing?: KeySource | undefined
  /** The public half of the signing key: it has to match. */
  publicKey?: KeySource | undefined
  /** Further keys to publish, for rotation. A text may hold several. Of a private key, the public half is used. */
  published?: KeySource | readonly KeySource[] | undefined
}

type KeyNames = Record<keyof KeyInputs, string>

export interface SigningKey { privateKey: KeyObject, algorithm: KeyAlgorithm, kid: string }

export interface KeySet {
  signing: SigningKey
  /** The answer of `/jwks`: the public half of the signing key, then the further keys. */
  published: [PublicJwk, ...PublicJwk[]]
}

/**
 * Reads and checks all keys of a server: the PowerSync Service refuses a whole set for one key that it cannot import.
 * `kid` and `alg` are those of the JWK, for the signing key also of `publicKey`; else the RFC 7638 thumbprint, and
 * RS256 or the algorithm of the curve.
 * @param names of the inputs in errors
 */
export function loadKeys ({ signing, publicKey, published }: KeyInputs, names?: Partial<KeyNames>): KeySet {
  const from = {
    signing: 'option keys.signing', publicKey: 'option keys.publicKey', published: 'option keys.published', ...names
  }
  const key = readPrivateKey(signing, from.signing)
  const half = publicKey === undefined ? undefined : readPublicKey(publicKey, from.publicKey)
  if (half) checkHalf(key, half, from)
  const own = { ...key.jwk, ...half?.given, ...key.given }

  const byKid = new Map([[own.kid, own]])
  const nameOf = (index: number) => `${from.published}[${index}]`
  for (const [index, { jwk }] of readPublicKeys(published, nameOf).entries()) {
    const same = byKid.get(jwk.kid)
    // The service takes the first key with a token's kid, and never tries a second one.
    if (same && (thumbprint(same) !== thumbprint(jwk) || same.alg !== jwk.alg)) {
      throw new KeyError(nameOf(index), 'has the same kid as another key, but another value or alg: change its kid')
    }
    byKid.set(jwk.kid, jwk)
  }
  const [, ...others] = byKid.values()
  return { signing: { privateKey: key.privateKey, algorithm: own.alg, kid: own.kid }, published: [own, ...others] }
}

function checkHalf (key: ReadKey, half: ReadKey, { signing, publicKey }: KeyNames): void {
  const remedy = `or omit ${publicKey}`
  if (!key.publicKey.equals(half.publicKey)) {
    const fix = `set both from one run of "npx powersync-mongo generate-keys", ${remedy}`
    throw new KeyError(publicKey, `is not the public half of the key in ${signing}: ${fix}`)
  }
  for (const member of ['kid', 'alg'] as const) {
    const [own, other] = [key.given[member], half.given[member]]
    if (own === undefined || other === undefined || own === other) continue
    throw new KeyError(publicKey, `has another ${member} than the key in ${signing}: give both the same, ${remedy}`)
  }
}
