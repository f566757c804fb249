import t from 'tap'
import { bson, collection, throughParent, Type, type Collections } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { ObjectId, UUID } from '../../lib/bson.js'
import { testServer, upload } from '../support/server.js'

const { uri } = await testDatabase(t)
const schema = Type.Object({ text: Type.Optional(Type.String()), by: Type.Optional(Type.String()) })

t.test(
  'a collection whose default collation takes different ids or owners for equal stops the start, whichever table ' +
  'finds it',
  async t => {
    const app = await testServer(t, { mongo: { url: uri }, collections: { other: collection({ schema }) } })
    const db = app.mongo.db!
    for (const [name, collation] of Object.entries({
      nocase: { locale: 'en', strength: 2 },
      accents: { locale: 'fr', strength: 1, caseLevel: true },
      numeric: { locale: 'en_US', numericOrdering: true }
    })) await db.createCollection(name, { collation })
    const integers = { schema, id: 'integer' as const }
    for (const name of ['nocase', 'accents', 'numeric']) {
      const message = new RegExp(`the collection ${name} has the default collation "`)
      const wrong: Collections[] = [
        { [name]: collection({ schema }) },
        { rows: collection({ ...integers, name, owner: 'by' }) },
        {
          parents: collection({ schema }),
          rows: collection({ ...integers, name, owner: throughParent('parents', 'by') })
        },
        { texts: collection({ schema, name }), numbers: collection({ ...integers, name }) },
        { numbers: collection({ ...integers, name }), texts: collection({ schema, name }) }
      ]
      for (const collections of wrong) {
        await t.rejects(testServer(t, { mongo: { url: uri }, collections }), { code: 'FST_PSM_MONGO', message })
      }
      const numbers = await testServer(t, {
        mongo: { url: uri },
        collections: { numbers: collection({ schema: Type.Object({ n: bson.Int32() }), id: 'integer', name }) }
      })
      t.match(
        (await upload(numbers, { batch: [{ op: 'PUT', table: 'numbers', id: '5', data: { n: 1 } }] })).body.results,
        [{ status: 'success' }]
      )
    }
  }
)

t.test('a collection in which no transaction changes documents stops the start', async t => {
  const app = await testServer(t, { mongo: { url: uri }, collections: { other: collection({ schema }) } })
  for (const [name, options, kind] of [
    ['newest', { viewOn: 'other', pipeline: [] }, 'a view'],
    ['measured', { timeseries: { timeField: 'at' } }, 'a time series collection'],
    ['latest', { capped: true, size: 4096 }, 'a capped collection']
  ] as const) {
    await app.mongo.db!.createCollection(name, options as object)
    await t.rejects(testServer(t, { mongo: { url: uri }, collections: { rows: collection({ schema, name }) } }), {
      code: 'FST_PSM_MONGO',
      message: new RegExp(`the collection ${name} is ${kind}, .*: name another in collections\\.rows\\.name`)
    })
  }
})

t.test('documents whose ids a table does not accept are named in the log at the start', async t => {
  const collections = {
    texts: collection({ schema }),
    uuids: collection({ schema, id: 'uuid' }),
    bson_uuids: collection({ schema, id: { type: 'uuid', store: 'bson' } }),
    numbers: collection({ schema, id: 'integer' }),
    objects: collection({ schema, id: 'objectId' }),
    coded: collection({ schema, id: { decode: text => text, encode: String } })
  }
  const log = logLines()
  const start = () =>
    testServer(
      t,
      { mongo: { url: uri }, collections, authenticate: () => ({ id: 'ann' }) },
      { logger: { level: 'warn', stream: log } }
    )
  const db = (await start()).mongo.db!
  const own = {
    texts: 'a',
    uuids: '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
    bson_uuids: new UUID(),
    numbers: 5,
    objects: new ObjectId(),
    coded: 5
  }
  for (const [name, _id] of Object.entries(own)) await db.collection(name).insertOne({ _id: _id as never })
  await start()
  t.same(log.messages(), [])

  for (const name of Object.keys(own)) {
    await db.collection(name).insertOne({ _id: (name === 'objects' ? 'z' : new ObjectId()) as never })
  }
  await db.collection('coded').insertOne({ _id: 'z' as never })
  await start()
  t.same(
    log
      .messages()
      .map(message =>
        /the collection (\w+) has documents whose _id is ([^,]+), and collections\.\w+\.id accepts ([^:]+):/
          .exec(message)
          ?.slice(1)
      ),
    [
      ['texts', 'an ObjectId', 'text'],
      ['uuids', 'an ObjectId', 'text'],
      ['bson_uuids', 'an ObjectId', 'a UUID'],
      ['numbers', 'an ObjectId', 'a whole number'],
      ['objects', 'text', 'an ObjectId']
    ]
  )
})

function logLines () {
  const lines: string[] = []
  return {
    write: (line: string) => {
      lines.push(line)
    },
    messages: () => lines.map(line => String(JSON.parse(line).msg))
  }
}
