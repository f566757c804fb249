import fastifyMongodb from '@fastify/mongodb'
import { CollectionRegistry, decodeAll, parseUpload, readUpload } from './package.js'
import { collectionsOf } from './schema.js'
import { uploadBody } from './uploads.js'
const built = (file: string): Promise<any> => import(new URL(`../dist/${file}`, import.meta.url).href)
const { parseJson } = await built('lib/json.js')
const { planAll } = await built('lib/rules/hooks.js')
const { statementsOf } = await built('lib/store/mongodb-storage.js')
const { Statements } = await built('lib/store/statements.js')
const { Permits } = await built('lib/rules/permits.js')
const { fingerprintOf } = await built('lib/store/fingerprint.js')
const { BSON } = fastifyMongodb.mongodb
const registry = new CollectionRegistry(collectionsOf(1), {})
const limits = { expected: 'an upload', units: { most: Infinity, tooMany: () => '' } }
const body = JSON.stringify(uploadBody({ operations: 1000 }))
const bytes = Buffer.from(body)
const time = async (name: string, f: () => any, n = 200) => { for (let i = 0; i < 30; i++) await f(); const t = performance.now(); for (let i = 0; i < n; i++) await f(); console.log(name.padEnd(20), ((performance.now() - t) / n).toFixed(3)) }
const value = await parseUpload(bytes, limits)
const { transactions } = readUpload(value, undefined)
const of = registry.for({ id: 'u' })
const decoded = decodeAll(transactions, of)
const planned = planAll(decoded, of, new Permits())
const plans = planned.flatMap((p: any) => p.plans)
const statements = statementsOf(plans)
let sent: any
const st = new Statements({ client: { db: () => null }, bsonOptions: {}, command: async (c: any) => { sent = c; return {} } }, { bulkWrite: false })
await st.send([[], statements, []], 'fewest', { session: {} })
await time('JSON.parse', () => JSON.parse(body))
await time('parseJson', () => parseJson(body))
await time('parseUpload', () => parseUpload(bytes, limits))
await time('readUpload', () => readUpload(value, undefined))
await time('decode', () => decodeAll(transactions, registry.for({ id: 'u' })))
await time('plan', () => planAll(decoded, of, new Permits()))
await time('statements', () => statementsOf(plans))
await time('send', () => st.send([[], statements, []], 'fewest', { session: {} }))
await time('BSON', () => BSON.serialize(sent))
await time('fingerprints', () => transactions.map((t: any) => t.operations.map(fingerprintOf)))
