import { createPrivateKey, createPublicKey, sign, verify, type JsonWebKey, type KeyObject } from 'node:crypto'
import { KeyError } from '../errors.js'
import { algorithmNames, algorithms, type KeyAlgorithm } from './algorithms.js'

// Errors of node:crypto and JSON.parse may quote their input: none of them becomes a cause or part of a message.

export interface ReadKey {
  publicKey: KeyObject
  /** As the JWK says; undefined for PEM, which has no such member. */
  alg: KeyAlgorithm | undefined
  kid: string | undefined
  /** The algorithm to use when nothing says another. */
  defaultAlgorithm: KeyAlgorithm
}

/** RSA keys below this many bits are refused when a token is verified (RFC 7518 §3.3). */
const minimumModulusLength = 2048
const accepted = `RSA of at least ${minimumModulusLength} bits, P-256, P-384, P-521 or Ed25519`
const newPair = 'make a new pair with "npx powersync-mongo generate-keys"'

type Jwk = Record<string, unknown>
/** One key as it was found: the text of PEM, or a JWK. */
type Form = string | Jwk

/**
 * The public halves of all keys in a text or an object. Private halves may be there too and are ignored.
 *
 * @param input a JWK, a JWK Set, PEM (SPKI, PKCS#1, PKCS#8, SEC1, X.509), JSON of these or base64 of that, in quotes or
 * not, with `\n` in place of line breaks or not; any number of them, between which are commas or blanks
 * @param source name of the input in errors
 * @throws {KeyError} for a key that PowerSync does not take
 */
export function readPublicKeys (input: unknown, source: (index: number) => string): ReadKey[] {
  return formsOf(input, source(0)).map((form, index) => publicHalf(form, source(index)))
}

/** As `readPublicKeys`, for an input that holds one key. */
export function readPublicKey (input: unknown, source: string): ReadKey {
  return publicHalf(single(formsOf(input, source), source), source)
}

/**
 * Reads a private key, beside which its public half may be, and signs with it once to see that its halves are of one pair.
 * @throws {KeyError} for a key of which PowerSync does not take the public half
 */
export function readPrivateKey (input: unknown, source: string): ReadKey & { privateKey: KeyObject } {
  const forms = formsOf(input, source)
  const own = forms.filter(isPrivate)
  const form = single(own.length > 0 ? own : forms, source)
  const half = publicHalf(form, source)
  if (own.length === 0) throw new KeyError(source, `is a public key: the private half of the pair is needed here. If it is lost, ${newPair}`)
  const privateKey = importKey(form, createPrivateKey, source)
  if (!belongTogether(privateKey, half.publicKey, algorithms[half.defaultAlgorithm].digest)) {
    throw new KeyError(source, `is damaged: its private and public members are not of one pair. Copy it again, or ${newPair}`)
  }
  return { ...half, privateKey }
}

function single (forms: Form[], source: string): Form {
  const [form] = forms
  if (form === undefined) throw new KeyError(source, `is missing: expected base64 of a JWK, a JWK, or PEM. If there is no key yet, ${newPair}`)
  if (forms.length > 1) throw new KeyError(source, `holds ${forms.length} keys: expected one`)
  return form
}

function formsOf (input: unknown, source: string): Form[] {
  if (input === undefined || input === null) return []
  if (Array.isArray(input)) return input.flatMap(each => formsOf(each, source))
  if (typeof input === 'string') return formsOfText(input, source)
  if (typeof input !== 'object') throw new KeyError(source, `is a ${typeof input}: expected base64 of a JWK, a JWK, or PEM`)
  const { keys } = input as { keys?: unknown }
  return Array.isArray(keys) ? formsOf(keys, source) : [input as Jwk]
}

/** A block of PEM, or JSON of a JWK or a JWK Set. */
const blocks = /-----BEGIN ([A-Z\d ]+)-----([^]*?)-----END \1-----|\{(?:[^{}]|\{[^{}]*\})*\}/g

function formsOfText (text: string, source: string): Form[] {
  // A .env file may have the line breaks of PEM as the two characters \n, and quotes of JSON as \".
  const plain = text.replace(/\\r|\r|\uFEFF/g, '').replaceAll('\\n', '\n').replaceAll('\\"', '"')
  const found = [...plain.matchAll(blocks)].flatMap(([block, label, body = '']) => {
    if (label === undefined) return formsOf(parseJson(block, source), source)
    // OpenSSL writes the parameters of a curve before its key.
    return label.endsWith(' PARAMETERS') ? [] : [toPem(label, body, source)]
  })
  const outside = plain.replace(blocks, ' ')
  // Around PEM there may be a text that explains it (RFC 7468 §2).
  if (plain.includes('-----END ') && !/[\w+/=-]{40}/.test(outside)) return found
  const rest = outside.split(/[,;'"`[\]]+/).map(part => part.trim()).filter(Boolean)
  return [...found, ...rest.flatMap(part => formsOfBase64(part, source))]
}

/** Base64 of one key, which may be broken into lines, or of several with blanks between. */
function formsOfBase64 (text: string, source: string): Form[] {
  const parts = text.split(/\s+/).map(decode)
  const whole = parts.every(isKeyText) ? parts : [decode(text)]
  if (!whole.every(isKeyText)) throw unreadable(source)
  return whole.flatMap(each => formsOfText(each, source))
}

const decode = (base64: string) => Buffer.from(base64, 'base64').toString().trim()
const isKeyText = (text: string) => /^[[{][^]*[\]}]$|-----BEGIN [^]*-----END /.test(text)

function unreadable (source: string): Error {
  return new KeyError(source, `cannot be read as a key: expected base64 of a JWK, a JWK, or PEM. Check that it was copied whole, or ${newPair}`)
}

function parseJson (text: string, source: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw unreadable(source)
  }
}

/** PEM with the line breaks that OpenSSL wants, whatever became of them on the way. */
function toPem (label: string, body: string, source: string): string {
  if (/^ENCRYPTED /.test(label) || body.includes('Proc-Type: 4,ENCRYPTED')) throw new KeyError(source, `is PEM protected by a passphrase: store it without one, or ${newPair}`)
  return `-----BEGIN ${label}-----\n${body.replace(/\s+/g, '').replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`
}

function isPrivate (form: Form): boolean {
  return typeof form === 'string' ? form.includes('PRIVATE KEY-----') : form['d'] !== undefined
}

function publicHalf (form: Form, source: string): ReadKey {
  const jwk: Jwk = typeof form === 'string' ? {} : form
  if (jwk['kty'] === 'oct') throw foreign('oct', source)
  // Without the private members, or newer versions of Node derive the key from them and never look at the public ones.
  const { kty: type, crv: curve, n, e, x, y } = jwk
  const publicForm = typeof form === 'string' ? form : { kty: type, crv: curve, n, e, x, y }
  const publicKey = importKey(publicForm, createPublicKey, source)
  const { namedCurve, modulusLength } = publicKey.asymmetricKeyDetails ?? {}
  const { kty, crv } = exportJwk(publicKey)
  const fitting = algorithmNames.filter(name => algorithms[name].kty === kty && algorithms[name].crv === crv)
  const [defaultAlgorithm] = fitting
  if (defaultAlgorithm === undefined) throw foreign(namedCurve ?? String(publicKey.asymmetricKeyType), source)
  if (modulusLength !== undefined && modulusLength < minimumModulusLength) throw foreign(`RSA of ${modulusLength} bits`, source)

  const { alg, kid, use } = jwk
  const wrong = (member: string, expected: string) => new KeyError(source, `is a JWK with another ${member} than PowerSync takes for it: expected ${expected}, or no ${member}`)
  if (use !== undefined && use !== 'sig') throw wrong('use', '"sig"')
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) throw wrong('kid', 'text that is not empty')
  if (alg !== undefined && !fitting.includes(alg as KeyAlgorithm)) throw wrong('alg', fitting.join(', '))
  return { publicKey, alg: alg as KeyAlgorithm | undefined, kid, defaultAlgorithm }
}

function foreign (kind: string, source: string): Error {
  return new KeyError(source, `is a key of the kind ${kind}: PowerSync takes ${accepted}; ${newPair}`)
}

function importKey (form: Form, create: (key: string | { key: JsonWebKey, format: 'jwk' }) => KeyObject, source: string): KeyObject {
  try {
    return create(typeof form === 'string' ? form : { key: form, format: 'jwk' })
  } catch {
    throw unreadable(source)
  }
}

/** Some kinds of key (DSA, RSA-PSS, Brainpool curves) have no JWK form, and no algorithm of the table. */
function exportJwk (key: KeyObject): JsonWebKey {
  try {
    return key.export({ format: 'jwk' })
  } catch {
    return {}
  }
}

/** Node imports JWKs without comparing their members, and OpenSSL may refuse to sign with the result. */
function belongTogether (privateKey: KeyObject, publicKey: KeyObject, digest: string | null): boolean {
  const data = Buffer.from('fastify-powersync-mongo')
  try {
    return verify(digest, data, publicKey, sign(digest, data, privateKey))
  } catch {
    return false
  }
}
