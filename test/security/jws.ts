/** Tokens made by hand, since no library makes the broken ones. */
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { keys, POWERSYNC_URL } from './harness.js'

export type Sign = (input: string) => Buffer

/** The server's own keys. */
export const serverKey = createPrivateKey({ key: { ...keys.privateKey }, format: 'jwk' })
export const publicKey = createPublicKey(serverKey)
export const { kid } = keys.privateKey

/** The attacker's own keys. */
export const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const ed25519 = generateKeyPairSync('ed25519')

export const withRsa = (key: KeyObject, digest = 'sha256'): Sign => input => sign(digest, Buffer.from(input), key)
export const withHmac =
  (secret: string | Buffer, digest = 'sha256'): Sign =>
    input =>
      createHmac(digest, secret).update(input).digest()
export const withEc: Sign = input =>
  sign('sha256', Buffer.from(input), { key: ec.privateKey, dsaEncoding: 'ieee-p1363' })
export const withEd25519: Sign = input => sign(null, Buffer.from(input), ed25519.privateKey)
export const unsigned: Sign = () => Buffer.alloc(0)

const now = () => Math.floor(Date.now() / 1000)

/** Claims of a good token of Alice's; undefined leaves one out. */
export const claims = (changed: Record<string, unknown> = {}) => ({
  sub: 'alice',
  aud: POWERSYNC_URL,
  iat: now(),
  exp: now() + 300,
  ...changed
})

export function jws (header: unknown, payload: unknown, signature: Sign): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${signature(input).toString('base64url')}`
}

export const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token that the server's own key has signed. */
export const own = (changed?: Record<string, unknown>, header: Record<string, unknown> = {}) =>
  jws({ alg: 'RS256', typ: 'JWT', kid, ...header }, claims(changed), withRsa(serverKey))

/** A token of Alice's under any header, signed by whoever. */
export const forged = (header: Record<string, unknown>, signature: Sign, changed?: Record<string, unknown>) =>
  jws({ typ: 'JWT', kid, ...header }, claims(changed), signature)
