import { exportJWK, generateKeyPair } from 'jose'
import { KeyError } from '../errors.js'
import { algorithmNames, type KeyAlgorithm } from './algorithms.js'
import { thumbprint, type PrivateJwk, type PublicJwk } from './jwk.js'

/** Which key pair to make. */
export interface GenerateKeysOptions {
  /** `RS256` unless given. */
  algorithm?: KeyAlgorithm | undefined
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
 * @throws {KeyError} `FST_PSM_KEY` for an unknown option or algorithm, and for an empty `kid`
 * @example
 * const { publicKeyBase64, privateKeyBase64 } = await generateKeys({ algorithm: 'ES256' })
 */
export async function generateKeys (options: GenerateKeysOptions = {}): Promise<GeneratedKeys> {
  const { algorithm = 'RS256', kid, ...others } = options
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new KeyError(`generateKeys: ${unknown}`, 'is an unknown option: expected algorithm or kid')
  if (!algorithmNames.includes(algorithm)) throw new KeyError('generateKeys: algorithm', `is unknown: expected one of ${algorithmNames.join(', ')}`)
  if (kid === '') throw new KeyError('generateKeys: kid', 'is empty: name the key, or leave the option out to use its thumbprint')

  const pair = await generateKeyPair(algorithm, { extractable: true })
  const jwk = await exportJWK(pair.publicKey)
  madeHere.add(thumbprint(jwk))
  const publicKey = { ...jwk, kid: kid ?? thumbprint(jwk), alg: algorithm, use: 'sig' } as PublicJwk
  const privateKey = { ...await exportJWK(pair.privateKey), ...publicKey } as PrivateJwk
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
