/** What reading, checking and converting an upload costs, beside parsing its body and encoding its writes alone. */
import fastifyMongodb from '@fastify/mongodb'
import { CollectionRegistry, decodeAll, MongoDBStorage, parseUpload, readUpload } from './package.js'
import { collectionsOf } from './schema.js'
import { measure, print, type Figure, type Options } from './support.js'
import { uploadBody } from './uploads.js'

const { BSON } = fastifyMongodb.mongodb

export async function decode ({ quick }: Options): Promise<Figure[]> {
  const collections = collectionsOf(1)
  const registry = new CollectionRegistry(collections, {})
  const limits = { expected: 'an upload', atOnce: 512 * 1024, units: { most: Infinity, tooMany: () => '' } }
  const user = { id: 'user1' }
  const session = {}
  let command: object | undefined
  // The storage encodes what it would send.
  const encoder = {
    client: {},
    bsonOptions: {},
    command: async (written: object) => {
      command ??= written
      BSON.serialize(written)
      return {}
    }
  }
  const storage = new MongoDBStorage(encoder as never, collections)

  const figures: Figure[] = []
  for (const operations of [1, 10, 100, 1000, 10_000]) {
    const bytes = Buffer.from(JSON.stringify(uploadBody({ operations }))) // as a request has them
    const upload = async () => {
      const { transactions } = readUpload(await parseUpload(bytes, limits))
      for (const transaction of await decodeAll(transactions, registry.for(user), registry.migrations)) {
        await storage.updateBatch(transaction, { user, session: session as never })
      }
    }
    command = undefined
    await upload()
    const writes = command!
    // Several at once: so that short times can be measured, and so that each pays for its own garbage.
    const repeat = quick ? 1 : Math.ceil(10_000 / operations)
    const measured = await measure({
      [`${operations} operations: JSON.parse and BSON`]: () => {
        for (let i = 0; i < repeat; i++) {
          JSON.parse(bytes.toString())
          BSON.serialize(writes)
        }
      },
      [`${operations} operations: from the body to BSON`]: async () => {
        for (let i = 0; i < repeat; i++) await upload()
      }
    }, { rounds: quick ? 3 : 30, warmUp: quick ? 0 : 5 })
    figures.push(
      ...measured.map(figure => ({
        ...figure,
        value: figure.value / repeat,
        spread: figure.spread!.map(ms => ms / repeat) as [number, number]
      }))
    )
  }
  print('decode: an upload of rows with eight typed fields (at 1 000 operations at most 1.45 is wanted)', figures)
  return figures
}
