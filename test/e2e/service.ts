/**
 * Stands in for the PowerSync Service: takes connections and asks for uploads, as the real one does when a client
 * comes online, but has no data to send. What clients wrote stays as they wrote it.
 */
import { Readable } from 'node:stream'
import Fastify from 'fastify'
import type { Test } from 'tap'

export interface TestService {
  url: string
  /** `Authorization` of each connection. */
  credentials: Array<string | undefined>
}

export async function testService (t: Pick<Test, 'teardown'>): Promise<TestService> {
  const credentials: TestService['credentials'] = []
  const service = Fastify({ forceCloseConnections: true })
  t.teardown(() => service.close())
  service.post('/sync/stream', (request, reply) => {
    credentials.push(request.headers.authorization)
    // The first line makes the SDK look into its queue; the stream then stays open.
    const lines = new Readable({ read () {} })
    lines.push('{"token_expires_in":3600}\n')
    return reply.type('application/x-ndjson').send(lines)
  })
  service.get('/write-checkpoint2.json', () => ({ data: { write_checkpoint: '1' } }))
  return { url: await service.listen({ host: '127.0.0.1', port: 0 }), credentials }
}
