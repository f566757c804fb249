import { Type } from '@sinclair/typebox'
import { createHash } from 'node:crypto'
import type { RouteOptions } from 'fastify'
import type { PublicJwk } from '../keys/jwk.js'
import type { RouteSchema } from './schema.js'

const Jwk = Type.Object({
  kty: Type.String(),
  kid: Type.String(),
  alg: Type.String(),
  use: Type.String(),
  n: Type.Optional(Type.String()),
  e: Type.Optional(Type.String()),
  crv: Type.Optional(Type.String()),
  x: Type.Optional(Type.String()),
  y: Type.Optional(Type.String())
})

const schema: RouteSchema = {
  summary: 'Public keys for the PowerSync Service',
  tags: ['powersync'],
  response: { 200: Type.Object({ keys: Type.Array(Jwk) }), 304: Type.Null({ description: 'Not modified' }) }
}

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
      if (request.headers['if-none-match'] === etag) return reply.code(304).headers(caching).send()
      return reply.headers(headers).send(body)
    }
  }
}
