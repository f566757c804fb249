import type { User } from '../types/hooks.js'
import { ClaimError } from './errors.js'

/** Looked for on any object: by the language, the driver, and what prints or compares values (Node.js, pino, test frameworks). */
const probed = new Set<PropertyKey>(['then', 'toJSON', 'toBSON', '_bsontype', 'pipe', 'pipeTo', 'write', 'nodeType', '$$typeof', 'asymmetricMatch', 'inspect'])

const mark = Symbol('user')

/**
 * The user as hooks and rules see it, read-only: `{ id, ...claims }`. Reading a property that no claim carries throws a
 * `ClaimError`, so that a missing claim never decides what a user may do.
 */
export function userOf (id: string, claims: Readonly<Record<string, unknown>>): User {
  const properties = Object.freeze(Object.defineProperty({ ...claims, id }, mark, { value: true, enumerable: false }))
  return new Proxy(properties, {
    get (target, property, receiver) {
      if (typeof property === 'symbol' || property in target || probed.has(property)) return Reflect.get(target, property, receiver)
      throw new ClaimError(property)
    }
  }) as User
}

/** Whether `userOf` made it. */
export const isUser = (value: object): boolean => mark in value

/** What a user has beside the id. */
export function claimsOf ({ id, ...claims }: User): Record<string, unknown> {
  return claims
}
