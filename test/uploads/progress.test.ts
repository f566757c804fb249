/** Rule 6: every attempt makes progress, whatever else goes on in the database. */
import fastifyMongodb from '@fastify/mongodb'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { collection } from '../../index.js'
import { needs, testDatabase } from '../support/database.js'
import { testServer, upload } from '../support/server.js'

const mongo = await testDatabase(t)

t.test(
  '401 transactions, of which one meets a row that is busy for a while, are applied in one upload',
  { skip: needs(mongo, 'mongod', 'write conflicts between updates') },
  async t => {
    const app = await testServer(t, {
      mongo: { url: mongo.uri, monitorCommands: true },
      collections: { rows: collection({ schema: Type.Object({ n: Type.Integer() }) }) }
    })
    const client = await new fastifyMongodb.mongodb.MongoClient(mongo.uri).connect()
    t.teardown(() => client.close())
    const rows = client.db().collection<{ _id: string, n: number }>('rows')
    await rows.insertOne({ _id: 'row200', n: -1 })

    const session = client.startSession()
    session.startTransaction()
    await rows.updateOne({ _id: 'row200' }, { $set: { n: -2 } }, { session })
    // Until what shares a commit with it has been split down to a few.
    const aborted = new Promise<void>(resolve => {
      let count = 0
      app.mongo.client.on('commandStarted', ({ commandName }) => {
        if (commandName === 'abortTransaction' && ++count === 12) resolve()
      })
    })
    const sent = upload(app, {
      client_id: 'phone',
      batch: Array.from({ length: 401 }, (_, n) => ({
        op: 'PUT',
        type: 'rows',
        id: `row${n}`,
        op_id: n + 1,
        tx_id: n,
        data: { n }
      }))
    })
    await aborted
    const others = await rows.countDocuments({ n: { $gte: 0 } })
    await session.abortTransaction()
    const { status, body } = await sent
    t.equal(status, 200)
    t.same(body['results'], Array.from({ length: 401 }, () => ({ status: 'success' })))
    t.ok(others >= 100, `${others} are applied while the row is busy`)
    t.equal(await rows.countDocuments({ n: { $gte: 0 } }), 401)
  }
)

// The longest wait of a group is half of the deadline.
t.test('a transaction that needs most of the deadline gets it, if not at once, whatever stands beside it', async t => {
  const app = await testServer(t, {
    mongo: { url: mongo.uri },
    upload: { deadline: 4000 },
    collections: {
      slow: collection({
        schema: Type.Object({ n: Type.Integer() }),
        authorize: async ({ id }) => {
          if (id === 'row2') await new Promise(resolve => setTimeout(resolve, 2100))
          return true
        }
      })
    }
  })
  const batch = [0, 1, 2, 3].map(n =>
    ({ op: 'PUT', type: 'slow', id: `row${n}`, op_id: n + 1, tx_id: n, data: { n } }))
  const statuses: number[] = []
  while (statuses.at(-1) !== 200 && statuses.length < 6) {
    statuses.push((await upload(app, { client_id: 'phone', batch })).status)
  }
  t.equal(statuses.at(-1), 200, statuses.join(' '))
})
