import { STATUS_CODES } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import type { OwnRouteOptions } from '../../types/index.js'
import { TooLargeError, UnavailableError } from '../errors.js'
import { passBodies } from '../wire/body.js'
import { openapi } from './schema.js'

/**
 * Makes a scope's routes answer the same on any host: its body parsers, compilers, serialisers and error handlers, which
 * a scope inherits, have no effect here. Its hooks run as they do everywhere.
 */
export function isolate (scope: FastifyInstance): void {
  passBodies(scope)
  // Schemas here are for documents: Fastify's own validator converts values, which corrupts data.
  scope.setValidatorCompiler(() => () => true)
  scope.setSerializerCompiler(() => JSON.stringify)
  scope.setReplySerializer(payload => JSON.stringify(payload))
  scope.setErrorHandler(answerError)
}

/** An error in Fastify's own form. Hooks of the host may throw anything, as @fastify/rate-limit does. */
function answerError (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode = 500, code, message, headers = {} } = error as FastifyError & { headers?: Record<string, string> }
  const status = statusCode >= 400 ? statusCode : 500
  if (status >= 500) request.log.error({ err: error, req: request, res: reply }, message)
  else request.log.info({ err: error, res: reply }, message)
  // Part of the body may be on its way, and takes time that nobody wants to wait for.
  if (error instanceof TooLargeError) headers['connection'] = 'close'
  if (error instanceof UnavailableError) headers['retry-after'] = '5'
  sendJson(reply.code(status).headers(headers), error instanceof Error ? { statusCode: status, code, error: STATUS_CODES[status], message } : error)
}

/** As text: on objects the host's hooks `preSerialization` would run, which may wrap them. */
export function sendJson (reply: FastifyReply, body: unknown): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(body))
}

/** Adds a route with the host's options for it. Clients may end its path with a slash or not, whatever the host's router does. */
export function addRoute (scope: FastifyInstance, route: RouteOptions, own: OwnRouteOptions | undefined): void {
  const options = merge(route, own)
  scope.route(options)
  const { ignoreTrailingSlash, routerOptions } = scope.initialConfig as typeof scope.initialConfig & { routerOptions?: { ignoreTrailingSlash?: boolean } }
  const path = options.url.replace(/\/$/, '')
  if (path === '' || ignoreTrailingSlash || routerOptions?.ignoreTrailingSlash) return
  scope.route({ ...options, url: path === options.url ? `${path}/` : path, schema: { ...options.schema, hide: true } })
}

/** Schemas here are for documents: @fastify/response-validation would compile them by an Ajv of its own. */
const forLibraries = { responseValidation: false }

/** The host's route options beside the route's own: its path takes the place of the route's, its schema adds to the route's, its hooks run before. */
function merge (route: RouteOptions, own: OwnRouteOptions = {}): RouteOptions {
  const onSend = [own.onSend ?? [], route.onSend ?? []].flat()
  return { ...own, ...route, ...forLibraries, url: own.url ?? route.url, onSend, schema: { ...route.schema, ...own.schema }, config: { ...openapi, ...own.config } }
}
