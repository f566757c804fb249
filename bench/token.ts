/** Tokens beside bare signatures of the same algorithm. */
import Fastify from 'fastify'
import { createPrivateKey, sign } from 'node:crypto'
import { generateKeys, powersyncMongo } from './package.js'
import { startWireServer } from './processes.js'
import { collectionsOf } from './schema.js'
import { measure, print, type Figure, type Options } from './support.js'

const digests = { RS256: 'sha256', ES256: 'sha256', EdDSA: null } as const

export async function token ({ quick }: Options): Promise<Figure[]> {
  const mongo = await startWireServer()
  const figures: Figure[] = []
  for (const [algorithm, digest] of Object.entries(digests)) {
    const { privateKey } = await generateKeys({ algorithm: algorithm as keyof typeof digests })
    const key = createPrivateKey({ key: { ...privateKey }, format: 'jwk' })
    const options = algorithm === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' as const } : key
    const app = Fastify()
    await app.register(powersyncMongo, {
      mongo: { url: mongo.ready['uri'] },
      powersyncUrl: 'https://bench.powersync.example',
      keys: { signing: privateKey },
      authenticate: () => null,
      collections: collectionsOf(1)
    })
    let users = 0
    const data = Buffer.alloc(200, 'x') // what is signed of a token is about as long
    const each = quick ? 2 : 20
    figures.push(...await measure({
      [`${algorithm}: crypto.sign`]: () => { for (let i = 0; i < each; i++) sign(digest, data, options) },
      [`${algorithm}: token of another user`]: async () => {
        for (let i = 0; i < each; i++) await app.powersync.signToken({ id: `user${users++}` })
      },
      [`${algorithm}: token of the same user`]: async () => {
        for (let i = 0; i < each; i++) await app.powersync.signToken({ id: 'user' })
      }
    }, { rounds: quick ? 2 : 200, warmUp: quick ? 0 : 20 }))
    await app.close()
  }
  await mongo.stop()
  // As speeds: the signature's time in the token's.
  for (const figure of figures) figure.ratio = 1 / figure.ratio!
  print('token: milliseconds for 20 (a speed of at least 0.8 is wanted)', figures)
  return figures
}
