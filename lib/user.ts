import type { User } from '../types/hooks.js'
import { ClaimError } from './errors.js'

/** Read on any object by the language, the driver, and code that prints or compares values (Node.js, pino, tests). */
const probed = new Set([
  'then', 'toJSON', 'toBSON', '_bsontype', 'pipe', 'pipeTo', 'write', 'nodeType', '$$typeof', 'asymmetricMatch',
  'inspect'
])

const mark = Symbol('user')

/**
 * The user as hooks and rules see it, read-only: `{ id, ...claims }`. Reading another property throws a `ClaimError`,
 * so that a missing claim never decides about access.
 */
export function userOf (id: string, claims: Readonly<Record<string, unknown>>): User {
  const properties = Object.freeze(Object.defineProperty({ ...claims, id }, mark, { value: true, enumerable: false }))
  return new Proxy(properties, {
    get (target, property, receiver) {
      if (typeof property === 'symbol' || property in target || probed.has(property)) {
        return Reflect.get(target, property, receiver)
      }
      throw new ClaimError(property)
    }
  }) as User
}

/** Whether it comes from `userOf`. */
export const isUser = (value: object): boolean => mark in value

export const claimsOf = ({ id, ...claims }: User): Record<string, unknown> => claims
