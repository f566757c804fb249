import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { RouteOptions } from 'fastify'
import type { PublicJwk } from '../../types/index.js'
import { routeSchema } from './schema.js'

const text = (description: string) => Type.String({ description })

const Jwk = Type.Object({
  kty: text('RSA, EC or OKP'),
  kid: text('the name of the key in tokens'),
  alg: Type.String(),
  use: text('sig'),
  n: Type.Optional(text('RSA: the modulus')),
  e: Type.Optional(text('RSA: the exponent')),
  crv: Type.Optional(text('EC and OKP: the curve')),
  x: Type.Optional(text('EC and OKP')),
  y: Type.Optional(text('EC'))
})

const coordinates = {
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU', y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0'
}
const example = { keys: [{ kty: 'EC', kid: '2026-01', alg: 'ES256', use: 'sig', crv: 'P-256', ...coordinates }] }

const description = 'The JWK Set (RFC 7517) for the JWKS URI of the PowerSync Service, public, cached for five minutes.'
const schema = routeSchema('Public keys for the PowerSync Service', description, {
  security: [],
  response: {
    200: Type.Object({ keys: Type.Array(Jwk) }, { description: 'The valid keys', examples: [example] }),
    304: Type.Null({ description: 'The ETag in If-None-Match is that of the valid keys' })
  }
})

/** `GET /jwks`: the public keys, as the PowerSync Service fetches them (RFC 7517). */
export function jwksRoute (keys: readonly PublicJwk[]): RouteOptions {
  const body = Buffer.from(JSON.stringify({ keys }))
  const etag = `"${createHash('sha256').update(body).digest('base64url')}"`
  const caching = { 'cache-control': 'public, max-age=300', etag }
  const headers = { ...caching, 'content-type': 'application/json; charset=utf-8' }
  return {
    method: 'GET',
    url: '/jwks',
    schema,
    handler (request, reply) {
      // One of several, and weak where a proxy has compressed the answer (RFC 9110 §13.1.2).
      const known = request.headers['if-none-match'] ?? ''
      if (known.includes(etag) || known === '*') return reply.code(304).headers(caching).send()
      return reply.headers(headers).send(body)
    }
  }
}
