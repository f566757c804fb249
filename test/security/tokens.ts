/** Someone without a good token, who wants to be Alice. */
import { nobody, MARKER, POWERSYNC_URL, keys, type Attack, type AttackRequest } from './harness.js'
import {
  claims, ec, ed25519, encode, forged, jws, kid, own, publicKey, rsa, serverKey, unsigned, withEc, withEd25519,
  withHmac, withRsa
} from './jws.js'

const PEM = publicKey.export({ type: 'spki', format: 'pem' }).toString()
const jwk = JSON.stringify(keys.publicKey)
const now = Math.floor(Date.now() / 1000)

/** What each of them would write. */
const body = { batch: [{ op: 'PUT', table: 'lists', id: 'alice-list', data: { name: MARKER } }] }
const bearing = (token: string): AttackRequest => ({ token, body })

const algorithms: Record<string, string> = {
  none: forged({ alg: 'none' }, unsigned),
  'None, NONE': forged({ alg: 'None' }, unsigned),
  'none with a signature': forged({ alg: 'none' }, withRsa(rsa.privateKey)),
  'no alg': forged({}, withRsa(rsa.privateKey)),
  'alg null': forged({ alg: null }, withRsa(serverKey)),
  'alg in an array': forged({ alg: ['RS256'] }, withRsa(serverKey)),
  'alg as an object': forged({ alg: { $ne: 'RS256' } }, withRsa(serverKey)),
  'alg in lower case': forged({ alg: 'rs256' }, withRsa(serverKey)),
  'alg with a blank': forged({ alg: 'RS256 ' }, withRsa(serverKey)),
  'HS256 with the public key as PEM': forged({ alg: 'HS256' }, withHmac(PEM)),
  'HS256 with the public key as PEM without its last line end': forged({ alg: 'HS256' }, withHmac(PEM.trim())),
  'HS256 with the public key as PKCS#1 PEM': forged(
    { alg: 'HS256' },
    withHmac(publicKey.export({ type: 'pkcs1', format: 'pem' }))
  ),
  'HS256 with the public key as DER': forged(
    { alg: 'HS256' },
    withHmac(publicKey.export({ type: 'spki', format: 'der' }))
  ),
  'HS256 with the public key as JWK': forged({ alg: 'HS256' }, withHmac(jwk)),
  'HS256 with the modulus': forged({ alg: 'HS256' }, withHmac(Buffer.from(keys.publicKey.n!, 'base64url'))),
  'HS256 with the public key as the variable has it': forged(
    { alg: 'HS256' },
    withHmac(Buffer.from(jwk).toString('base64'))
  ),
  'HS256 with an empty key': forged({ alg: 'HS256' }, withHmac('')),
  'HS384 with the public key as PEM': forged({ alg: 'HS384' }, withHmac(PEM, 'sha384')),
  'HS512 with the public key as PEM': forged({ alg: 'HS512' }, withHmac(PEM, 'sha512')),
  'RS512 with the server\'s own key': forged({ alg: 'RS512' }, withRsa(serverKey, 'sha512')),
  'RS256 with another key': forged({ alg: 'RS256' }, withRsa(rsa.privateKey)),
  'ES256 with another key': forged({ alg: 'ES256' }, withEc),
  'EdDSA with another key': forged({ alg: 'EdDSA' }, withEd25519)
}

const attackersJwk = { ...rsa.publicKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' }
const rs256 = (header: Record<string, unknown>) => forged({ alg: 'RS256', ...header }, withRsa(rsa.privateKey))

const headers: Record<string, string> = {
  'jwk: the key comes along': rs256({ jwk: attackersJwk }),
  'jwk of an EC key': forged({ alg: 'ES256', jwk: ec.publicKey.export({ format: 'jwk' }) }, withEc),
  'jwk of an Ed25519 key': forged({ alg: 'EdDSA', jwk: ed25519.publicKey.export({ format: 'jwk' }) }, withEd25519),
  'jku: the key is at the attacker\'s': rs256({ jku: 'http://127.0.0.1:9/jwks' }),
  'jku: the key is in the address': rs256({
    jku: `data:application/json,${encodeURIComponent(JSON.stringify({ keys: [attackersJwk] }))}`
  }),
  'x5u: the certificate is at the attacker\'s': rs256({ x5u: 'http://169.254.169.254/latest/meta-data/' }),
  'x5c: the certificate comes along': rs256({
    x5c: [rsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')]
  }),
  'kid that is a path to an empty file': forged({ alg: 'HS256', kid: '../../../../../../dev/null' }, withHmac('')),
  'kid that is a path to a known file': forged(
    { alg: 'HS256', kid: '/proc/sys/kernel/randomize_va_space' },
    withHmac('2\n')
  ),
  'kid with SQL': forged({ alg: 'HS256', kid: "x' UNION SELECT 'key" }, withHmac('key')),
  'kid with a NoSQL operator': rs256({ kid: { $ne: null } }),
  'kid with a command': rs256({ kid: '$(id)|id;id' }),
  'kid of 100 kB': rs256({ kid: 'k'.repeat(100_000) }),
  'kid with NUL and a line end': rs256({ kid: `${kid}\0\n{"forged":true}` }),
  'kid __proto__': rs256({ kid: '__proto__' }),
  'crit that nobody knows': own({}, { crit: ['urn:attack'], 'urn:attack': true }),
  'crit without names': own({}, { crit: [] }),
  'crit with an unencoded payload': own({}, { crit: ['b64'], b64: false }),
  'a header that is no object': jws('"RS256"', claims(), withRsa(serverKey)),
  'a header that is no JSON': jws('{', claims(), withRsa(serverKey))
}

/** Signed with the server's own key, as after a leak, or by another part of the system: still not good for uploads. */
const contents: Record<string, string> = {
  'of another instance': own({ aud: 'https://other.powersync.example' }),
  'of an instance whose URL begins like this one\'s': own({ aud: `${POWERSYNC_URL}.attacker.example` }),
  'of this instance in capitals': own({ aud: POWERSYNC_URL.toUpperCase() }),
  'of several others': own({ aud: ['https://a.example', 'https://b.example'] }),
  'for nobody\'s instance': own({ aud: undefined }),
  'for an empty list of instances': own({ aud: [] }),
  'with an operator for an audience': own({ aud: { $ne: '' } }),
  'from another issuer': forged({ alg: 'RS256', kid: undefined }, withRsa(rsa.privateKey), {
    iss: 'https://attacker.example'
  }),
  'that ended a second ago': own({ iat: now - 300, exp: now - 1 }),
  'that ended a year ago': own({ iat: now - 31_536_000, exp: now - 31_535_700 }),
  'that never ends': own({ exp: undefined }),
  'that ends at text': own({ exp: String(now + 300) }),
  'that ends at null': own({ exp: null }),
  'that ends before 1970': own({ exp: -1 }),
  'that is not good yet': own({ nbf: now + 3600 }),
  'that was made in the future': own({ iat: now + 3600, exp: now + 7200 }),
  'that was made at no time': own({ iat: undefined }),
  'that is good for a century': own({ exp: now + 3_153_600_000 }),
  'of nobody': own({ sub: undefined }),
  'of null': own({ sub: null }),
  'of an empty name': own({ sub: '' }),
  'of a number': own({ sub: 1 }),
  'of a list': own({ sub: ['alice'] }),
  'of whoever is not null': own({ sub: { $ne: null } }),
  'of true': own({ sub: true }),
  'whose claims are text': jws({ alg: 'RS256', kid }, '"alice"', withRsa(serverKey)),
  'whose claims are a list': jws({ alg: 'RS256', kid }, [claims()], withRsa(serverKey)),
  'whose claims are inherited': jws(
    { alg: 'RS256', kid },
    `{"__proto__":${JSON.stringify(claims())}}`,
    withRsa(serverKey)
  ),
  'whose claims are no JSON': jws({ alg: 'RS256', kid }, '{', withRsa(serverKey))
}

const good = own({ sub: 'mallory' })
const [header, payload, signature] = good.split('.') as [string, string, string]

const forms: Record<string, string> = {
  'without signature': `${header}.${payload}.`,
  'without signature and its dot': `${header}.${payload}`,
  'with half a signature': `${header}.${payload}.${signature.slice(0, signature.length / 2)}`,
  'with other claims under the signature': `${header}.${encode(claims())}.${signature}`,
  'with another header over the claims': `${encode({ alg: 'RS256', kid, x: 1 })}.${payload}.${signature}`,
  'with a part more': `${good}.${payload}`,
  'with five parts, as an encrypted one': `${encode({ alg: 'dir', enc: 'A256GCM' })}.....`.slice(0, -1),
  'with padding': `${good}=`,
  'with a line end inside': `${header}.\n${payload}.${signature}`,
  'with a blank inside': `${header}. ${payload}.${signature}`,
  'with text after a blank': `${good} x`,
  'with NUL behind': `${good}\0`,
  'of dots': '..',
  'of nothing': '',
  null: 'null',
  'of 1 MB': 'a'.repeat(1_000_000)
}

const table = (kind: string, tokens: Record<string, string>): Attack[] =>
  Object.entries(tokens).map(([name, token]) => ({ name: `${kind} ${name}`, request: bearing(token), refused: nobody }))

const upload = (headers: string, content = JSON.stringify(body)) =>
  `POST /upload HTTP/1.1\r\nhost: attacked\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${content.length}\r\n${headers}\r\n${content}`

/** Good tokens in places where they do not count. */
const places: Attack[] = [
  { name: 'no token', request: { token: null, body }, refused: nobody },
  {
    name: 'a good token in the query string',
    request: { token: null, url: `/upload?token=${good}&access_token=${good}`, body },
    refused: nobody
  },
  {
    name: 'a good token in a cookie',
    request: { token: null, headers: { cookie: `token=${good}` }, body },
    refused: nobody
  },
  { name: 'a good token in the body', request: { token: null, body: { ...body, token: good } }, refused: nobody },
  {
    name: 'a good token as Basic',
    request: { token: null, headers: { authorization: `Basic ${good}` }, body },
    refused: nobody
  },
  {
    name: 'a good token without scheme',
    request: { token: null, headers: { authorization: good }, body },
    refused: nobody
  },
  {
    name: 'a good token and another one in one header',
    request: { token: null, headers: { authorization: `Bearer ${good}, Bearer ${own()}` }, body },
    refused: nobody
  },
  {
    name: 'a good token and a forged one in two headers',
    request: {
      raw: upload(`authorization: Bearer ${good}\r\nAuthorization: Bearer ${forged({ alg: 'none' }, unsigned)}\r\n`)
    },
    refused: nobody
  },
  {
    name: 'a forged token and a good one in two headers',
    request: {
      raw: upload(`authorization: Bearer ${forged({ alg: 'none' }, unsigned)}\r\nAuthorization: Bearer ${good}\r\n`)
    },
    refused: nobody
  },
  {
    name: 'somebody\'s session guessed',
    request: { token: null, headers: { 'x-session': '__proto__' }, body },
    refused: nobody
  },
  { name: 'a token for a token', request: { method: 'GET', url: '/token', token: good }, refused: nobody },
  {
    name: 'a token for whom the query string names',
    request: { method: 'GET', url: '/token?user_id=alice&sub=alice', token: null },
    refused: nobody
  },
  {
    name: 'a token for whom the query string does not name',
    request: { method: 'GET', url: '/token?user_id[$ne]=mallory', token: null },
    refused: nobody
  },
  {
    name: 'a checkpoint for nobody',
    request: { method: 'PUT', url: '/checkpoint', token: null, body: { client_id: 'alice-phone' } },
    refused: nobody
  },
  {
    name: 'a checkpoint with a forged token',
    request: { method: 'PUT', url: '/checkpoint', token: algorithms['none']!, body: { client_id: 'alice-phone' } },
    refused: nobody
  }
]

export const tokens: Attack[] = [
  ...table('a token with the algorithm', algorithms),
  ...table('a token with the header', headers),
  ...table('a token', contents),
  ...table('a token', forms),
  ...places
]
