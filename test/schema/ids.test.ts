import t from 'tap'
import { Type } from '@sinclair/typebox'
import { BSON, Long, ObjectId, UUID } from '../../lib/bson.js'
import { collection } from '../../lib/schema/collection.js'
import { DecodeFault } from '../../lib/client/values.js'
import type { IdType } from '../../types/collections.js'
import { compileCollection, bytes } from './decode.js'

const uuid = '61d19021-0565-4686-acc4-3ea4f8c48839'
const hex = '507f1f77bcf86cd799439011'
const compile = (id?: IdType) => compileCollection('rows', collection({ id, schema: Type.Object({}) }))

const types: Array<{ id: IdType | undefined, accepted: Array<[string, unknown]>, rejected: string[] }> = [
  {
    id: undefined,
    accepted: [
      ['a', 'a'],
      [uuid, uuid],
      [uuid.toUpperCase(), uuid.toUpperCase()],
      ['日本', '日本'],
      ['$a.b', '$a.b'],
      [' ', ' '],
      ['x'.repeat(1024), 'x'.repeat(1024)]
    ],
    rejected: ['', 'a\0', '\ud800', 'x'.repeat(1025), '日'.repeat(342)]
  },
  { id: { type: 'string', pattern: '^todo_' }, accepted: [['todo_1', 'todo_1']], rejected: ['', 'list_1'] },
  {
    id: 'uuid',
    accepted: [[uuid, uuid]],
    rejected: ['', uuid.toUpperCase(), uuid.replaceAll('-', ''), `${uuid}\n`, hex]
  },
  { id: { type: 'uuid' }, accepted: [[uuid, uuid]], rejected: [uuid.toUpperCase()] },
  {
    id: { type: 'uuid', store: 'bson' },
    accepted: [[uuid, new UUID(uuid)]],
    rejected: ['', uuid.toUpperCase(), uuid.replaceAll('-', ''), hex]
  },
  {
    id: 'objectId',
    accepted: [[hex, new ObjectId(hex)]],
    rejected: ['', hex.toUpperCase(), hex.slice(1), 'abcdefghijkl', uuid]
  },
  {
    id: 'integer',
    accepted: [
      ['1', 1],
      ['-1', -1],
      ['5', 5],
      ['-2147483648', -2147483648],
      ['2147483648', Long.fromString('2147483648')],
      ['9223372036854775807', Long.MAX_VALUE]
    ],
    rejected: ['', '0', '-0', '05', '+5', '5.0', '1e3', ' 5', 'five', '9223372036854775808', '1'.repeat(500)]
  }
]

for (const { id, accepted, rejected } of types) {
  t.test(
    `ids of type ${JSON.stringify(id) ?? 'string, by default'} are taken in one spelling only, and come back as they were`,
    async t => {
      const compiled = compile(id)
      for (const [text, value] of accepted) {
        const decoded = compiled.id(text)
        t.equal(bytes(decoded), bytes(value))
        t.equal(String(decoded), text)
        t.equal(String(BSON.deserialize(BSON.serialize({ value: decoded }))['value']), text, 'as the driver reads it')
      }
      for (const text of rejected) t.match(compiled.id(text), { code: 'INVALID_DATA', path: 'id', found: 'other text' })
    }
  )
}

t.test('an id that is not text is rejected', async t => {
  t.match(compile().id(5 as unknown as string), {
    code: 'INVALID_DATA',
    message: 'id cannot be stored: expected text of 1 to 1024 bytes without NUL, found no text'
  })
})

t.test('a custom id codec is held to give back the text that it took', async t => {
  const compiled = compile({
    decode: text =>
      /^[A-Z]+-\d+$/i.test(text)
        ? { project: text.split('-')[0]!.toUpperCase(), number: Number(text.split('-')[1]) }
        : undefined,
    encode: value => {
      const { project, number } = value as { project: string; number: number }
      return `${project}-${number}`
    }
  })
  t.strictSame(compiled.id('APP-5'), { project: 'APP', number: 5 })
  for (const text of ['app-5', 'APP-05', 'APP', '']) t.type(compiled.id(text), DecodeFault)
})

t.test('an id with which a codec fails is refused, and none is served for ever', async t => {
  const decode = (text: string) => new ObjectId(text)
  t.match(compile({ decode, encode: String }).id('not one'), { code: 'INVALID_DATA', path: 'id', found: 'other text' })
  const encode = () => { throw new Error('never') }
  t.type(compile({ decode, encode }).id(hex), DecodeFault)
  t.equal(bytes(compile({ decode, encode: String }).id(hex)), bytes(new ObjectId(hex)))
})

t.test('an async codec is the app\'s fault, not that of every id', async t => {
  const failing = async () => { throw new Error('away') }
  for (const codec of [
    { decode: async (text: string) => text, encode: String },
    { decode: failing, encode: String },
    { decode: (text: string) => text, encode: failing as () => never }
  ]) {
    t.throws(() => compile(codec).id('a'), /^collections\.rows\.id gave a promise: its functions are not async$/)
  }
})

t.test('an id type that does not exist stops the start', async t => {
  t.throws(() => compile('guid' as IdType), { code: 'FST_PSM_OPTION', message: /collections\.rows\.id .*'objectId'/ })
  t.throws(() => compile({ type: 'string', pattern: '(' }), {
    code: 'FST_PSM_OPTION',
    message: /collections\.rows\.id has a pattern/
  })
})
