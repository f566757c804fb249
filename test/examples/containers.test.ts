/**
 * docker-compose.yml, Dockerfile and the configuration of the PowerSync Service, as far as can be told without running
 * containers: against the schemas of both, and against the server and the files that they name.
 */
import { Ajv } from 'ajv'
import { DCLinter } from 'dclint'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import t from 'tap'
import { parse, parseDocument } from 'yaml'
import { collections } from '../../examples/collections.js'
import { streamsOf } from '../../lib/schema/streams.js'

const examples = new URL('../../examples/', import.meta.url)
const read = (file: string) => readFile(new URL(file, examples), 'utf8')

interface Service {
  build?: { context: string, dockerfile: string }
  command?: string[]
  environment?: Record<string, string>
  volumes?: string[]
  ports?: string[]
  depends_on?: Record<string, unknown>
  healthcheck?: { test: string[] }
}

const { services } = parse(await read('docker-compose.yml')) as { services: Record<string, Service> }

t.test('docker-compose.yml is one, without a fault that a linter knows', t => {
  const faults = new DCLinter({
    quiet: false,
    debug: false,
    exclude: [],
    rules: { 'service-keys-order': 0, 'services-alphabetical-order': 0, 'require-quotes-in-ports': 0 }
  })
    .lintFiles([new URL('docker-compose.yml', examples).pathname], false)
    .flatMap(({ messages }: { messages: Array<{ rule: string, message: string }> }) =>
      messages.map(({ rule, message }) => `${rule}: ${message}`)
    )
  t.strictSame(faults, [])
  t.end()
})

t.test('what it names is there', async t => {
  for (const [name, { build, volumes = [], depends_on: needed = {} }] of Object.entries(services)) {
    if (build) {
      t.ok(existsSync(new URL(`${build.context}/${build.dockerfile}`, examples)), `${name} is built from a file`)
    }
    for (const volume of volumes.filter(volume => volume.startsWith('.'))) {
      t.ok(existsSync(new URL(String(volume.split(':')[0]), examples)), volume)
    }
    for (const other of Object.keys(needed)) {
      t.ok(services[other]?.healthcheck ?? other === 'server', `${name} waits for ${other}, whose health is checked`)
    }
  }
  t.match(await read('Dockerfile'), /^HEALTHCHECK /m, 'that of the server is in its Dockerfile')
})

t.test('server and service mean the same', async t => {
  const { server, powersync, mongo } = services
  t.equal(server?.environment?.['POWERSYNC_URL'], powersync?.environment?.['PS_AUDIENCE'], 'the audience')
  t.equal(server?.environment?.['MONGO_URI'], powersync?.environment?.['PS_MONGO_URI'], 'the database')
  t.not(
    powersync?.environment?.['PS_STORAGE_URI'],
    powersync?.environment?.['PS_MONGO_URI'],
    'the service keeps its own elsewhere'
  )
  t.ok(
    mongo?.command?.includes('rs0') && server?.environment?.['MONGO_URI']?.endsWith('replicaSet=rs0'),
    'the replica set'
  )
  t.match(await read('server.ts'), "prefix: '/powersync'")
  t.equal(powersync?.environment?.['PS_JWKS_URI'], 'http://server:3000/powersync/jwks')
})

t.test('the service\'s configuration fits its schema', async t => {
  const used: string[] = []
  const { contents } = parseDocument(await read('powersync/service.yaml'), {
    customTags: [
      {
        tag: '!env',
        resolve: (name: string) => {
          used.push(name)
          return services['powersync']?.environment?.[name]
        }
      }
    ]
  })
  const config = contents?.toJSON()
  const schema = JSON.parse(
    await readFile(createRequire(import.meta.url).resolve('@powersync/service-schema/schema.json'), 'utf8')
  )
  const validate = new Ajv({ strict: false, allErrors: true }).compile(schema)
  validate(config)
  t.strictSame(validate.errors, null)
  t.strictSame(
    used.sort(),
    Object.keys(services['powersync']?.environment ?? {})
      .filter(name => name !== 'POWERSYNC_CONFIG_PATH')
      .sort()
  )
  t.ok(existsSync(new URL(`powersync/${config.sync_config.path}`, examples)))
})

t.test('the streams are those of the collections', async t => {
  t.equal(await read('powersync/streams.yaml'), streamsOf(collections, Object.keys(collections)))
})
