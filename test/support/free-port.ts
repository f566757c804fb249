import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

/**
 * A port for a process that is started later, and maybe again. It is below those that systems give to outgoing
 * connections (49152 and up by RFC 6335, 32768 and up on Linux): one of these could have it whenever nobody listens.
 */
export async function freePort (): Promise<number> {
  for (;;) {
    const server = createServer().listen(10_000 + Math.floor(Math.random() * 20_000))
    try {
      await once(server, 'listening') // throws what the server emits as an error
    } catch {
      continue
    }
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    return port
  }
}
