/** Bodies that are too much, or are not what they say. */
import { gzipSync, deflateSync, brotliCompressSync } from 'node:zlib'
import {
  ignored, invalid, MARKER, mismatch, unreadable, type Attack, type AttackRequest, type Refusal
} from './harness.js'

const tooLarge: Refusal = { status: 413, code: 'FST_PSM_TOO_LARGE' }
const otherType: Refusal = { status: 415 }
const encoded: Refusal = { status: 415, code: 'FST_PSM_MEDIA_TYPE' }

const attack = { batch: [{ op: 'PATCH', table: 'lists', id: 'mallory-list', data: { note: MARKER } }] }
const json = JSON.stringify(attack)
const nested = (levels: number, open: string, close: string, inside = '') =>
  open.repeat(levels) + inside + close.repeat(levels)
const patch = (data: string, table = 'lists') =>
  `{"batch":[{"op":"PATCH","table":"${table}","id":"${table === 'lists' ? 'mallory-list' : 'mallory-document'}","data":${data}}]}`
const big = <Value>(length: number, value: Value): Value[] => new Array<Value>(length).fill(value)

const bodies: Array<[name: string, body: unknown, refused: Refusal]> = [
  ['100 000 arrays in each other as the body', nested(100_000, '[', ']'), unreadable],
  ['100 000 objects in each other as the body', nested(100_000, '{"a":', '}', '1'), unreadable],
  ['100 000 arrays without end', '['.repeat(100_000), unreadable],
  ['100 000 arrays as a value', patch(`{"note":${nested(100_000, '[', ']')}}`), unreadable],
  ['100 000 objects as a value', patch(`{"note":${nested(100_000, '{"a":', '}', '1')}}`), unreadable],
  [
    '100 000 objects as a value where there is no schema',
    patch(`{"x":${nested(100_000, '{"a":', '}', '1')}}`, 'documents'),
    unreadable
  ],
  [
    '5 000 arrays as a value where there is no schema',
    patch(`{"x":${nested(5000, '[', ']')}}`, 'documents'),
    unreadable
  ],
  ['100 000 arrays as a JSON column', patch(`{"settings":${nested(100_000, '[', ']')}}`), unreadable],
  ['100 000 arrays as the text of a JSON column', patch(JSON.stringify({ extra: nested(100_000, '[', ']') })), invalid],
  [
    '100 000 objects as the text of a JSON column',
    patch(JSON.stringify({ settings: nested(100_000, '{"theme":', '}', '1') })),
    invalid
  ],
  ['25 levels where there is no schema', patch(`{"x":${nested(25, '[', ']')}}`, 'documents'), invalid],
  ['25 levels as the text of a JSON column', patch(JSON.stringify({ extra: nested(25, '{"a":', '}', '1') })), invalid],
  [
    '100 000 objects as the old values',
    `{"batch":[{"op":"PATCH","table":"lists","id":"alice-list","data":{},"old":{"a":${nested(100_000, '{"a":', '}', '1')}}}]}`,
    unreadable
  ],
  [
    '100 000 arrays in a field that nobody knows',
    `{"x":${nested(100_000, '[', ']')},"batch":[{"op":"DELETE","table":"lists","id":"alice-list","y":${nested(100_000, '[', ']')}}]}`,
    unreadable
  ],
  ['a column whose name has 1 MB', patch(`{"${'k'.repeat(1_000_000)}":1}`), mismatch],
  ['a column whose name has 1 MB of dollars', patch(`{"${'$'.repeat(1_000_000)}":1}`, 'documents'), invalid],
  [
    'a nested name of 100 kB that ends in NUL',
    patch(JSON.stringify({ extra: `{"${'.'.repeat(100_000)}\\u0000":1}` })),
    invalid
  ],
  [
    '20 nested names of 10 kB',
    patch(JSON.stringify({ extra: `${nested(20, `{"${'n'.repeat(10_000)}":`, '}', '{"$x":1}')}` })),
    invalid
  ],
  [
    '10 000 columns that nobody knows',
    patch(JSON.stringify(Object.fromEntries(big(10_000, 0).map((_, index) => [`c${index}`, 1])))),
    mismatch
  ],
  [
    '400 000 items in an array of texts',
    patch(JSON.stringify({ settings: JSON.stringify({ theme: 'dark', tags: big(400_000, 1) }) })),
    invalid
  ],
  ['10⁶ items in a JSON column', patch(JSON.stringify({ extra: JSON.stringify(big(1_000_000, 1)) })), tooLarge],
  ['100 000 arrays as a text', patch(`{"name":[${big(100_000, '[]').join()}]}`), invalid],
  ['10⁶ entries that are no operations', `{"batch":[${big(1_000_000, '0').join()}]}`, unreadable],
  ['500 000 operations without table', `{"batch":[${big(500_000, '{"op":"PUT","id":"x"}').join()}]}`, unreadable],
  ['100 001 operations', { batch: big(100_001, { op: 'DELETE', table: 'lists', id: 'alice-list' }) }, tooLarge],
  ['51 transactions', { transactions: big(51, { crud: [] }) }, unreadable],
  ['no transactions', { transactions: [] }, unreadable],
  ['17 MB', `{"batch":[],"x":"${'x'.repeat(16 * 1024 * 1024)}"}`, tooLarge],
  ['17 MB of blanks', ' '.repeat(16 * 1024 * 1024 + 1), tooLarge],
  [
    'an op_id of 1 MB',
    {
      client_id: 'mallory-phone',
      batch: [{ op: 'DELETE', table: 'lists', id: 'alice-list', op_id: 'x'.repeat(1_000_000) }]
    },
    unreadable
  ],
  [
    'a tx_id of 1 MB',
    { batch: [{ op: 'DELETE', table: 'lists', id: 'alice-list', tx_id: 'x'.repeat(1_000_000) }] },
    unreadable
  ],
  ['a client_id of 1 MB', { client_id: 'x'.repeat(1_000_000), batch: [] }, unreadable],
  [
    'an op_id that is not whole',
    { batch: [{ op: 'DELETE', table: 'lists', id: 'alice-list', op_id: 1.5 }] },
    unreadable
  ],
  [
    'an op_id of 10⁴⁰⁰',
    '{"client_id":"mallory-phone","batch":[{"op":"DELETE","table":"lists","id":"alice-list","op_id":1e400}]}',
    ignored
  ],
  [
    'an op_id of 10³⁰⁸',
    '{"client_id":"mallory-phone","batch":[{"op":"DELETE","table":"lists","id":"alice-list","op_id":1e308}]}',
    ignored
  ],
  ['nothing', '', unreadable],
  ['null', 'null', unreadable],
  ['text', '"batch"', unreadable],
  ['an array', '[]', unreadable],
  ['an object of nothing', '{}', unreadable],
  ['a number', '1', unreadable],
  ['NaN', '{"batch":NaN}', unreadable],
  ['a comment', `/* */${json}`, unreadable],
  ['JavaScript', `${json};process.exit()`, unreadable],
  ['two values', json + json, unreadable],
  ['half of it', json.slice(0, -2), unreadable],
  ['quotes that are none', json.replaceAll('"', '\''), unreadable],
  ['a byte order mark', `\ufeff${json}`, unreadable],
  ['UTF-16', Buffer.from(json, 'utf16le'), unreadable],
  [
    'bytes that are no UTF-8',
    Buffer.concat([
      Buffer.from('{"batch":[{"op":"PATCH","table":"lists","id":"'),
      Buffer.from([0xff, 0xfe, 0xc0, 0xaf]),
      Buffer.from('","data":{}}]}')
    ]),
    unreadable
  ],
  [
    'an overlong slash',
    Buffer.concat([
      Buffer.from('{"batch":[{"op":"DELETE","table":"lists","id":"'),
      Buffer.from([0xc0, 0xaf]),
      Buffer.from('"}]}')
    ]),
    unreadable
  ],
  ['an escape that ends too soon', '{"batch":[{"op":"DELETE","table":"lists","id":"\\u00"}]}', unreadable],
  ['a line end in text', '{"batch":[{"op":"DELETE","table":"lists","id":"a\nb"}]}', unreadable],
  [
    'the batch twice, harmless first',
    '{"batch":[],"batch":[{"op":"DELETE","table":"payments","id":"payment"}]}',
    mismatch
  ],
  [
    'the id twice, harmless first',
    '{"batch":[{"op":"DELETE","table":"lists","id":"mallory-x","id":"alice-list"}]}',
    ignored
  ],
  [
    'the table twice, harmless first',
    '{"batch":[{"op":"DELETE","table":"lists","table":"payments","id":"payment"}]}',
    mismatch
  ],
  [
    'a batch and operations',
    { batch: [{ op: 'DELETE', table: 'payments', id: 'payment' }], operations: [] },
    unreadable
  ],
  ['op in lower case', { batch: [{ op: 'delete', table: 'lists', id: 'mallory-list' }] }, unreadable],
  ['op as a number, as .NET has it', { batch: [{ op: 2, table: 'lists', id: 'mallory-list' }] }, unreadable],
  ['op of MongoDB\'s', { batch: [{ op: 'drop', table: 'lists', id: 'mallory-list' }] }, unreadable],
  ['an id that is a number', { batch: [{ op: 'DELETE', table: 'lists', id: 1 }] }, unreadable],
  ['an empty id', { batch: [{ op: 'DELETE', table: 'lists', id: '' }] }, invalid],
  ['data that are an array', { batch: [{ op: 'PUT', table: 'lists', id: 'x', data: [MARKER] }] }, unreadable],
  ['data that are text', { batch: [{ op: 'PUT', table: 'lists', id: 'x', data: MARKER }] }, unreadable]
]

const as = (headers: Record<string, string>, body: unknown = json): AttackRequest => ({ headers, body })

const types: Attack[] = [
  {
    name: 'JSON as text, as a form of another site can send it',
    request: as({ 'content-type': 'text/plain' }),
    refused: otherType
  },
  { name: 'JSON as a form', request: as({ 'content-type': 'application/x-www-form-urlencoded' }), refused: otherType },
  { name: 'JSON in parts', request: as({ 'content-type': 'multipart/form-data; boundary=x' }), refused: otherType },
  { name: 'JSON without a type', request: as({ 'content-type': '' }), refused: otherType },
  {
    name: 'JSON as a type that begins like JSON\'s',
    request: as({ 'content-type': 'application/json-patch+json' }),
    refused: otherType
  },
  { name: 'JSON as two types', request: as({ 'content-type': 'text/plain, application/json' }), refused: otherType },
  {
    name: 'JSON as text with JSON for a parameter',
    request: as({ 'content-type': 'text/plain; x=application/json' }),
    refused: otherType
  },
  { name: 'BSON', request: as({ 'content-type': 'application/bson' }), refused: otherType },
  {
    name: 'XML',
    request: as(
      { 'content-type': 'application/xml' },
      '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>'
    ),
    refused: otherType
  },
  { name: 'JSON under gzip', request: as({ 'content-encoding': 'gzip' }, gzipSync(json)), refused: encoded },
  { name: 'JSON under deflate', request: as({ 'content-encoding': 'deflate' }, deflateSync(json)), refused: encoded },
  { name: 'JSON under Brotli', request: as({ 'content-encoding': 'br' }, brotliCompressSync(json)), refused: encoded },
  {
    name: '20 MB that gzip makes small',
    request: as({ 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(20_000_000, 32))),
    refused: encoded
  },
  {
    name: 'UTF-16 that says so',
    request: as({ 'content-type': 'application/json; charset=utf-16' }, Buffer.from(json, 'utf16le')),
    refused: unreadable
  },
  {
    name: 'UTF-7',
    request: as({ 'content-type': 'application/json; charset=utf-7' }, '+AHsAIgBiAGEAdABjAGgAIgA6AFsAXQB9-'),
    refused: unreadable
  }
]

const BELL = '\x1b[2J\x1b]0;owned\x07\x9b31m'
const LINE = '\r\n{"level":60,"forged":true}\n'
const failing = { op: 'PUT', table: 'flaky', id: 'x', data: { text: MARKER } }

/** Four times: from the third on, the log says that the client's queue is blocked, and which client's. */
const logs: Attack[] = [
  {
    name: 'a client whose queue is blocked',
    request: { times: 4, body: { client_id: 'mallory-phone', batch: [failing] } },
    refused: { status: 503 }
  },
  {
    name: 'a log line as the id of a client whose queue is blocked',
    request: { times: 4, body: { client_id: LINE, batch: [failing] } },
    refused: unreadable
  },
  {
    name: 'a terminal\'s commands as the id of a client whose queue is blocked',
    request: { times: 4, body: { client_id: BELL, batch: [failing] } },
    refused: unreadable
  },
  {
    name: 'a terminal\'s commands in the header with the client\'s id',
    request: { times: 4, headers: { 'x-client-id': '\x9b31m' }, body: { batch: [failing] } },
    refused: unreadable
  },
  {
    name: 'a header with a client\'s id of 10 kB',
    request: { times: 4, headers: { 'x-client-id': 'x'.repeat(10_000) }, body: { batch: [failing] } },
    refused: unreadable
  },
  {
    name: 'a log line as a table',
    request: { body: { batch: [{ op: 'DELETE', table: LINE, id: 'x' }] } },
    refused: mismatch
  },
  {
    name: 'a log line as a column',
    request: { body: { batch: [{ op: 'PATCH', table: 'lists', id: 'x', data: { [LINE]: 1 } }] } },
    refused: mismatch
  },
  {
    name: 'a terminal\'s commands as a column',
    request: {
      body: {
        batch: [
          { op: 'PATCH', table: 'lists', id: 'x', data: { [BELL]: 1 } },
          { op: 'DELETE', table: 'lists', id: 'y', tx_id: 2 }
        ]
      }
    },
    refused: mismatch
  },
  {
    name: 'a log line as op_id',
    request: {
      body: {
        client_id: 'mallory-phone',
        batch: [{ op: 'DELETE', table: 'payments', id: LINE, op_id: LINE, tx_id: LINE }]
      }
    },
    refused: mismatch
  },
  {
    name: 'a log line as the id of a request',
    request: {
      headers: { 'request-id': 'x"}{"forged":true}' },
      body: { batch: [{ op: 'DELETE', table: 'payments', id: 'x' }] }
    },
    refused: mismatch
  },
  {
    name: 'a log line in the address',
    request: {
      url: `/upload?x=${encodeURIComponent(LINE)}&y=${BELL.replaceAll(/[^\w]/g, '')}`,
      body: { batch: [{ op: 'DELETE', table: 'payments', id: 'x' }] }
    },
    refused: mismatch
  },
  {
    name: 'a checkpoint for a log line',
    request: { method: 'PUT', url: '/checkpoint', body: { client_id: LINE } },
    refused: unreadable
  },
  {
    name: 'a checkpoint for a client of 4 kB',
    request: { method: 'PUT', url: '/checkpoint', body: { client_id: 'x'.repeat(4000) } },
    refused: unreadable
  }
]

const raw = (...lines: string[]) => ({ raw: lines.join('\r\n') })
const head = ['POST /upload HTTP/1.1', 'host: attacked', 'connection: close', 'content-type: application/json']
const broken: Refusal = { status: 400 }

const requests: Attack[] = [
  {
    name: 'two lengths',
    request: raw(...head, `content-length: ${json.length}`, 'content-length: 1', '', json),
    refused: broken
  },
  {
    name: 'a length and chunks',
    request: raw(...head, `content-length: ${json.length}`, 'transfer-encoding: chunked', '', '0', '', json),
    refused: broken
  },
  {
    name: 'a header with a bare line end',
    request: raw(...head, 'x-client-id: a\nx-session: session-of-alice', `content-length: ${json.length}`, '', json),
    refused: broken
  },
  {
    name: 'a header with NUL',
    request: raw(...head, 'x-client-id: a\0b', `content-length: ${json.length}`, '', json),
    refused: broken
  },
  {
    name: 'a header name with a blank',
    request: raw(...head, 'x-session : session-of-alice', `content-length: ${json.length}`, '', json),
    refused: broken
  }
]

export const messages: Attack[] = [
  ...bodies.map(([name, body, refused]) => ({ name, request: { body }, refused })),
  ...types,
  ...logs,
  ...requests
]
