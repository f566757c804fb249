import { KeyError } from '../errors.js'
import { algorithms, generatedAlgorithms, isGenerated } from './algorithms.js'
import type { GeneratedAlgorithm } from './algorithms.js'
import { thumbprint, toPrivateJwk, toPublicJwk } from './jwk.js'
import type { PrivateJwk, PublicJwk } from './jwk.js'

/** Which key pair to make. */
export interface GenerateKeysOptions {
  /** `RS256` unless given. */
  algorithm?: GeneratedAlgorithm | undefined
  /** The pair's name in tokens; its RFC 7638 thumbprint unless given. */
  kid?: string | undefined
}

/** A key pair, as JWKs and as the environment has them. */
export interface GeneratedKeys {
  publicKey: PublicJwk
  privateKey: PrivateJwk
  /** Base64 of the JWK as JSON, for `POWERSYNC_PUBLIC_KEY`. */
  publicKeyBase64: string
  /** Base64 of the JWK as JSON, for `POWERSYNC_PRIVATE_KEY`. */
  privateKeyBase64: string
}

/**
 * Makes a new key pair to sign PowerSync tokens with. Keep the private half secret, and use one pair for all
 * processes of an app: tokens signed with a key that is not published are refused.
 *
 * The base64 form is that of PowerSync's CloudCode template and Node demo.
 *
 * @throws KeyError if `algorithm` is not one of RS256, ES256 and EdDSA, or `kid` is empty
 * @example
 * const { publicKeyBase64, privateKeyBase64 } = await generateKeys({ algorithm: 'ES256' })
 */
export async function generateKeys ({ algorithm = 'RS256', kid }: GenerateKeysOptions = {}): Promise<GeneratedKeys> {
  if (!isGenerated(algorithm)) {
    throw new KeyError('generateKeys: algorithm', `is not one that keys are generated for: use ${generatedAlgorithms.join(', ')}`)
  }
  if (kid === '') {
    throw new KeyError('generateKeys: kid', 'is empty: give the key a name, or leave the option out to use its thumbprint')
  }
  const pair = await algorithms[algorithm].generate()
  const publicKey = toPublicJwk(pair.publicKey, algorithm, kid)
  const privateKey = toPrivateJwk(pair.privateKey, publicKey)
  madeHere.add(thumbprint(publicKey))
  return { publicKey, privateKey, publicKeyBase64: toBase64(publicKey), privateKeyBase64: toBase64(privateKey) }
}

/** Thumbprints of the keys of this process: they say nothing of the private halves. */
const madeHere = new Set<string>()

/** Whether `generateKeys()` made this key in this process, in whatever form it came back. */
export function wasMadeHere (key: PublicJwk): boolean {
  return madeHere.has(thumbprint(key))
}

function toBase64 (jwk: PublicJwk): string {
  return Buffer.from(JSON.stringify(jwk)).toString('base64')
}
