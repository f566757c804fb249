import { STATUS_CODES } from 'node:http'
import { Type, type TObject } from '@sinclair/typebox'
import type { FastifySchema } from 'fastify'
import { ErrorAnswer } from '../wire/schemas.js'

/** A route's schema with what @fastify/swagger reads, whether the host has it or not. */
export interface RouteSchema extends FastifySchema {
  summary: string
  description: string
  tags: string[]
  /** Who may call it. Absent: the bearer of a token, by `openapi` below. */
  security?: ReadonlyArray<Readonly<Record<string, readonly string[]>>>
}

interface Described {
  schema: FastifySchema & { security?: RouteSchema['security'] | undefined }
  url: string
  /** The document as far as it is made; absent for Swagger 2.0. */
  openapiObject?: { components?: { securitySchemes?: object } }
}

/**
 * Route configuration for @fastify/swagger: says that the bearer of a token may call the route, unless its schema has
 * `security`. The scheme is added to the document, in which @fastify/swagger does not take the name of one that is not
 * there; one of the host's own of this name stays.
 */
export const openapi = {
  swaggerTransform ({ schema, url, openapiObject }: Described) {
    const components = openapiObject?.components
    if (!components || schema.security) return { schema, url }
    components.securitySchemes = { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' }, ...components.securitySchemes }
    return { schema: { ...schema, security: [{ bearer: [] }] }, url }
  }
}

/** Some answers as examples, by name: @fastify/swagger puts them beside the schema. */
export const examples = (values: Record<string, unknown>) => ({
  'x-examples': Object.fromEntries(Object.entries(values).map(([summary, value]) => [summary.replaceAll(/\W+/g, '_'), { summary, value }]))
})

/** An error as it is answered. */
export const errorExample = (statusCode: number, code: string, message: string) => ({ statusCode, code, error: STATUS_CODES[statusCode], message })

/** Errors by status: when they come, and what `code` and `message` say then. */
export function errorAnswers (errors: Record<number, [when: string, code: string, message: string]>): Record<string, TObject> {
  const answers = Object.entries(errors).map(([status, [description, code, message]]) =>
    [status, Type.Object(ErrorAnswer.properties, { description, examples: [errorExample(Number(status), code, message)] })])
  return {
    ...Object.fromEntries(answers),
    '4xx': Type.Object(ErrorAnswer.properties, { description: 'Another mistake in the request, or a rule of the server\'s own, as a limit of its rate' }),
    '5xx': Type.Object(ErrorAnswer.properties, { description: 'A fault of the server: to be tried again' })
  }
}
