/** Fields that clients may not set, and values that fields cannot hold. */
import { ignored, invalid, MARKER, mismatch, type Attack, type Refusal } from './harness.js'
import { malloryObjectId, malloryUuid } from './seeds.js'

type Row = [name: string, table: string, id: string, data: Record<string, unknown>, refused: Refusal]

const list = (name: string, data: Record<string, unknown>, refused: Refusal = invalid): Row => [
  name,
  'lists',
  'mallory-list',
  data,
  refused
]
const counter = (name: string, data: Record<string, unknown>, refused: Refusal = invalid): Row => [
  name,
  'counters',
  '2',
  data,
  refused
]
const contact = (name: string, data: Record<string, unknown>, refused: Refusal = invalid): Row => [
  name,
  'contacts',
  'mallory-contact',
  data,
  refused
]

const massAssignment: Row[] = [
  list('a field of the server\'s', { verified: 1 }, ignored),
  list('fields of the server\'s, cleared', { verified: null, created_at: null }, ignored),
  list('a date of the server\'s', { created_at: '1970-01-01' }, ignored),
  ['another field of the server\'s, cleared', 'notes', malloryUuid, { revoked_at: null }, ignored],
  ['another field of the server\'s', 'notes', malloryUuid, { revoked_at: '2030-01-01' }, ignored],
  list('a field that the schema does not have', { is_admin: 1 }, mismatch),
  list('several fields that the schema does not have', { role: 'admin', plan: 'pro', balance: 1e9 }, mismatch),
  list('a field in other case', { Verified: 1 }, mismatch),
  list('a field with a blank', { 'verified ': 1 }, mismatch),
  list('Mongoose\'s version', { __v: 99 }, mismatch),
  ['a field of a row that is put whole', 'photos', malloryObjectId, { title: 'mine', is_admin: 1 }, mismatch],
  list('a field of a nested object', { settings: '{"theme":"dark","level":1,"is_admin":true}' }, mismatch)
]

const numbers: Row[] = [
  counter('2³¹ as int', { int: 2 ** 31 }),
  counter('-2³¹-1 as int', { int: -(2 ** 31) - 1 }),
  counter('1.5 as int', { int: 1.5 }),
  counter('2⁶³ as long', { long: '9223372036854775808' }),
  counter('10³⁰ as long', { long: 1e30 }),
  counter('100 000 digits as long', { long: '9'.repeat(100_000) }),
  counter('100 000 digits as a number', { number: '9'.repeat(100_000) }),
  counter('100 000 noughts as a decimal', { decimal: `0.${'0'.repeat(100_000)}1` }),
  counter('a decimal beyond its exponent', { decimal: '1E+6145' }),
  counter('a decimal of 35 digits', { decimal: '1'.repeat(35) }),
  counter('NaN', { double: 'NaN' }),
  counter('Infinity', { double: 'Infinity' }),
  counter('-Infinity', { number: '-Infinity' }),
  counter('10⁴⁰⁰ as text', { double: '1e400' }),
  counter('10⁻⁴⁰⁰ as text', { double: '1e-400' }),
  counter('a hexadecimal number', { number: '0x7fffffff' }),
  counter('a number in an array', { number: [1] }),
  counter('a number below its minimum', { positive: -1 }),
  counter('no text', { number: '' }),
  counter('a blank', { int: ' ' }),
  counter('true as a number', { int: true }),
  list('a date that does not exist', { due: '2025-02-30' }),
  list('a date beyond JavaScript\'s', { due: '+275760-09-13T00:00:00.001Z' }),
  list('a date of 100 000 digits', { due: `2025-01-01T00:00:00.${'0'.repeat(100_000)}Z` }),
  list('a date as a number', { due: 0 }),
  list('a boolean of 2', { done: 2 }),
  list('half a character', { name: '\ud800' }),
  list('the other half of a character', { note: 'x\udc00x' }),
  list('text that is too long', { name: MARKER.repeat(100) }),
  list('text of 1 MB', { name: MARKER.repeat(50_000) }),
  ['bytes that are too many', 'photos', malloryObjectId, { title: 'mine', data: 'A'.repeat(4096) }, invalid],
  ['bytes that are no base64', 'photos', malloryObjectId, { title: 'mine', data: '../../etc/passwd' }, invalid]
]

/** What makes a careless regular expression run for hours, or out of stack. */
const expressions: Row[] = [
  contact('an e-mail address of many hyphens', { email: `a@${'a-'.repeat(120)}` }),
  contact('an e-mail address of many dots', { email: `a@${'a.'.repeat(120)}!` }),
  contact('an e-mail address of many letters', { email: `${'a'.repeat(100_000)}!` }),
  contact('an e-mail address with a line end', { email: 'mallory@example.com\nbcc: x' }),
  contact('a URI of 100 kB', { link: `a:${'b'.repeat(100_000)}\n` }),
  contact('a URI of many percent signs', { link: `a:${'%2'.repeat(50_000)}` }),
  contact('a date of many digits', { at: `2025-01-01T00:00:00.${'1'.repeat(100_000)}` }),
  contact('a date of many dots', { at: `2025-01-01T00:00:00${'.1'.repeat(50_000)}Z` }),
  contact('a UUID of many hyphens', { ref: '-'.repeat(100_000) }),
  contact('a literal of 100 kB', { kind: 'work'.repeat(25_000) }),
  counter('a number of many exponents', { number: 'e'.repeat(100_000) }),
  counter('a number of many signs', { int: '-'.repeat(100_000) })
]

const table = (op: 'PATCH' | 'PUT', rows: Row[]): Attack[] => rows.map(([name, table, id, data, refused]) =>
  ({ name: `${op} of ${name}`, request: { body: { batch: [{ op, table, id, data }] } }, refused }))

export const values: Attack[] = [
  ...table('PATCH', massAssignment.filter(([, table]) => table !== 'photos')),
  ...table('PUT', massAssignment.filter(([, table]) => table === 'photos')),
  ...table('PATCH', numbers),
  ...table('PATCH', expressions),
  {
    name: 'PUT of 10⁴⁰⁰',
    request: { body: '{"batch":[{"op":"PATCH","table":"counters","id":"2","data":{"double":1e400}}]}' },
    refused: invalid
  },
  {
    name: 'PATCH of 10⁷⁰⁰⁰ where there is no schema',
    request: { body: '{"batch":[{"op":"PATCH","table":"documents","id":"mallory-document","data":{"x":[1e7000]}}]}' },
    refused: invalid
  }
]
