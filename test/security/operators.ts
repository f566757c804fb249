/** Operators of MongoDB, and names that JavaScript takes for its own, in every place where an upload has text. */
import {
  ignored, invalid, MARKER, mismatch, nobody, unreadable, type Attack, type AttackRequest, type Refusal
} from './harness.js'

const batch = (operation: object): AttackRequest => ({ body: { batch: [operation] } })
const patch = { op: 'PATCH', table: 'lists', id: 'mallory-list' }
/** Its text: JSON.stringify would lose __proto__. */
const text = (body: string): AttackRequest => ({ body })

/** As values where text belongs. */
const values: Record<string, unknown> = {
  $ne: { $ne: null },
  $gt: { $gt: '' },
  $where: { $where: 'sleep(1000) || true' },
  $regex: { $regex: '.*' },
  $function: { $function: { body: 'function () { return true }', args: [], lang: 'js' } }
}

const wire: Record<string, (value: unknown) => object> = {
  id: value => ({ op: 'DELETE', table: 'lists', id: value }),
  op: value => ({ op: value, table: 'lists', id: 'alice-list' }),
  table: value => ({ op: 'DELETE', table: value, id: 'alice-list' }),
  type: value => ({ op: 'DELETE', type: value, id: 'alice-list' }),
  metadata: value => ({ ...patch, data: {}, metadata: value }),
  op_id: value => ({ ...patch, data: {}, op_id: value }),
  clientId: value => ({ ...patch, data: {}, clientId: value }),
  tx_id: value => ({ ...patch, data: {}, tx_id: value }),
  transactionId: value => ({ ...patch, data: {}, transactionId: value })
}

const fields: Attack[] = Object.entries(wire).flatMap(([field, operation], index) => {
  const [name, value] = Object.entries(values)[index % Object.keys(values).length] as [string, unknown]
  return [
    { name: `${name} as ${field}`, request: batch(operation(value)), refused: unreadable },
    { name: `an array as ${field}`, request: batch(operation(['alice-list'])), refused: unreadable }
  ]
})

const columns: Array<[name: string, data: Record<string, unknown>, refused: Refusal, table?: string]> = [
  ['$ne as a text', { name: values['$ne'] }, invalid],
  ['$regex as a text', { note: values['$regex'] }, invalid],
  ['$gt as a date', { due: values['$gt'] }, invalid],
  ['$date as a date', { due: { $date: '2025-01-01T00:00:00Z' } }, invalid],
  ['$ne as a boolean', { done: values['$ne'] }, invalid],
  ['an array as a text', { name: ['a'] }, invalid],
  ['the column $set', { $set: { owner_id: 'mallory' } }, invalid],
  ['the column $where', { $where: 'true' }, invalid],
  ['the column $rename', { $rename: { owner_id: 'x' } }, invalid],
  ['the column $', { $: 1 }, invalid],
  ['a column with a dot', { 'settings.theme': MARKER }, invalid],
  ['a column that is a dot', { '.': MARKER }, invalid],
  ['a column that begins with a dot', { '.owner_id': MARKER }, invalid],
  ['a column with a place in an array', { 'settings.tags.$[]': MARKER }, invalid],
  ['the column _id', { _id: 'alice-list' }, invalid],
  ['the column id', { id: 'alice-list' }, invalid],
  ['a column without name', { '': MARKER }, invalid],
  ['a column with NUL', { 'name\0x': MARKER }, invalid],
  ['a column that ends at NUL', { 'owner_id\0': 'alice' }, invalid],
  ['a column with half a character', { 'name\ud800': MARKER }, invalid],
  ['a column in a wide form', { '\uff04set': MARKER }, mismatch],
  ['the column constructor', { constructor: { prototype: { polluted: true } } }, mismatch],
  ['the column toString', { toString: MARKER }, mismatch],
  ['the column hasOwnProperty', { hasOwnProperty: 1 }, mismatch],
  ['the column toBSON', { toBSON: 1 }, mismatch],
  ['the column _bsontype', { _bsontype: 'ObjectId' }, invalid],
  ['the column $set where there is no schema', { $set: { owner_id: 'x' } }, invalid, 'documents'],
  ['the column with a dot where there is no schema', { 'owner_id.x': 1 }, invalid, 'documents'],
  ['the column _id where there is no schema', { _id: 'alice-document' }, invalid, 'documents'],
  ['the column _bsontype where there is no schema', { _bsontype: 'Binary' }, invalid, 'documents'],
  [
    '_bsontype inside a value where there is no schema',
    { x: { _bsontype: 'ObjectId', id: 'x' } },
    invalid,
    'documents'
  ],
  ['$ne in JSON text', { settings: '{"theme":{"$ne":null}}' }, invalid],
  ['$set in JSON text', { settings: '{"theme":"dark","$set":{}}' }, mismatch],
  ['a dot in JSON text', { settings: '{"theme":"dark","a.b":1}' }, mismatch],
  ['an unknown name in JSON text', { settings: '{"theme":"dark","admin":true}' }, mismatch],
  ['__proto__ in JSON text', { settings: '{"theme":"dark","__proto__":{"polluted":true}}' }, invalid],
  [
    'constructor in JSON text',
    { settings: '{"theme":"dark","constructor":{"prototype":{"polluted":true}}}' },
    mismatch
  ],
  ['$ne in an array in JSON text', { settings: '{"theme":"dark","tags":["a",{"$ne":null}]}' }, invalid],
  ['__proto__ in JSON text that can be anything', { extra: '{"a":[{"__proto__":{"polluted":true}}]}' }, invalid],
  ['NUL in a name in JSON text that can be anything', { extra: '{"a\\u0000b":1}' }, invalid],
  ['_bsontype in JSON text that can be anything', { extra: '{"_bsontype":"Code","code":"x"}' }, invalid],
  ['__proto__ in JSON text that is a dictionary', { labels: '{"__proto__":1}' }, invalid],
  ['$ne in an object where JSON text belongs', { settings: { theme: values['$ne'] } }, invalid]
]

const data: Attack[] = columns.map(([name, data, refused, table = 'lists']) => ({
  name,
  request: batch({ op: 'PATCH', table, id: table === 'lists' ? 'mallory-list' : 'mallory-document', data }),
  refused
}))

const prototypes: Attack[] = [
  {
    name: '__proto__ as a column',
    request: text(
      '{"batch":[{"op":"PATCH","table":"lists","id":"mallory-list","data":{"__proto__":{"polluted":true}}}]}'
    ),
    refused: invalid
  },
  {
    name: '__proto__ as a column where there is no schema',
    request: text(
      '{"batch":[{"op":"PATCH","table":"documents","id":"mallory-document","data":{"__proto__":{"polluted":true}}}]}'
    ),
    refused: invalid
  },
  {
    name: '__proto__ inside a value where there is no schema',
    request: text(
      '{"batch":[{"op":"PATCH","table":"documents","id":"mallory-document",' +
      '"data":{"a":{"__proto__":{"polluted":true}}}}]}'
    ),
    refused: invalid
  },
  {
    name: 'an operation inherited through __proto__',
    request: text('{"batch":[{"__proto__":{"op":"DELETE","table":"lists","id":"mallory-list"}}]}'),
    refused: unreadable
  },
  {
    name: 'a batch inherited through __proto__',
    request: text('{"__proto__":{"batch":[{"op":"DELETE","table":"lists","id":"mallory-list"}]}}'),
    refused: unreadable
  },
  {
    name: '__proto__ beside the batch',
    request: text(
      '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},' +
      '"batch":[{"op":"DELETE","table":"lists","id":"alice-list"}]}'
    ),
    refused: ignored
  },
  {
    name: '__proto__ beside an operation\'s fields',
    request: text(
      '{"batch":[{"op":"DELETE","table":"lists","id":"alice-list","__proto__":{"polluted":true,"data":{}}}]}'
    ),
    refused: ignored
  },
  {
    name: '__proto__ in the old values',
    request: text(
      '{"batch":[{"op":"PATCH","table":"lists","id":"alice-list","data":{},"old":{"__proto__":{"polluted":true}}}]}'
    ),
    refused: ignored
  },
  {
    name: 'operators in the old values',
    request: batch({
      op: 'PATCH',
      table: 'lists',
      id: 'alice-list',
      data: { name: MARKER },
      old: { $where: 'true', 'owner_id.$': { $ne: null } }
    }),
    refused: ignored
  },
  {
    name: 'operators in the metadata',
    request: batch({
      op: 'PATCH',
      table: 'lists',
      id: 'alice-list',
      data: { name: MARKER },
      metadata: '{"$set":{"owner_id":"mallory"}}'
    }),
    refused: ignored
  },
  {
    name: 'operators as text in the id',
    request: batch({ op: 'DELETE', table: 'lists', id: '{"$ne":null}' }),
    refused: ignored
  },
  {
    name: 'operators as text in op_id',
    request: {
      body: {
        client_id: 'mallory-phone',
        batch: [{ op: 'DELETE', table: 'lists', id: 'alice-list', op_id: '$set.operations' }]
      }
    },
    refused: ignored
  },
  {
    name: 'a path in op_id',
    request: {
      body: {
        client_id: 'mallory-phone',
        batch: [{ op: 'DELETE', table: 'lists', id: 'alice-list', op_id: 'x.$[].y' }]
      }
    },
    refused: ignored
  },
  {
    name: '__proto__ as op_id',
    request: {
      body: {
        client_id: 'mallory-phone',
        batch: [{ op: 'DELETE', table: 'lists', id: 'alice-list', op_id: '__proto__' }]
      }
    },
    refused: ignored
  },
  {
    name: '__proto__ as client_id',
    request: {
      body: { client_id: '__proto__', batch: [{ op: 'DELETE', table: 'lists', id: 'alice-list', op_id: 1 }] }
    },
    refused: ignored
  },
  { name: '$ne as client_id', request: { body: { client_id: { $ne: null }, batch: [] } }, refused: unreadable },
  { name: 'an array as client_id', request: { body: { client_id: ['alice-phone'], batch: [] } }, refused: unreadable },
  { name: '$ne as the batch', request: { body: { batch: { $ne: null } } }, refused: unreadable },
  {
    name: '$ne as the transactions',
    request: { body: { transactions: [{ crud: { $ne: null } }] } },
    refused: unreadable
  },
  {
    name: 'operators in the query string',
    request: {
      url: '/upload?batch[$ne]=1&__proto__[polluted]=1&user_id[$ne]=x',
      ...batch({ op: 'DELETE', table: 'lists', id: 'alice-list' })
    },
    refused: ignored
  },
  {
    name: '$ne as the client of a checkpoint',
    request: { method: 'PUT', url: '/checkpoint', body: { client_id: { $ne: null } } },
    refused: unreadable
  },
  {
    name: 'an array as the client of a checkpoint',
    request: { method: 'PUT', url: '/checkpoint', body: { client_id: ['alice-phone'] } },
    refused: unreadable
  },
  {
    name: '$ne as the session',
    request: {
      token: null,
      headers: { 'x-session': '[$ne]=1' },
      ...batch({ op: 'DELETE', table: 'lists', id: 'alice-list' })
    },
    refused: nobody
  }
]

export const operators: Attack[] = [...fields, ...data, ...prototypes]
