/**
 * Compiles the connectors of examples/connectors against the published SDKs, where the tools for it are, and lets the
 * one in Rust upload through a proxy that loses the first answer.
 *
 * Takes ten minutes and needs crates.io and Maven Central, so it is run by hand after a change of a connector:
 * npx tsx test/connectors/connectors.ts
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import powersyncMongo, { bson, collection, Type } from '../../index.js'
import { additive } from '../../lib/rules/conflicts/index.js'
import { generateKeys } from '../../lib/keys/generate.js'
import { testDatabase } from '../support/database.js'

t.setTimeout(1_800_000) // a first compilation
const run = promisify(execFile)
const folder = fileURLToPath(new URL('.', import.meta.url))
const works = (file: string, ...args: string[]): Promise<boolean> => run(file, args).then(() => true, () => false)

/** The Cargo to use, by its toolchain: the SDK for Rust needs 1.96, and bindgen's libclang. */
async function findCargo (): Promise<string[] | string> {
  if (!await works('cargo', '--version')) return 'needs Cargo'
  for (const toolchain of [[], ['+nightly']]) {
    const version = await run('cargo', [...toolchain, '--version']).then(
      ({ stdout }) => /1\.(\d+)/.exec(stdout)?.[1],
      () => undefined
    )
    if (Number(version) >= 96) {
      return (await works(
        'sh',
        '-c',
        'ls /usr/lib/llvm*/lib/libclang*.so* "$LIBCLANG_PATH"/libclang* 2>/dev/null | grep -q .'
      ))
        ? toolchain
        : 'needs libclang, on Debian: apt-get install libclang-dev'
    }
  }
  return 'the SDK needs Cargo 1.96 or later'
}

const cargo = await findCargo()
t.test(
  'Rust: compiles, and a transaction whose answer is lost is applied once',
  { skip: typeof cargo === 'string' && cargo },
  async t => {
    const target = process.env['CARGO_TARGET_DIR'] ?? join(tmpdir(), 'fastify-powersync-mongo-cargo')
    const environment = { ...process.env, CARGO_TARGET_DIR: target }
    await run('cargo', [...(cargo as string[]), 'build', '--quiet'], {
      cwd: join(folder, 'rust'),
      env: environment,
      maxBuffer: 2 ** 26
    })

    const { uri } = await testDatabase(t)
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(powersyncMongo, {
      powersyncUrl: 'https://me.powersync.example',
      keys: { signing: (await generateKeys()).privateKey },
      mongo: { url: uri },
      authenticate: ({ headers }) => headers.authorization === 'Session rust' ? { id: 'rust' } : null,
      collections: {
        products: collection({
          schema: Type.Object({ name: Type.String(), stock: bson.Int32() }),
          resolveConflict: additive(['stock'])
        })
      }
    })
    const uploads: Array<Record<string, unknown>> = []
    const proxy = await losingFirst(await app.listen({ host: '127.0.0.1', port: 0 }), uploads)
    t.teardown(() => proxy.close())

    const { stdout } = await run(join(target, 'debug', 'connector'), [proxy.url], { timeout: 60_000 })
    t.equal(stdout, 'done\n')
    t.match(uploads, [
      { transactions: [{ crud: [{ op: 'PUT', op_id: 1 }] }] },
      { transactions: [{ crud: [{ op: 'PUT', op_id: 1 }] }] },
      { transactions: [{ crud: [{ op: 'PATCH', op_id: 2, old: { stock: 10 } }] }] },
      { transactions: [{ crud: [{ op: 'PATCH', op_id: 2 }] }] }
    ])
    t.strictSame(uploads[1], uploads[0], 'sent again as it was')
    t.strictSame(
      await app.mongo.db?.collection<{ _id: string }>('products').findOne({ _id: 'p1' }),
      { _id: 'p1', name: 'Äpfel', stock: 15 },
      'added once'
    )
  }
)

const java = await works('mvn', '--version') && await works('java', '--version')
t.test('Kotlin: compiles', { skip: !java && 'needs Java 17 and Maven' }, async t => {
  const target = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-kotlin-'))
  t.teardown(() => rm(target, { recursive: true, force: true }))
  await run('mvn', ['--quiet', '--batch-mode', `-Dtarget=${target}`, 'compile'], { cwd: join(folder, 'kotlin') })
  t.pass('without an error')
})

/** Forwards everything, and drops the connection in place of the first answer to each upload. */
async function losingFirst (to: string, uploads: Array<Record<string, unknown>>) {
  const lost = new Set<string>()
  const server = createServer(async (request, response) => {
    const body = await textOf(request)
    const { authorization = '' } = request.headers
    const answer = await fetch(to + request.url, {
      method: request.method!,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body && { body })
    })
    if (body) uploads.push(JSON.parse(body) as Record<string, unknown>)
    if (body && !lost.has(body)) {
      lost.add(body)
      await answer.text()
      response.destroy()
    } else response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close () {
      server.closeAllConnections()
      server.close()
    }
  }
}

async function textOf (request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += String(chunk)
  return text
}
