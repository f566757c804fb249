/** A server that answers as the test says, for what fastify-powersync-mongo itself never does. */
import { once } from 'node:events'
import Fastify, { type FastifyReply } from 'fastify'
import type { Test } from 'tap'

export interface ScriptedServer {
  url: string
  requests: Array<{ route: string, headers: Record<string, unknown>, body: any }>
  /** What the next `POST /upload` is answered with; the last one stays. */
  uploads: Answer[]
  /** The same of `GET /token`. Default: a token that counts up, good for five minutes. */
  tokens: Answer[]
  /** Number of requests to a route. */
  count (route: '/token' | '/upload'): number
}

/** A body that is sent with 200, or whatever the function does. */
export type Answer = object | ((reply: FastifyReply) => unknown)

export const status = (code: number) => (reply: FastifyReply) => reply.code(code).send({})

/** Never answers. */
export const silence = (reply: FastifyReply) => once(reply.raw, 'close')

export const success = { status: 'success' }
export const notAttempted = { status: 'not_attempted' }
export const retryable = { status: 'retryable_error', message: 'later', retry_after_ms: 5000 }
export const rejected = {
  error_code: 'INVALID_DATA',
  message: 'no date',
  operation_index: 0,
  details: { path: 'created_at' }
}
export const fatal = { status: 'fatal_error', requires_client_handling: false, failed_operation: rejected }
export const leftToClient = { ...fatal, requires_client_handling: true }

export async function scriptedServer (t: Pick<Test, 'teardown'>, ...uploads: Answer[]): Promise<ScriptedServer> {
  const server: ScriptedServer = {
    url: '',
    requests: [],
    uploads,
    tokens: [reply => reply.send(tokenAnswer({ token: `token${server.count('/token')}` }))],
    count: route => server.requests.filter(request => request.route === route).length
  }
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  const play = async (script: Answer[], reply: FastifyReply) => {
    const { routeOptions, headers, body } = reply.request
    server.requests.push({ route: routeOptions.url!, headers, body })
    const answer = script.length > 1 ? script.shift()! : script[0]!
    return typeof answer === 'function' ? await answer(reply) : answer
  }
  app.get('/token', (_request, reply) => play(server.tokens, reply))
  app.post('/upload', (_request, reply) => play(server.uploads, reply))
  server.url = await app.listen({ host: '127.0.0.1', port: 0 })
  return server
}

export function tokenAnswer ({ token = 'token', seconds = 300 } = {}) {
  return {
    token,
    powersync_url: 'https://instance.example',
    expires_at: new Date(Date.now() + seconds * 1000).toISOString()
  }
}

/** A token with these claims, which nobody signed. */
export const jwt = (claims: object) => `${encoded({ alg: 'none' })}.${encoded(claims)}.`
const encoded = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
