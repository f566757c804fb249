/**
 * Someone who wants to be Alice, or to have the server ask where it should not, by a token that an identity provider
 * seems to have signed.
 */
import { KeyObject } from 'node:crypto'
import { keyPair, type TestIssuer } from '../support/issuer.js'
import { ISSUED_FOR, MARKER, nobody, type Attack, type Host } from './harness.js'
import { ec, ed25519, encode, jws, own, rsa, unsigned, withEc, withEd25519, withHmac, withRsa } from './jws.js'

const pair = await keyPair('RS256')
const privateKey = KeyObject.from(pair.privateKey)
const publicKey = KeyObject.from(pair.publicKey)
const PEM = publicKey.export({ type: 'spki', format: 'pem' }).toString()

const now = Math.floor(Date.now() / 1000)

/** Token of Alice's by the issuer's own key; undefined leaves a claim out. */
export const issued = (
  { url, keys: [key] }: TestIssuer,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
  sign = withRsa(privateKey)
) =>
  jws(
    { alg: 'RS256', typ: 'JWT', kid: key!.kid, ...header },
    { iss: url, aud: ISSUED_FOR, sub: 'alice', iat: now, exp: now + 3600, ...claims },
    sign
  )

/** By the attacker's key. */
const forged = (issuer: TestIssuer, header: Record<string, unknown> = {}, claims: Record<string, unknown> = {}) =>
  issued(issuer, claims, header, withRsa(rsa.privateKey))

const attackersJwk = { ...rsa.publicKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' }

type Make = (host: Pick<Host, 'issuer' | 'stranger'>) => string

/** Signed by the attacker, with keys that the attacker's own server has: nobody may ask that one. */
const elsewhere: Record<string, Make> = {
  'of another issuer, which has keys and a configuration': ({ issuer, stranger }) =>
    forged(issuer, {}, { iss: stranger.url }),
  'of another issuer by its own key': ({ stranger }) => issued(stranger),
  'of the cloud\'s metadata service': ({ issuer }) =>
    forged(issuer, {}, { iss: 'http://169.254.169.254/latest/meta-data' }),
  'of a file': ({ issuer }) => forged(issuer, {}, { iss: 'file:///etc/passwd' }),
  'of an issuer in the address itself': ({ issuer }) =>
    forged(
      issuer,
      {},
      { iss: `data:application/json,${encodeURIComponent(JSON.stringify({ keys: [attackersJwk] }))}` }
    ),
  'of the issuer with a user name before another host': ({ issuer, stranger }) =>
    forged(issuer, {}, { iss: `${issuer.url}@${new URL(stranger.url).host}` }),
  'of the issuer with another domain behind': ({ issuer }) =>
    forged(issuer, {}, { iss: `${issuer.url}.attacker.example` }),
  'of the issuer with a path to another': ({ issuer, stranger }) =>
    forged(issuer, {}, { iss: `${issuer.url}/../${stranger.url}` }),
  'of the issuer with a query': ({ issuer, stranger }) =>
    forged(issuer, {}, { iss: `${issuer.url}?x=${stranger.url}` }),
  'of the issuer with a fragment': ({ issuer, stranger }) =>
    forged(issuer, {}, { iss: `${issuer.url}#${stranger.url}` }),
  'of the issuer with a slash': ({ issuer }) => issued(issuer, { iss: `${issuer.url}/` }),
  'of the issuer with a blank': ({ issuer }) => issued(issuer, { iss: `${issuer.url} ` }),
  'of the issuer in capitals': ({ issuer }) => issued(issuer, { iss: issuer.url.toUpperCase() }),
  'of the issuer by another name of its host': ({ issuer }) =>
    issued(issuer, { iss: issuer.url.replace('127.0.0.1', 'localhost') }),
  'of the issuer and another': ({ issuer, stranger }) => issued(issuer, { iss: [issuer.url, stranger.url] }),
  'of any issuer': ({ issuer }) => issued(issuer, { iss: { $ne: null } }),
  'of no issuer': ({ issuer }) => issued(issuer, { iss: undefined }),
  'of an issuer without name': ({ issuer }) => issued(issuer, { iss: '' }),
  'of __proto__': ({ issuer }) => issued(issuer, { iss: '__proto__' }),
  'whose issuer is in its header': ({ issuer, stranger }) => forged(issuer, { iss: stranger.url }, { iss: undefined }),
  'of this server\'s own key': ({ issuer }) => own({ iss: issuer.url, aud: ISSUED_FOR }),
  'of this server\'s own key under the issuer\'s kid': ({ issuer }) =>
    own({ iss: issuer.url, aud: ISSUED_FOR }, { kid: issuer.keys[0]!.kid }),
  'whose key comes along (jwk)': ({ issuer }) => forged(issuer, { jwk: { ...attackersJwk, kid: issuer.keys[0]!.kid } }),
  'whose key is at another server (jku)': ({ issuer, stranger }) =>
    forged(issuer, { jku: stranger.jwksUri, kid: stranger.keys[0]!.kid }),
  'whose certificate is at another server (x5u)': ({ issuer, stranger }) =>
    forged(issuer, { x5u: `${stranger.url}/certificate` }),
  'whose certificate comes along (x5c)': ({ issuer }) =>
    forged(issuer, { x5c: [rsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')] })
}

const algorithms: Record<string, Make> = {
  'with alg none': ({ issuer }) => issued(issuer, {}, { alg: 'none' }, unsigned),
  'with alg None': ({ issuer }) => issued(issuer, {}, { alg: 'None' }, unsigned),
  'with alg none and a signature': ({ issuer }) => issued(issuer, {}, { alg: 'none' }),
  'without alg': ({ issuer }) => issued(issuer, {}, { alg: undefined }),
  'with two algs': ({ issuer }) => issued(issuer, {}, { alg: ['RS256', 'none'] }),
  'with alg in lower case': ({ issuer }) => issued(issuer, {}, { alg: 'rs256' }),
  'by HS256 with the issuer\'s public key as PEM': ({ issuer }) => issued(issuer, {}, { alg: 'HS256' }, withHmac(PEM)),
  'by HS256 with the issuer\'s public key as JWK': ({ issuer }) =>
    issued(issuer, {}, { alg: 'HS256' }, withHmac(JSON.stringify(issuer.keys[0]))),
  'by HS512 with the issuer\'s public key as PEM': ({ issuer }) =>
    issued(issuer, {}, { alg: 'HS512' }, withHmac(PEM, 'sha512')),
  'by RS512, which is not asked for': ({ issuer }) =>
    issued(issuer, {}, { alg: 'RS512' }, withRsa(privateKey, 'sha512')),
  'by RS256 with another key': ({ issuer }) => forged(issuer),
  'by ES256 under the kid of an RSA key': ({ issuer }) => issued(issuer, {}, { alg: 'ES256' }, withEc),
  'by EdDSA under the kid of an RSA key': ({ issuer }) => issued(issuer, {}, { alg: 'EdDSA' }, withEd25519),
  'by an EC key that comes along': ({ issuer }) =>
    issued(issuer, {}, { alg: 'ES256', jwk: ec.publicKey.export({ format: 'jwk' }) }, withEc),
  'by an Ed25519 key that comes along': ({ issuer }) =>
    issued(issuer, {}, { alg: 'EdDSA', jwk: ed25519.publicKey.export({ format: 'jwk' }) }, withEd25519),
  'with a critical extension': ({ issuer }) => issued(issuer, {}, { crit: ['urn:attack'], 'urn:attack': true }),
  'with an unencoded payload': ({ issuer }) => issued(issuer, {}, { crit: ['b64'], b64: false })
}

const kids: Record<string, Make> = {
  'with an empty kid': ({ issuer }) => issued(issuer, {}, { kid: '' }),
  'with an unknown kid': ({ issuer }) => issued(issuer, {}, { kid: 'unknown' }),
  'with a path as kid': ({ issuer }) => forged(issuer, { kid: '../../../../dev/null' }),
  'with an address as kid': ({ issuer, stranger }) => forged(issuer, { kid: stranger.jwksUri }),
  'with an operator as kid': ({ issuer }) => issued(issuer, {}, { kid: { $ne: null } }),
  'with several kids': ({ issuer }) => issued(issuer, {}, { kid: [issuer.keys[0]!.kid] }),
  'with __proto__ as kid': ({ issuer }) => forged(issuer, { kid: '__proto__' }),
  'with a line end in its kid': ({ issuer }) => forged(issuer, { kid: 'x\n{"forged":true}' }),
  'with a kid of 8 kB': ({ issuer }) => forged(issuer, { kid: 'k'.repeat(8000) })
}

/** By the issuer's own key: what it signed for others, or long ago. */
const contents: Record<string, Make> = {
  'for another app': ({ issuer }) => issued(issuer, { aud: 'another-api' }),
  'for several other apps': ({ issuer }) => issued(issuer, { aud: ['another-api', `${ISSUED_FOR}.attacker.example`] }),
  'for this app in capitals': ({ issuer }) => issued(issuer, { aud: ISSUED_FOR.toUpperCase() }),
  'for any app': ({ issuer }) => issued(issuer, { aud: { $ne: '' } }),
  'for no app': ({ issuer }) => issued(issuer, { aud: undefined }),
  'for an empty list of apps': ({ issuer }) => issued(issuer, { aud: [] }),
  'that ended two minutes ago': ({ issuer }) => issued(issuer, { exp: now - 120 }),
  'that never ends': ({ issuer }) => issued(issuer, { exp: undefined }),
  'that ends at text': ({ issuer }) => issued(issuer, { exp: String(now + 3600) }),
  'that ends at null': ({ issuer }) => issued(issuer, { exp: null }),
  'that was made in the future': ({ issuer }) => issued(issuer, { iat: now + 3600, exp: now + 7200 }),
  'that is not good yet': ({ issuer }) => issued(issuer, { nbf: now + 3600 }),
  'of nobody': ({ issuer }) => issued(issuer, { sub: undefined }),
  'of an empty name': ({ issuer }) => issued(issuer, { sub: '' }),
  'of a list': ({ issuer }) => issued(issuer, { sub: ['alice'] }),
  'of whoever is not null': ({ issuer }) => issued(issuer, { sub: { $ne: null } }),
  'of somebody with an id beside the sub': ({ issuer }) => issued(issuer, { sub: undefined, id: 'alice' }),
  'whose claims are inherited': ({ issuer }) =>
    jws(
      { alg: 'RS256', kid: issuer.keys[0]!.kid },
      `{"__proto__":{"iss":"${issuer.url}","aud":"${ISSUED_FOR}","sub":"alice","exp":${now + 3600}}}`,
      withRsa(privateKey)
    ),
  'whose claims were changed': ({ issuer }) =>
    issued(issuer, { sub: 'mallory' }).replace(
      /\.[^.]+\./,
      `.${encode({ iss: issuer.url, aud: ISSUED_FOR, sub: 'alice', exp: now + 3600 })}.`
    ),
  'without signature': ({ issuer }) => issued(issuer, {}, {}, unsigned)
}

const body = { batch: [{ op: 'PUT', table: 'lists', id: 'alice-list', data: { name: MARKER } }] }

export const issuers: Attack[] = Object.entries({ ...elsewhere, ...algorithms, ...kids, ...contents }).flatMap(
  ([name, make], index): Attack[] => [
    { name: `an upload with a token ${name}`, request: host => ({ token: make(host), body }), refused: nobody },
    // Where tokens are had it is the same door: some of them there.
    ...(index % 4
      ? []
      : [
          {
            name: `a token for a token ${name}`,
            request: (host: Host) => ({ method: 'GET' as const, url: '/token', token: make(host) }),
            refused: nobody
          }
        ])
  ]
)
