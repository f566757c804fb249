/** The service's own evaluator of streams, `@powersync/service-sync-rules`. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { configFile } from './command-line.js'

const found = service()

/**
 * For a test's options, `{ skip: serviceMissing }`: it needs Node 21 or later, this one or the one that
 * NODE_FOR_SERVICE names.
 */
export const serviceMissing: string | false = typeof found === 'string' ? found : false

function service (): { node: string, rules: string } | string {
  const node =
    process.env['NODE_FOR_SERVICE'] || (Number(process.versions.node.split('.')[0]) > 20 ? process.execPath : undefined)
  if (!node) return 'needs Node 22: run the tests with it, or set NODE_FOR_SERVICE to its path'
  try {
    return { node, rules: import.meta.resolve('@powersync/service-sync-rules') }
  } catch (error) {
    return `needs the package @powersync/service-sync-rules: ${(error as Error).message.split('\n', 1).join()}`
  }
}

/**
 * Runs code with the evaluator as `rules` and the input as `input`, whose `{ $int: text }` are bigints there and `{
 * $bytes: base64 }` bytes.
 * @returns what the code's `result` is
 */
export async function withSyncRules<Result> (t: Pick<Test, 'teardown'>, code: string, input: unknown): Promise<Result> {
  const { node, rules } = found as { node: string, rules: string }
  const script = await configFile(
    t,
    `
    import { readFileSync } from 'node:fs'
    const rules = await import(${JSON.stringify(rules)})
    const input = JSON.parse(readFileSync(process.argv[2], 'utf8'), (_, value) => 
      typeof value?.$int === 'string' ? BigInt(value.$int) : typeof value?.$bytes === 'string' ? new Uint8Array(Buffer.from(value.$bytes, 'base64')) : value)
    ${code}
    console.log(JSON.stringify(result, (_, value) => typeof value === 'bigint' ? Number(value) : value))
  `,
    { name: 'evaluate.mjs' }
  )
  const file = join(dirname(script), 'input.json')
  await writeFile(file, JSON.stringify(input))
  const { stdout } = await promisify(execFile)(node, [script, file], {
    env: { _TAPJS_PROCESSINFO_COVERAGE_: '0' },
    maxBuffer: 64 * 1024 * 1024
  })
  return JSON.parse(stdout) as Result
}

export interface SyncedRow { table: string, id: string, data: Record<string, unknown> }

/**
 * What each user gets of these rows: `rows` as the service reads them from MongoDB, `users` as claims of their tokens.
 */
export function syncedRows (
  t: Pick<Test, 'teardown'>,
  streams: string,
  users: ReadonlyArray<Record<string, unknown>>,
  rows: ReadonlyArray<{ collection: string, record: Record<string, unknown> }>
): Promise<{ errors: string[], synced: SyncedRow[][] }> {
  return withSyncRules(
    t,
    `
    const { config, errors } = rules.SqlSyncRules.fromYaml(input.streams, { defaultSchema: 'test', throwOnError: false })
    const sqlite = rules.nodeSqlite(await import('node:sqlite'))
    const synced = config.hydrate({ hydrationState: rules.DEFAULT_HYDRATION_STATE, sqlite })
    const tableOf = name => ({ connectionTag: 'default', schema: 'test', name })
    const lookups = new Map()
    for (const { collection, record } of input.rows) {
      for (const { lookup, bucketParameters } of synced.evaluateParameterRow(tableOf(collection), record)) {
        const key = lookup.serializedRepresentation
        lookups.set(key, [...lookups.get(key) ?? [], ...bucketParameters])
      }
    }
    const data = input.rows.flatMap(({ collection, record }) => synced.evaluateRow({ sourceTable: tableOf(collection), record }))
    const result = { errors: errors.map(error => error.message), synced: [] }
    for (const user of input.users) {
      const globalParameters = new rules.RequestParameters(new rules.BaseJwtPayload(user), {})
      const { querier } = synced.getBucketParameterQuerier({ globalParameters, hasDefaultStreams: true, streams: {} })
      const dynamic = await querier.queryDynamicBucketDescriptions({
        getParameterSets: async wanted => wanted.map(lookup => ({ lookup, rows: lookups.get(lookup.serializedRepresentation) ?? [] }))
      })
      const buckets = new Set([...querier.staticBuckets, ...dynamic].map(({ bucket }) => bucket))
      result.synced.push(data.filter(({ bucket }) => buckets.has(bucket)).map(({ table, id, data }) => ({ table, id, data })))
    }
  `,
    { streams, users, rows }
  )
}
