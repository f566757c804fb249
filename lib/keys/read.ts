import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import type { KeyAlgorithm, PublicJwk } from '../../types/keys.js'
import { KeyError } from '../errors.js'
import { isPlain, typeWords } from '../type-words.js'
import { algorithmNames, algorithms, thumbprint } from './jwk.js'

// Errors of node:crypto and JSON.parse may quote their input: none of them becomes a cause or part of a message.

export interface ReadKey {
  publicKey: KeyObject
  /** With the default `alg` and `kid` where the key has none, as PEM never has. */
  jwk: PublicJwk
  given: { alg?: KeyAlgorithm, kid?: string }
}

/** Smaller RSA keys are rejected when a token is verified (RFC 7518 §3.3). */
const minimumModulusLength = 2048
const accepted = `RSA of at least ${minimumModulusLength} bits, P-256, P-384, P-521 or Ed25519`
const forms = 'base64 of a JWK, a JWK, or PEM'
const newPair = 'generate a new pair with "npx powersync-mongo generate-keys"'

/** One key as it was found: the text of PEM, or a JWK. */
type Form = string | Record<string, unknown>

/**
 * The public halves of all keys in a JWK, a JWK Set, PEM (SPKI, PKCS#1, PKCS#8, SEC1, X.509), JSON of these or base64
 * of that, several separated by commas or blanks; quotes and `\n` for line breaks may be left from a .env file.
 * @param source name of the input in errors
 */
export function readPublicKeys (input: unknown, source: (index: number) => string): ReadKey[] {
  return formsOf(input, source(0)).map((form, index) => publicHalf(form, source(index)))
}

/** As `readPublicKeys`, for an input that holds one key. */
export const readPublicKey = (input: unknown, source: string): ReadKey =>
  publicHalf(single(formsOf(input, source), source), source)

/** A private key may come with its public half. A signature checks that its members fit together. */
export function readPrivateKey (input: unknown, source: string): ReadKey & { privateKey: KeyObject } {
  const all = formsOf(input, source)
  const own = all.filter(form => typeof form === 'string' ? form.includes('PRIVATE KEY-----') : form['d'] !== undefined)
  const form = single(own.length > 0 ? own : all, source)
  const half = publicHalf(form, source)
  if (own.length === 0) {
    throw new KeyError(source, `is a public key: expected the private half. If it is lost, ${newPair}`)
  }
  const privateKey = importKey(form, createPrivateKey, source)
  if (!belongTogether(privateKey, half)) {
    const problem = 'is damaged: its private and public members are not of one pair'
    throw new KeyError(source, `${problem}. Copy it again, or ${newPair}`)
  }
  return { ...half, privateKey }
}

function single (found: Form[], source: string): Form {
  const [form] = found
  if (form === undefined) {
    throw new KeyError(source, `is missing: expected ${forms}. If there is no key yet, ${newPair}`)
  }
  if (found.length > 1) throw new KeyError(source, `holds ${found.length} keys: expected one`)
  return form
}

function formsOf (input: unknown, source: string): Form[] {
  if (input === undefined || input === null) return []
  if (Array.isArray(input)) return input.flatMap(each => formsOf(each, source))
  if (typeof input === 'string') return formsOfText(input, source)
  if (!isPlain(input)) throw new KeyError(source, `is ${typeWords(input)}: expected ${forms}`)
  return Array.isArray(input['keys']) ? formsOf(input['keys'], source) : [input]
}

/** A block of PEM, or JSON of a JWK or a JWK Set. */
const blocks = /-----BEGIN ([A-Z\d ]+)-----([^]*?)-----END \1-----|\{(?:[^{}]|\{[^{}]*\})*\}/g

function formsOfText (text: string, source: string): Form[] {
  const json = attempt(() => JSON.parse(text))
  if (['object', 'string'].includes(typeof json)) return formsOf(json, source)
  // A .env file may have the line breaks of PEM as the two characters \n, and quotes of JSON as \".
  const plain = text.replace(/\\r|\r|\uFEFF/g, '').replaceAll('\\n', '\n').replaceAll('\\"', '"')
  const found = [...plain.matchAll(blocks)].flatMap(([block, label, body = '']) => {
    if (label === undefined) return formsOf(attempt(() => JSON.parse(block)) ?? unreadable(source), source)
    // OpenSSL writes the parameters of a curve before its key.
    if (label.endsWith(' PARAMETERS')) return []
    if (label.startsWith('ENCRYPTED ') || body.includes('Proc-Type: 4,ENCRYPTED')) {
      throw new KeyError(source, `is PEM protected by a passphrase: store it without one, or ${newPair}`)
    }
    // With the line breaks that OpenSSL needs.
    const lines = body.replace(/\s+/g, '').replace(/.{1,64}/g, '$&\n')
    return [`-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`]
  })
  const outside = plain.replace(blocks, ' ')
  // PEM may come with explanatory text (RFC 7468 §2).
  if (plain.includes('-----END ') && !/[\w+/=-]{40}/.test(outside)) return found
  const rest = outside.split(/[,;'"`[\]]+/).map(part => part.trim()).filter(Boolean)
  return [...found, ...rest.flatMap(part => formsOfBase64(part, source))]
}

/** Base64 of one key, perhaps broken into lines, or of several separated by blanks. */
function formsOfBase64 (text: string, source: string): Form[] {
  const parts = text.split(/\s+/).map(decode)
  const whole = parts.every(isKeyText) ? parts : [decode(text)]
  if (!whole.every(isKeyText)) unreadable(source)
  return whole.flatMap(each => formsOfText(each, source))
}

const decode = (base64: string) => Buffer.from(base64, 'base64').toString().trim()
const isKeyText = (text: string) => /^[[{][^]*[\]}]$|-----BEGIN [^]*-----END /.test(text)

function unreadable (source: string): never {
  throw new KeyError(source, `cannot be read as a key: expected ${forms}. Check that it was copied whole, or ${newPair}`)
}

function attempt<Value> (work: () => Value): Value | undefined {
  try {
    return work()
  } catch {}
}

function publicHalf (form: Form, source: string): ReadKey {
  const { kty, crv, n, e, x, y, alg, kid, use }: Exclude<Form, string> = typeof form === 'string' ? {} : form
  const foreign = (kind: string) =>
    new KeyError(source, `is a key of the kind ${kind}: PowerSync takes ${accepted}; ${newPair}`)
  if (kty === 'oct') throw foreign('oct')
  // Without the private members: from these, newer versions of Node derive the key, and never look at the public ones.
  const publicForm = typeof form === 'string' ? form : { kty, crv, n, e, x, y }
  const publicKey = importKey(publicForm, createPublicKey, source)
  const { asymmetricKeyType: type, asymmetricKeyDetails = {} } = publicKey
  const { namedCurve, modulusLength = Infinity } = asymmetricKeyDetails
  const fitting = algorithmNames.filter(name => algorithms[name].type === type && algorithms[name].curve === namedCurve)
  const [byDefault] = fitting
  if (byDefault === undefined) throw foreign(namedCurve ?? String(type))
  if (modulusLength < minimumModulusLength) throw foreign(`RSA of ${modulusLength} bits`)

  const wrong = (member: string, expected: string) =>
    new KeyError(source, `is a JWK with an invalid ${member}: expected ${expected}, or no ${member}`)
  if (use !== undefined && use !== 'sig') throw wrong('use', '"sig"')
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) throw wrong('kid', 'text that is not empty')
  if (alg !== undefined && !fitting.includes(alg as KeyAlgorithm)) throw wrong('alg', fitting.join(', '))
  const given = { ...alg !== undefined && { alg: alg as KeyAlgorithm }, ...kid !== undefined && { kid } }
  const members = publicKey.export({ format: 'jwk' })
  const jwk = { ...members, kid: thumbprint(members), alg: byDefault, use: 'sig', ...given } as PublicJwk
  return { publicKey, jwk, given }
}

const importKey = (form: Form, create: typeof createPrivateKey | typeof createPublicKey, source: string): KeyObject =>
  attempt(() => create(typeof form === 'string' ? form : { key: form, format: 'jwk' })) ?? unreadable(source)

/** Node imports JWKs without comparing their members, and OpenSSL may refuse to sign with the result. */
function belongTogether (privateKey: KeyObject, { publicKey, jwk }: ReadKey): boolean | undefined {
  const data = Buffer.from('fastify-powersync-mongo')
  const { digest } = algorithms[jwk.alg]
  return attempt(() => verify(digest, data, publicKey, sign(digest, data, privateKey)))
}
