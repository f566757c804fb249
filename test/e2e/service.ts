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

/** @param tokensExpireIn seconds that are left of the token of each connection, in their order; the last one stays */
export async function testService (t: Pick<Test, 'teardown'>, tokensExpireIn = [3600]): Promise<TestService> {
  const credentials: TestService['credentials'] = []
  const open = new Set<Readable>()
  const service = Fastify({ forceCloseConnections: true })
  t.teardown(() => service.close())
  service.post('/sync/stream', (request, reply) => {
    credentials.push(request.headers.authorization)
    // The first line makes the SDK look into its queue; the stream then stays open.
    const lines = new Readable({ read () {} })
    lines.push(`{"token_expires_in":${tokensExpireIn[credentials.length - 1] ?? tokensExpireIn.at(-1)}}\n`)
    open.add(lines)
    return reply.type('application/x-ndjson').send(lines)
  })
  service.get('/write-checkpoint2.json', () => ({ data: { write_checkpoint: '1' } }))
  // As if everything that was uploaded had been replicated: the number comes back in an empty checkpoint.
  service.post<{ Body: { checkpoint_request_id: string } }>(
    '/sync/checkpoint-request',
    ({ body: { checkpoint_request_id: id } }) => {
      for (const lines of open) {
        lines.push(
          `{"checkpoint":{"last_op_id":"0","write_checkpoint":"${id}","buckets":[]}}\n{"checkpoint_complete":{"last_op_id":"0"}}\n`
        )
      }
      return { data: { checkpoint_request_id: id } }
    }
  )
  return { url: await service.listen({ host: '127.0.0.1', port: 0 }), credentials }
}
