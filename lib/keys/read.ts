import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import type { JsonWebKey, KeyObject } from 'node:crypto'
import { KeyError } from '../errors.js'
import { algorithms, algorithmsFor, keyTypes, minimumModulusLength } from './algorithms.js'
import type { KeyAlgorithm, KeyType } from './algorithms.js'

// Errors of node:crypto and JSON.parse may quote their input: none of them becomes a cause or part of a message.

export interface ReadPublicKey {
  publicKey: KeyObject
  /** What the JWK says; undefined for PEM, which has no such member. */
  alg: KeyAlgorithm | undefined
  kid: string | undefined
  /** The algorithm to use when nothing says another. */
  defaultAlgorithm: KeyAlgorithm
}

export interface ReadPrivateKey extends ReadPublicKey {
  privateKey: KeyObject
}

/**
 * Reads the public half of a key, of which the private half may be there too and is ignored.
 *
 * @param input base64 of JWK JSON, JWK JSON, a JWK object, or PEM (SPKI, PKCS#1, PKCS#8, SEC1, X.509)
 * @param source what the key is called in errors
 * @throws KeyError if it is not a key that PowerSync takes
 */
export function readPublicKey (input: unknown, source: string): ReadPublicKey {
  return publicHalf(parse(input, source), source)
}

/**
 * Reads a private key, and signs with it once to see that the public half belongs to it.
 *
 * @param input base64 of JWK JSON, JWK JSON, a JWK object, or PEM (PKCS#8, PKCS#1, SEC1)
 * @param source what the key is called in errors
 * @throws KeyError if it is not a private key that PowerSync takes the public half of
 */
export function readPrivateKey (input: unknown, source: string): ReadPrivateKey {
  const form = parse(input, source)
  if (!hasPrivateKey(form)) {
    throw new KeyError(source, `is a public key: the private half of the pair is needed here. If it is lost, ${newPair}`)
  }
  const half = publicHalf(form, source)
  const privateKey = importKey(form, 'private', source)
  if (!belongTogether(privateKey, half.publicKey, algorithms[half.defaultAlgorithm].digest)) {
    throw new KeyError(source, `is damaged: its private and public members are not of one pair. Copy it again, or ${newPair}`)
  }
  return { ...half, privateKey }
}

const newPair = 'make a new pair with "npx powersync-mongo generate-keys"'
const accepted = `RSA of at least ${minimumModulusLength} bits, P-256, P-384, P-521 and Ed25519`
const expectedForms = 'expected base64 of a JWK, a JWK, or PEM'

type Jwk = Record<string, unknown> & { kty: KeyType }
type KeyForm = { pem: string, jwk?: undefined } | { jwk: Jwk, pem?: undefined }

function parse (input: unknown, source: string): KeyForm {
  if (isObject(input)) return { jwk: checkJwk(input, source) }
  if (input === undefined || input === null) {
    throw new KeyError(source, `is missing: ${expectedForms}. If there is no key yet, ${newPair}`)
  }
  if (typeof input !== 'string') {
    throw new KeyError(source, `is ${Array.isArray(input) ? 'an array' : `a ${typeof input}`}: ${expectedForms}`)
  }
  const text = input.trim()
  if (text === '') {
    throw new KeyError(source, `is empty: ${expectedForms}. If there is no key yet, ${newPair}`)
  }
  if (text.includes('-----BEGIN ')) {
    // A .env file often has the line breaks of PEM as the two characters \n.
    return { pem: text.replaceAll('\\n', '\n') }
  }
  const jwk = parseJson(text.startsWith('{') ? text : Buffer.from(text, 'base64').toString())
  if (!isObject(jwk)) {
    throw new KeyError(source, `cannot be read as a key: ${expectedForms}. Check that it was copied whole and without quotes, or ${newPair}`)
  }
  return { jwk: checkJwk(jwk, source) }
}

function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkJwk (jwk: Record<string, unknown>, source: string): Jwk {
  if (jwk.kty === 'oct') {
    throw new KeyError(source, `is a symmetric key (kty "oct"), which cannot be published: use a key pair (${accepted}); ${newPair}`)
  }
  if (!isJwk(jwk)) {
    throw new KeyError(source, `is an object whose kty is ${quote(jwk.kty)}: expected a JWK with the kty "RSA", "EC" or "OKP"; ${newPair}`)
  }
  if (jwk.use !== undefined && jwk.use !== 'sig') {
    throw new KeyError(source, `is a JWK whose use is ${quote(jwk.use)}: expected "sig", or no use; ${newPair}`)
  }
  return jwk
}

function isJwk (jwk: Record<string, unknown>): jwk is Jwk {
  return typeof jwk.kty === 'string' && Object.hasOwn(keyTypes, jwk.kty)
}

/** Names of curves and algorithms are short; anything else might be part of a key. */
function quote (value: unknown): string {
  if (value === undefined) return 'missing'
  return typeof value === 'string' && /^[\w-]{1,12}$/.test(value) ? `"${value}"` : 'an unknown name'
}

function hasPrivateKey ({ jwk, pem }: KeyForm): boolean {
  return jwk ? jwk.d !== undefined : /^-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/m.test(pem) || isEncrypted(pem)
}

// PKCS#8 (RFC 5958), and the older form of OpenSSL.
function isEncrypted (pem: string): boolean {
  return /^(-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED)/m.test(pem)
}

function publicHalf (form: KeyForm, source: string): ReadPublicKey {
  const publicKey = importKey(form, 'public', source)
  const fitting = algorithmsFor(exportJwk(publicKey))
  const [defaultAlgorithm] = fitting
  if (defaultAlgorithm === undefined) {
    const { asymmetricKeyDetails, asymmetricKeyType } = publicKey
    throw new KeyError(source, `is a key of the kind ${asymmetricKeyDetails?.namedCurve ?? asymmetricKeyType}: PowerSync takes ${accepted}; ${newPair}`)
  }
  const modulusLength = publicKey.asymmetricKeyDetails?.modulusLength
  if (modulusLength !== undefined && modulusLength < minimumModulusLength) {
    throw new KeyError(source, `is an RSA key of ${modulusLength} bits: PowerSync takes ${minimumModulusLength} or more; ${newPair}`)
  }
  const alg = fitting.find((name) => name === form.jwk?.alg)
  if (form.jwk?.alg !== undefined && alg === undefined) {
    throw new KeyError(source, `is a JWK whose alg is ${quote(form.jwk.alg)}: for this key PowerSync takes ${fitting.join(', ')}`)
  }
  const kid = form.jwk?.kid
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) {
    throw new KeyError(source, 'is a JWK whose kid is not text, or empty: name the key, or leave kid out to use its thumbprint')
  }
  return { publicKey, alg, kid, defaultAlgorithm }
}

function importKey ({ jwk, pem }: KeyForm, half: 'private' | 'public', source: string): KeyObject {
  const create = half === 'private' ? createPrivateKey : createPublicKey
  if (jwk) {
    const key = membersOf(jwk, half, source)
    try {
      return create({ key, format: 'jwk' })
    } catch {
      const names = [jwk.kty, jwk.crv].filter((name) => name !== undefined).map(quote)
      throw new KeyError(source, `is a JWK of ${names.join(' ')} that cannot be imported: PowerSync takes ${accepted}. Copy it again, or ${newPair}`)
    }
  }
  if (isEncrypted(pem)) {
    throw new KeyError(source, `is PEM protected by a passphrase: store it without one, or ${newPair}`)
  }
  try {
    return create(pem)
  } catch {
    throw new KeyError(source, `is PEM that cannot be read: expected PKCS#8, PKCS#1 or SEC1 for a private key, SPKI or PKCS#1 for a public one. Copy it again, or ${newPair}`)
  }
}

function membersOf (jwk: Jwk, half: 'private' | 'public', source: string): JsonWebKey {
  const { publicMembers, privateMembers } = keyTypes[jwk.kty]
  const members: string[] = half === 'private' ? [...publicMembers, ...privateMembers] : [...publicMembers]
  const missing = members.filter((member) => typeof jwk[member] !== 'string' || jwk[member] === '')
  if (missing.length > 0) {
    throw new KeyError(source, `is a ${half} JWK of the kty "${jwk.kty}" without ${missing.join(', ')}: copy it again, or ${newPair}`)
  }
  return Object.fromEntries(['kty', ...members].map((member) => [member, jwk[member]]))
}

/** Some kinds of key (DSA, RSA-PSS, Brainpool curves) have no JWK form, and no algorithm of the table. */
function exportJwk (key: KeyObject): JsonWebKey {
  try {
    return key.export({ format: 'jwk' })
  } catch {
    return {}
  }
}

/** Node imports JWKs without comparing their members, and OpenSSL may refuse to sign with a key that is none. */
function belongTogether (privateKey: KeyObject, publicKey: KeyObject, digest: string | null): boolean {
  const data = Buffer.from('fastify-powersync-mongo')
  try {
    return verify(digest, data, publicKey, sign(digest, data, privateKey))
  } catch {
    return false
  }
}
