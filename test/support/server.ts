/** A Fastify server with the plugin, as a host would have it, closed when the test ends. */
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import powersyncMongo, { developmentAuth, generateKeys, type PowerSyncMongoOptions } from '../../index.js'

/** One key pair for the tests of one file: making an RSA key takes a while. */
export const keys = await generateKeys()

export type TestServerOptions = Partial<PowerSyncMongoOptions> & Pick<PowerSyncMongoOptions, 'collections' | 'mongo'>

export async function testServer (
  t: Pick<Test, 'teardown'>,
  options: TestServerOptions,
  serverOptions: FastifyServerOptions = {}
): Promise<FastifyInstance> {
  const app = Fastify(serverOptions)
  t.teardown(() => app.close())
  await app.register(powersyncMongo, {
    powersyncUrl: 'https://test.powersync.example',
    keys: { signing: keys.privateKey },
    authenticate: developmentAuth(),
    ...options
  })
  return app
}

/** For `serverOptions`: a logger that keeps its lines, and the lines. */
export function keptLog (level = 'info') {
  const lines: string[] = []
  return { lines, logger: { level, stream: { write: (line: string) => { lines.push(line) } } } }
}

export interface UploadResponse {
  status: number
  body: Record<string, any>
  headers: Record<string, unknown>
}

/** `POST /upload`, by default as JSON. */
export async function upload (
  app: FastifyInstance,
  body: unknown,
  { url = '/upload', headers = {} } = {}
): Promise<UploadResponse> {
  const payload = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await app.inject({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json', ...headers },
    payload
  })
  return { status: response.statusCode, body: response.json(), headers: response.headers }
}
