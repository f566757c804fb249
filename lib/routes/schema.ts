import type { FastifySchema } from 'fastify'

/** A route's schema with what @fastify/swagger reads, whether the host has it or not. */
export interface RouteSchema extends FastifySchema {
  summary: string
  tags: string[]
}
