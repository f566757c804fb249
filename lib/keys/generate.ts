import { exportJWK, generateKeyPair } from 'jose'
import type { GeneratedKeys, GenerateKeysOptions, PrivateJwk, PublicJwk } from '../../types/keys.js'
import { KeyError } from '../errors.js'
import { typeWords } from '../type-words.js'
import { algorithmNames, thumbprint } from './jwk.js'

/**
 * Generates a key pair that signs PowerSync tokens. Keep the private half secret, and use one pair for all processes of
 * an app: tokens of an unpublished key are rejected. The base64 form is that of PowerSync's CloudCode template.
 *
 * @throws {KeyError} `FST_PSM_KEY` for an unknown option or algorithm, and for an empty `kid`
 * @example
 * const { publicKeyBase64, privateKeyBase64 } = await generateKeys({ algorithm: 'ES256' })
 */
export async function generateKeys (options: GenerateKeysOptions = {}): Promise<GeneratedKeys> {
  const { algorithm = 'RS256', kid, ...others } = options
  const fail = (option: string, problem: string) => new KeyError(`generateKeys: ${option}`, problem)
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw fail(unknown, 'is an unknown option: expected algorithm or kid')
  if (!algorithmNames.includes(algorithm)) {
    throw fail('algorithm', `is unknown: expected one of ${algorithmNames.join(', ')}`)
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) {
    throw fail('kid', `is ${kid === '' ? 'empty' : typeWords(kid)}: name the key, or omit the option to use its thumbprint`)
  }

  const pair = await generateKeyPair(algorithm, { extractable: true })
  const jwk = await exportJWK(pair.publicKey)
  generated.add(thumbprint(jwk))
  const publicKey = { ...jwk, kid: kid ?? thumbprint(jwk), alg: algorithm, use: 'sig' } as PublicJwk
  const privateKey = { ...await exportJWK(pair.privateKey), ...publicKey } as PrivateJwk
  return { publicKey, privateKey, publicKeyBase64: toBase64(publicKey), privateKeyBase64: toBase64(privateKey) }
}

const toBase64 = (jwk: PublicJwk) => Buffer.from(JSON.stringify(jwk)).toString('base64')

const generated = new Set<string>()

/** Whether `generateKeys()` generated this key in this process. */
export const wasGeneratedHere = (key: PublicJwk): boolean => generated.has(thumbprint(key))
