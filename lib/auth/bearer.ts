import type { FastifyRequest } from 'fastify'

/** The token of `Authorization: Bearer`, or of `Token`, which PowerSync's SDKs send (RFC 6750 §2.1). */
export function bearerToken (request: FastifyRequest): string | undefined {
  return /^(?:Bearer|Token) +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
}
