import { STATUS_CODES } from 'node:http'
import { Type, type TObject } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import { ErrorAnswer } from '../wire/schemas.js'

/** Without `security`, the bearer of a token may call a route: see `openapi`. */
type Security = ReadonlyArray<Readonly<Record<string, readonly string[]>>>

export const routeSchema = (
  summary: string, description: string, parts: FastifySchema & { security?: Security }
): FastifySchema => ({ ...{ summary, description, tags: ['powersync'] }, ...parts })

interface Described {
  schema: FastifySchema & { security?: Security | undefined }
  url: string
  /** As far as it is generated; undefined for Swagger 2.0. */
  openapiObject?: { components?: { securitySchemes?: object } }
}

/** For @fastify/swagger: defines the bearer of a token as security scheme, unless the host has one by its name. */
export const openapi = {
  swaggerTransform ({ schema, url, openapiObject }: Described) {
    const components = openapiObject?.components
    if (!components || schema.security) return { schema, url }
    const bearer = { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }
    components.securitySchemes = { bearer, ...components.securitySchemes }
    return { schema: { ...schema, security: [{ bearer: [] }] }, url }
  }
}

/** Named examples, which @fastify/swagger puts beside the schema. */
export const examples = (values: Record<string, unknown>) => ({
  'x-examples': Object.fromEntries(
    Object.entries(values).map(([summary, value]) => [summary.replaceAll(/\W+/g, '_'), { summary, value }])
  )
})

const errors = {
  FST_PSM_BODY: [400, 'The body cannot be read'],
  FST_PSM_UNAUTHORIZED: [401, 'Nobody is signed in'],
  FST_PSM_TOO_LARGE: [413, 'The body is too large'],
  FST_PSM_MEDIA_TYPE: [415, 'The body is not JSON, or is encoded'],
  FST_PSM_AUTHENTICATION_UNAVAILABLE: [503, 'Authentication failed: try again'],
  FST_PSM_UNAVAILABLE: [503, 'The request cannot be processed at the moment: send it again']
} as const

type Code = keyof typeof errors

export function errorExample (code: Code, message: string) {
  const [statusCode] = errors[code]
  return { statusCode, code, error: STATUS_CODES[statusCode], message }
}

const answer = (description: string, more: object = {}) => Type.Object(ErrorAnswer.properties, { description, ...more })

/** The answers for errors, by status. @param messages an example for each code */
export function errorAnswers (messages: Partial<Record<Code, string>>): Record<string, TObject> {
  const answers = Object.entries(messages) as Array<[Code, string]>
  return {
    ...Object.fromEntries(answers.map(([code, message]) =>
      [errors[code][0], answer(errors[code][1], { examples: [errorExample(code, message)] })])),
    '4xx': answer('Another mistake in the request, or a rule of the server, such as a rate limit'),
    '5xx': answer('The server failed: try again')
  }
}
