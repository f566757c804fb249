import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Test } from 'tap'
import type { Command } from 'commander'
import { programOf, run } from '../../lib/cli/run.js'

interface Surroundings {
  /** Its variables. */
  env?: Record<string, string | undefined>
  /** Its working directory. Default: one without `.env` and `powersync.config.ts`. */
  cwd?: string
  /** That of a terminal; absent, stdout and stderr are pipes. */
  columns?: number
  /** What is typed. */
  stdin?: string
}

const nowhere = { write: () => {} }

/** Every command with its words, those of groups with the group's. */
export const allCommands: { name: string[], command: Command }[] = programOf({
  stdin: Readable.from([]),
  stdout: nowhere,
  stderr: nowhere,
  env: {},
  cwd: () => '/'
}).commands.flatMap(command =>
  command.commands.length > 0
    ? command.commands.map(inner => ({ name: [command.name(), inner.name()], command: inner }))
    : [{ name: [command.name()], command }]
)

/** Runs `powersync-mongo` in this process, without variables and terminal. */
export function powersyncMongo (...args: string[]): Promise<{ code: number, stdout: string, stderr: string }> {
  return powersyncMongoIn({}, ...args)
}

export async function powersyncMongoIn (
  { env = {}, cwd = import.meta.dirname, columns, stdin = '' }: Surroundings,
  ...args: string[]
): Promise<{ code: number, stdout: string, stderr: string }> {
  const output = { stdout: '', stderr: '' }
  const stream = (name: keyof typeof output) => ({
    isTTY: columns !== undefined,
    columns,
    write: (text: string) => {
      output[name] += text
    }
  })
  const code = await run(args, {
    env: columns === undefined ? env : { TERM: 'xterm-256color', ...env },
    cwd: () => cwd,
    now: () => 0,
    stdin: Object.assign(Readable.from([stdin]), { isTTY: columns !== undefined }),
    stdout: stream('stdout'),
    stderr: stream('stderr')
  })
  return { code, ...output }
}

const source = new URL('../../index.js', import.meta.url).href
const built = new URL('../../dist/index.js', import.meta.url).href

/**
 * The path of a file that exports collections, as a user would write it; gone when the test ends. In the project it
 * uses the built package: tsx, which the project has, would compile the sources its own way, and spoil their coverage.
 */
export async function configFile (
  t: Pick<Test, 'teardown'>,
  code: string,
  { name = 'collections.mjs', inProject = false } = {}
): Promise<string> {
  const folder = await mkdtemp(
    inProject ? join(import.meta.dirname, '..', '.readme-') : join(tmpdir(), 'powersync-mongo-')
  )
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, name)
  await writeFile(
    file,
    code
      .replace('\'fastify-powersync-mongo\'', `'${inProject ? built : source}'`)
      .replace('\'@sinclair/typebox\'', `'${import.meta.resolve('@sinclair/typebox')}'`)
  )
  return file
}

/** What the tests of commands that read collections use. */
export const todoConfig = `
import { bson, collection } from 'fastify-powersync-mongo'
import { Type } from '@sinclair/typebox'

export const collections = {
  lists: collection({
    name: 'app_lists',
    owner: 'owner_id',
    fields: { ownerId: 'owner_id' },
    schema: Type.Object({ owner_id: Type.String(), name: Type.String({ maxLength: 200 }), created_at: Type.Optional(bson.Date()) })
  }),
  todos: collection({
    fields: { its$5: "it's $5" },
    schema: Type.Object({
      list_id: Type.String(),
      done: bson.Boolean(),
      estimate: Type.Optional(bson.Double()),
      photo: Type.Optional(bson.Binary()),
      "it's $5": Type.Optional(Type.String())
    })
  })
}
`
