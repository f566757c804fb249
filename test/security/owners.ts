/** Mallory, signed in as herself, who wants what is Alice's. */
import {
  ignored, invalid, MARKER, mismatch, unauthorized, type Attack, type AttackRequest, type Refusal
} from './harness.js'
import { aliceObjectId, aliceUuid, malloryObjectId, malloryUuid } from './seeds.js'

type Operation = Record<string, unknown> & { op: 'PUT' | 'PATCH' | 'DELETE', table: string, id: string }

const put = (table: string, id: string, data: Record<string, unknown> = {}): Operation => ({
  op: 'PUT',
  table,
  id,
  data
})
const patch = (table: string, id: string, data: Record<string, unknown> = {}): Operation => ({
  op: 'PATCH',
  table,
  id,
  data
})
const remove = (table: string, id: string): Operation => ({ op: 'DELETE', table, id })
const batch = (...operations: object[]): AttackRequest => ({ body: { batch: operations } })

/** A row of Alice's in each kind of collection, and data that would be good in a row of Mallory's. */
const rows: Array<[table: string, id: string, data: Record<string, unknown>, kind: string]> = [
  ['lists', 'alice-list', { name: MARKER }, 'an id that is text'],
  ['notes', aliceUuid, { text: MARKER }, 'an id that is a UUID'],
  ['photos', aliceObjectId, { title: MARKER }, 'an id that is an ObjectId, and is put whole'],
  ['counters', '1', { int: 666 }, 'an id that is a number, and no nulls'],
  ['counters', '9007199254740993', { int: 666 }, 'an id of 64 bits'],
  ['documents', 'alice-document', { secret: MARKER }, 'no schema'],
  ['people', 'alice-account', { name: MARKER }, 'another name in MongoDB'],
  ['contacts', 'alice-contact', { email: 'mallory@example.com' }, 'formats']
]

const takeOver = rows.flatMap(([table, id, data, kind]): Attack[] => [
  {
    name: `PUT over Alice's row in a collection with ${kind}`,
    request: batch(put(table, id, data)),
    refused: unauthorized
  },
  {
    name: `PATCH of Alice's row in a collection with ${kind}`,
    request: batch(patch(table, id, data)),
    refused: ignored
  },
  { name: `DELETE of Alice's row in a collection with ${kind}`, request: batch(remove(table, id)), refused: ignored }
])

/** In a list of Mallory's own. */
const ownList = { name: 'List', note: 'mine', done: 0, settings: '{"theme":"dark","level":1,"tags":[]}' }

const ownerField: Attack[] = [
  {
    name: 'PUT that names Alice as the owner of Mallory\'s row',
    request: batch(put('lists', 'mallory-list', { ...ownList, owner_id: 'alice' })),
    refused: ignored
  },
  {
    name: 'PUT that names Alice as the owner of Alice\'s row',
    request: batch(put('lists', 'alice-list', { name: MARKER, owner_id: 'alice' })),
    refused: unauthorized
  },
  {
    name: 'PATCH that gives a row to Alice',
    request: batch(patch('lists', 'mallory-list', { owner_id: 'alice' })),
    refused: unauthorized
  },
  {
    name: 'PATCH that gives a row to nobody',
    request: batch(patch('lists', 'mallory-list', { owner_id: null })),
    refused: invalid
  },
  {
    name: 'PATCH that gives a row to several',
    request: batch(patch('lists', 'mallory-list', { owner_id: ['mallory', 'alice'] })),
    refused: invalid
  },
  {
    name: 'PATCH that gives a row to an operator',
    request: batch(patch('lists', 'mallory-list', { owner_id: { $ne: 'mallory' } })),
    refused: invalid
  },
  {
    name: 'PATCH that gives a row to Alice where there is no schema',
    request: batch(patch('documents', 'mallory-document', { owner_id: 'alice' })),
    refused: unauthorized
  },
  {
    name: 'PATCH that gives a row to nobody where there is no schema',
    request: batch(patch('documents', 'mallory-document', { owner_id: null })),
    refused: unauthorized
  },
  {
    name: 'PATCH that gives a row to several where there is no schema',
    request: batch(patch('documents', 'mallory-document', { owner_id: ['mallory', 'alice'] })),
    refused: unauthorized
  },
  {
    name: 'PATCH that gives a row to Alice by the column\'s own name',
    request: batch(patch('notes', malloryUuid, { ownerId: 'alice' })),
    refused: unauthorized
  },
  {
    name: 'PATCH of the owner by the name of its field, which is not its column',
    request: batch(patch('notes', malloryUuid, { owner: 'alice' })),
    refused: mismatch
  },
  {
    name: 'PATCH that takes Alice\'s row',
    request: batch(patch('lists', 'alice-list', { owner_id: 'mallory' })),
    refused: ignored
  },
  {
    name: 'PATCH that takes a row of nobody\'s',
    request: batch(patch('lists', 'missing', { owner_id: 'mallory' })),
    refused: ignored
  }
]

const detours: Attack[] = [
  {
    name: 'DELETE, then PUT, of Alice\'s row in one transaction',
    request: batch(remove('lists', 'alice-list'), put('lists', 'alice-list', { name: MARKER })),
    refused: unauthorized
  },
  {
    name: 'DELETE, then PUT, of Alice\'s row in two transactions',
    request: {
      body: {
        batch: [
          { ...put('lists', 'alice-list', { name: MARKER }), tx_id: 1 },
          { ...remove('lists', 'alice-list'), tx_id: 2 }
        ]
      }
    },
    refused: unauthorized
  },
  {
    name: 'PUT, then DELETE, of Alice\'s row',
    request: batch(put('photos', aliceObjectId, { title: MARKER }), remove('photos', aliceObjectId)),
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row behind good operations',
    request: batch(
      put('lists', 'mallory-new', { name: 'x' }),
      put('lists', 'mallory-newer', { name: 'x' }),
      put('lists', 'alice-list', { name: MARKER })
    ),
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row as "transactions"',
    request: {
      body: { transactions: [{ crud: [{ op: 'PUT', type: 'lists', id: 'alice-list', op_data: { name: MARKER } }] }] }
    },
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row under both names of the table',
    request: {
      body: {
        operations: [{ op: 'PUT', table: 'lists', type: 'documents', id: 'alice-list', opData: { name: MARKER } }]
      }
    },
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row with two sets of data',
    request: batch({
      ...put('lists', 'alice-list', { name: MARKER }),
      opData: { owner_id: 'alice' },
      op_data: { owner_id: 'alice' }
    }),
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row from Alice\'s device',
    request: {
      body: { client_id: 'alice-phone', batch: [{ ...put('lists', 'alice-list', { name: MARKER }), op_id: 1 }] }
    },
    refused: unauthorized
  },
  {
    name: 'an op_id of Alice\'s device, to have hers skipped',
    request: {
      body: { client_id: 'alice-phone', batch: [{ ...patch('lists', 'alice-list', { name: MARKER }), op_id: 1 }] }
    },
    refused: ignored
  },
  {
    name: 'PUT of Alice\'s row, twice under one op_id',
    request: {
      times: 2,
      body: { client_id: 'mallory-phone', batch: [{ ...put('lists', 'alice-list', { name: MARKER }), op_id: 7 }] }
    },
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row with a user in the body',
    request: {
      body: { user_id: 'alice', user: { id: 'alice' }, batch: [put('lists', 'alice-list', { name: MARKER })] }
    },
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row with a user in the query string',
    request: { url: '/upload?user_id=alice', ...batch(put('lists', 'alice-list', { name: MARKER })) },
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row with a user in headers of proxies',
    request: {
      headers: { 'x-user-id': 'alice', 'x-forwarded-user': 'alice', 'x-http-method-override': 'PUT' },
      ...batch(put('lists', 'alice-list', { name: MARKER }))
    },
    refused: unauthorized
  },
  {
    name: 'PUT of Alice\'s row with Alice\'s old values',
    request: batch({ ...put('lists', 'alice-list', { name: MARKER }), old: { owner_id: 'mallory' } }),
    refused: unauthorized
  },
  {
    name: 'PUT that transform turns into one over Alice\'s row',
    request: batch(put('drafts', 'draft', { text: MARKER, publish_as: 'alice-list' })),
    refused: unauthorized
  },
  {
    name: 'PATCH that transform turns into a PUT over Alice\'s row',
    request: batch(patch('drafts', 'mallory-draft', { publish_as: 'alice-list' })),
    refused: unauthorized
  },
  {
    name: 'PUT of a todo in Alice\'s list',
    request: batch(put('todos', 'new', { list_id: 'alice-list', text: MARKER })),
    refused: unauthorized
  },
  {
    name: 'PUT over a todo in Alice\'s list, moved to Mallory\'s',
    request: batch(put('todos', 'alice-todo', { list_id: 'mallory-list', text: MARKER })),
    refused: unauthorized
  },
  {
    name: 'PATCH that moves a todo into Alice\'s list',
    request: batch(patch('todos', 'mallory-todo', { list_id: 'alice-list' })),
    refused: unauthorized
  },
  {
    name: 'PATCH that moves a todo out of Alice\'s list',
    request: batch(patch('todos', 'alice-todo', { list_id: 'mallory-list' })),
    refused: unauthorized
  },
  { name: 'DELETE of a todo in Alice\'s list', request: batch(remove('todos', 'alice-todo')), refused: unauthorized },
  {
    name: 'PUT of a list under the id that Alice\'s todo hangs on, then of the todo',
    request: batch(
      put('lists', 'alice-list', { name: MARKER }),
      put('todos', 'alice-todo', { list_id: 'alice-list', text: MARKER })
    ),
    refused: unauthorized
  },
  {
    name: 'PUT over what can only be inserted',
    request: batch(put('events', 'event', { name: MARKER })),
    refused: unauthorized
  },
  {
    name: 'PATCH of what can only be inserted',
    request: batch(patch('events', 'event', { name: MARKER })),
    refused: unauthorized
  },
  { name: 'DELETE of what can only be inserted', request: batch(remove('events', 'event')), refused: unauthorized },
  {
    name: 'DELETE, then PUT, of what can only be inserted',
    request: batch(remove('events', 'event'), put('events', 'event', { name: MARKER })),
    refused: unauthorized
  }
]

const one = (...operations: Operation[]): AttackRequest[] => Array.from({ length: 4 }, (_, index) => ({
  body: {
    client_id: `race-${index}`,
    batch: operations.map((operation, position) => ({ ...operation, op_id: position + 1 }))
  }
}))

/**
 * Several at once, from devices that do not wait for each other. What MongoDB makes of write conflicts is not at stake:
 * each write carries its owner.
 */
const races: Attack[] = [
  {
    name: 'four PUTs over Alice\'s row at once',
    request: one(put('lists', 'alice-list', { name: MARKER })),
    refused: unauthorized
  },
  {
    name: 'four DELETEs and PUTs of Alice\'s row at once',
    request: one(remove('photos', aliceObjectId), put('photos', aliceObjectId, { title: MARKER })),
    refused: unauthorized
  },
  {
    name: 'four PATCHes that take Alice\'s row at once',
    request: one(patch('lists', 'alice-list', { owner_id: 'mallory' })),
    refused: ignored
  },
  {
    name: 'four PATCHes that give a row to Alice at once',
    request: one(patch('photos', malloryObjectId, { owner_id: 'alice' })),
    refused: unauthorized
  },
  {
    name: 'PUT and PATCH and DELETE of Alice\'s row at once',
    request: [put('counters', '1', { int: 2 }), put('counters', '1', { int: 3 })].map(operation =>
      batch(operation, patch('counters', '1', { int: 4 }), remove('counters', '1'))
    ),
    refused: unauthorized
  }
]

/** Ids that are almost Alice's. */
const nearly = (kind: string, refused: Refusal, operation: Operation): Attack => ({
  name: `an id that is Alice's ${kind} (${operation.op})`,
  request: batch(operation),
  refused
})

const ids: Attack[] = [
  nearly('UUID in capitals', invalid, put('notes', aliceUuid.toUpperCase(), { text: MARKER })),
  nearly('UUID without hyphens', invalid, remove('notes', aliceUuid.replaceAll('-', ''))),
  nearly('UUID in braces', invalid, remove('notes', `{${aliceUuid}}`)),
  nearly('UUID as a URN', invalid, remove('notes', `urn:uuid:${aliceUuid}`)),
  nearly('UUID with a line end', invalid, remove('notes', `${aliceUuid}\n`)),
  nearly('ObjectId in capitals', invalid, remove('photos', aliceObjectId.toUpperCase())),
  nearly('ObjectId with a line end', invalid, remove('photos', `${aliceObjectId}\n`)),
  nearly('ObjectId of twelve characters', invalid, remove('photos', 'abcdefghijkl')),
  nearly('ObjectId as a number', invalid, remove('photos', `0x${aliceObjectId}`)),
  nearly('number with a nought', invalid, remove('counters', '01')),
  nearly('number with a sign', invalid, remove('counters', '+1')),
  nearly('number with a fraction', invalid, remove('counters', '1.0')),
  nearly('number with an exponent', invalid, remove('counters', '1e0')),
  nearly('number behind a blank', invalid, remove('counters', ' 1')),
  nearly('number in hexadecimal', invalid, remove('counters', '0x1')),
  nearly('number in Arabic digits', invalid, remove('counters', '\u0661')),
  nearly('nought below nought', invalid, remove('counters', '-0')),
  nearly('number of 65 bits', invalid, remove('counters', '9223372036854775808')),
  nearly('number after an overflow', invalid, remove('counters', '18446744073709551617')),
  nearly('text in other case', ignored, remove('lists', 'Alice-List')),
  nearly('text with a blank', ignored, remove('lists', 'alice-list ')),
  nearly('text in another normal form (NFD)', ignored, remove('lists', 'cafe\u0301')),
  nearly('text in a compatible form (NFKC)', ignored, remove('lists', 'K')),
  nearly('text with NUL', invalid, remove('lists', 'alice-list\0')),
  nearly('text with NUL inside', invalid, put('lists', 'alice-list\0x', { name: MARKER })),
  nearly('text with what nobody sees', ignored, patch('lists', 'alice\u200d-list', { name: MARKER })),
  nearly('half a character', invalid, put('lists', '\ud800', { name: MARKER })),
  nearly('text that is too long', invalid, put('lists', 'x'.repeat(1025), { name: MARKER })),
  nearly('text of 1 MB', invalid, put('lists', 'x'.repeat(1_000_000), { name: MARKER }))
]

export const owners: Attack[] = [...takeOver, ...ownerField, ...detours, ...races, ...ids]
