import { BSON, type mongodb } from '../bson.js'
import { typeWords } from '../type-words.js'
import { JsonNumber, isShortest } from '../json.js'
import type { Codec, Way } from './codec.js'
import { DecodeFault, joinPath } from './faults.js'
import { forbiddenKey, isForbiddenKey } from './names.js'
import { integerText, isLong, numberText, toDecimal128, toNumber } from './numbers.js'
import { isWellFormed } from './text.js'

/** The service turns nested documents into JSON to this depth (PowerSync: module-mongodb, bufferToSqlite.ts). */
export const DEEPEST = 20

/** MongoDB's own limit, for what the app's code gives. */
const DEEPEST_BSON = 100

/**
 * Whatever JSON can hold, stored as it came, and whatever BSON can hold when it comes from the app's own code. Names
 * are checked at every depth. A number that a double does not hold is stored as long, else as decimal.
 */
export function anyCodec (depth: number): Codec {
  const flawOf = (value: unknown, way: Way) => findFlaw(value, Math.max(depth, 1), way)
  const convert = (way: Way) => (value: unknown) => flawOf(value, way) ? undefined : isWhole(value) ? value : asBson(value)
  return {
    decode: convert('decode'),
    encode: convert('encode'),
    expects: 'any JSON value',
    gives: 'any BSON value',
    shape: {},
    column: 'text',
    nullable: true,
    container: true,
    explain: (value, path, way) => {
      const { steps, fault } = flawOf(value, way)!
      return fault(steps.reduce(addStep, path))
    }
  }
}

/** What is wrong with a value, and the way to it, innermost step last. */
interface Flaw { steps: Array<string | number>, fault: (path: string) => DecodeFault }

function findFlaw (value: unknown, depth: number, way: Way): Flaw | undefined {
  switch (typeof value) {
    case 'boolean': return undefined
    case 'string': return isWellFormed(value) ? undefined : flaw('well-formed Unicode text', 'text with half a character')
    case 'number': return way === 'encode' || Number.isFinite(value) ? undefined : flaw('a finite number', 'a number beyond it')
    case 'bigint': return way === 'encode' && isLong(value) ? undefined : flaw(way === 'encode' ? 'a bigint of 64 bits' : 'any JSON value', typeWords(value))
    case 'object': return value === null ? undefined : findNestedFlaw(value, depth, way)
    default: return flaw(way === 'encode' ? 'any BSON value' : 'any JSON value', typeWords(value))
  }
}

function findNestedFlaw (value: object, depth: number, way: Way): Flaw | undefined {
  if (value instanceof JsonNumber) return numberOf(value) === undefined ? flaw('a number of at most 34 digits', 'a longer one') : undefined
  if (way === 'encode' && isBsonObject(value)) return undefined
  if (way === 'encode' && !isPlain(value)) return flaw('any BSON value', typeWords(value))
  const deepest = way === 'encode' ? DEEPEST_BSON : DEEPEST
  if (depth > deepest) return flaw(`JSON of at most ${deepest} levels`, 'a deeper one')
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const flaw = findFlaw(item, depth + 1, way)
      if (flaw) return within(index, flaw)
    }
    return undefined
  }
  for (const [name, item] of Object.entries(value)) {
    if (way === 'encode' && item === undefined) continue
    const flaw = isForbiddenKey(name) ? { steps: [], fault: forbiddenKey } : findFlaw(item, depth + 1, way)
    if (flaw) return within(name, flaw)
  }
  return undefined
}

function flaw (expected: string, found: string): Flaw {
  return { steps: [], fault: path => new DecodeFault('INVALID_DATA', path, expected, found) }
}

function within (step: string | number, { steps, fault }: Flaw): Flaw {
  return { steps: [step, ...steps], fault }
}

function addStep (path: string, step: string | number): string {
  return typeof step === 'number' ? `${path}[${step}]` : joinPath(path, step)
}

/** The driver would write the properties of any other, which are seldom what it is. */
function isPlain (value: object): boolean {
  return Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value))
}

/** What the driver writes as a type of its own. */
function isBsonObject (value: object): boolean {
  return value instanceof BSON.BSONValue || value instanceof RegExp || value instanceof Uint8Array ||
    (value instanceof Date && !Number.isNaN(value.getTime()))
}

/** Whether the driver would write the value as it is. */
function isWhole (value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value !== undefined
  return !(value instanceof JsonNumber) && (isBsonObject(value) || Object.values(value).every(isWhole))
}

/** The same with numbers for BSON in the place of their digits, and without what is undefined, which the driver may write as null. */
function asBson (value: unknown): unknown {
  if (value instanceof JsonNumber) return numberOf(value)
  if (Array.isArray(value)) return value.map(asBson)
  if (typeof value !== 'object' || value === null || isBsonObject(value)) return value
  return Object.fromEntries(Object.entries(value).flatMap(([name, item]) => item === undefined ? [] : [[name, asBson(item)]]))
}

/** Exactly the number of these digits, or undefined where MongoDB has none. */
function numberOf (value: JsonNumber): bigint | number | mongodb.Decimal128 | undefined {
  const digits = integerText(value)
  if (digits !== undefined && isLong(BigInt(digits))) return BigInt(digits)
  const number = toNumber(value)
  if (isShortest(number, value.text) || (Number.isInteger(number) && digits !== undefined)) return number
  const text = numberText(value)
  return text === undefined ? undefined : toDecimal128(text)
}
