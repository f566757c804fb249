import t from 'tap'
import { bson, collection, throughParent, Type, type Collections } from '../../index.js'
import { testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const { uri } = await testDatabase(t)
const schema = Type.Object({ text: Type.Optional(Type.String()), by: Type.Optional(Type.String()) })

t.test('a collection whose default collation takes different ids or owners for equal stops the start, whichever table finds it', async t => {
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
      { parents: collection({ schema }), rows: collection({ ...integers, name, owner: throughParent('parents', 'by') }) },
      { texts: collection({ schema, name }), numbers: collection({ ...integers, name }) },
      { numbers: collection({ ...integers, name }), texts: collection({ schema, name }) }
    ]
    for (const collections of wrong) await t.rejects(testServer(t, { mongo: { url: uri }, collections }), { code: 'FST_PSM_MONGO', message })
    const numbers = await testServer(t, { mongo: { url: uri }, collections: { numbers: collection({ schema: Type.Object({ n: bson.Int32() }), id: 'integer', name }) } })
    t.match((await upload(numbers, { batch: [{ op: 'PUT', table: 'numbers', id: '5', data: { n: 1 } }] })).body.results, [{ status: 'success' }])
  }
})
