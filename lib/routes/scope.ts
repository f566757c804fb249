import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { OwnRouteOptions } from '../../types/index.js'
import { TooLargeError, UnauthorizedError, UnavailableError } from '../errors.js'
import { loggable } from '../observe/loggable.js'
import { passBodies } from '../wire/body.js'
import { openapi } from './schema.js'

/** Shields a scope's routes from the host's body parsers, compilers, serialisers and error handlers. Hooks do run. */
export function isolate (scope: FastifyInstance): void {
  passBodies(scope)
  // Schemas here are for OpenAPI: Fastify's own validator converts values, which corrupts data.
  scope.setValidatorCompiler(() => () => true)
  scope.setSerializerCompiler(() => JSON.stringify)
  scope.setReplySerializer(payload => JSON.stringify(payload))
  scope.setErrorHandler(answerError)
}

type Thrown = FastifyError & { status?: number, headers?: Record<string, string> }

/** Answers an error in Fastify's own form. Hooks of the host may throw other objects, as @fastify/rate-limit does. */
function answerError (error: Thrown, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode, status: other, code, message, headers = {} } = error
  // As Fastify itself: a hook may have set the status of the reply before it threw.
  const status = [reply.statusCode, statusCode, other].find(each => each! >= 400 && each! < 600) ?? 500
  const err = loggable(error)
  if (status >= 500) request.log.error({ err, req: request, res: reply }, message)
  else request.log.info({ err, res: reply }, message)
  // The rest of the body may still be on its way: it is dropped.
  request.raw.resume()
  if (error instanceof TooLargeError) closeAfter(request, reply)
  // RFC 9110 §15.5.2: Java's clients take a 401 without it for a failure of the network.
  if (error instanceof UnauthorizedError) headers['www-authenticate'] = 'Bearer'
  if (error instanceof UnavailableError) headers['retry-after'] = '5'
  const body = error instanceof Error ? { statusCode: status, code, error: STATUS_CODES[status], message } : error
  sendJson(reply.code(status).headers(headers), body)
}

/** Closes the connection after the answer. HTTP/2 has no such header, and Node warns of it. */
export function closeAfter ({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.httpVersionMajor === 1) reply.header('connection', 'close')
}

/** Sends text: for objects, `preSerialization` hooks of the host would run, which may wrap them. */
export function sendJson (reply: FastifyReply, body: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(body))
}

/**
 * Adds a route with the host's options. Its path may end with a slash or not, whatever the router of the host does.
 * @returns its method and path, for the log
 */
export function addRoute (scope: FastifyInstance, route: RouteOptions, own: OwnRouteOptions | undefined): string {
  const options = merge(route, own)
  scope.route(options)
  const name = `${options.method} ${(scope.prefix + options.url).replace('//', '/')}`
  const { ignoreTrailingSlash, routerOptions }: { ignoreTrailingSlash?: boolean, routerOptions?: unknown } =
    scope.initialConfig
  const path = options.url.replace(/\/$/, '')
  if (path === '' || ignoreTrailingSlash || Object(routerOptions).ignoreTrailingSlash) return name
  scope.route({ ...options, url: path === options.url ? `${path}/` : path, schema: { ...options.schema, hide: true } })
  return name
}

/** The host's options: its path replaces the route's, its schema adds to the route's, its `onSend` hooks run first. */
function merge (route: RouteOptions, own: OwnRouteOptions = {}): RouteOptions {
  return {
    ...own,
    ...route,
    // @fastify/response-validation would compile the schemas, which are for OpenAPI, by an Ajv of its own.
    ...{ responseValidation: false },
    url: own.url ?? route.url,
    onSend: [own.onSend ?? [], route.onSend ?? []].flat(),
    schema: { ...route.schema, ...own.schema },
    // fastify-raw-body would keep a second copy of each body, and stop at the host's limit.
    config: { ...openapi, ...{ rawBody: false }, ...own.config }
  }
}
