/**
 * A proxy between the driver and the emulator that understands the wire protocol: it passes commands on, or answers
 * them itself, or loses them or their replies. What the emulator holds in the end is what was really written.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import fastifyMongodb from '@fastify/mongodb'
import { encodeCommand, messageReader, readCommand, type Command, type Document } from './wire-protocol.js'

/** What becomes of a command: it passes, it is answered with a reply, or its connection is cut. */
export type Verdict =
  | undefined
  /** It passes, after all others of this kind; told whether it succeeded when the emulator has answered. */
  | { inTurn: (succeeded: boolean) => void }
  /** With `abort` the transaction that it belongs to is aborted: MongoDB does that when it refuses a command of one. */
  | { reply: Document, abort?: boolean }
  /** The connection is cut before the emulator gets it, or after it has carried it out. */
  | { cut: 'before' | 'after' }
  /** Nobody gets it, and nobody answers. */
  | { hang: true }

export interface WireProxyOptions {
  judge: (command: Command) => Verdict
  /** A connection is gone. */
  lost?: ((connection: number) => void) | undefined
}

export interface WireProxy {
  /** The emulator's connection string, by way of this proxy. */
  uri: string
  stop (): Promise<void>
}

const HOST = '127.0.0.1'

/** @param uri of the emulator, which has to listen on the loopback interface */
export async function startWireProxy (uri: string, { judge, lost = () => {} }: WireProxyOptions): Promise<WireProxy> {
  const [emulator, emulatorPort] = /127\.0\.0\.1:(\d+)/.exec(uri) ?? []
  if (!emulator) throw new RangeError(`${uri} is not on ${HOST}`)
  const sockets = new Set<Socket>()
  const inTurn = createTurns()
  let connections = 0

  const listener = createServer({ noDelay: true }, accept)
  listener.listen(0, HOST)
  await once(listener, 'listening')
  const address = `${HOST}:${(listener.address() as AddressInfo).port}`

  function accept (client: Socket): void {
    const connection = ++connections
    const upstream = track(connect({ host: HOST, port: Number(emulatorPort), noDelay: true }))
    track(client)
    /** What to do when a request is answered, or never will be; what it gives takes the reply's place, null cuts the connection. */
    const replies = new Map<number, (reply: Buffer | undefined) => Buffer | null | undefined>()

    client.on('data', messageReader(bytes => {
      const { command, encode } = readCommand(bytes, connection)
      const verdict = judge(command)
      if (verdict && 'reply' in verdict) {
        const reply = encode(verdict.reply)
        if (!verdict.abort) return client.write(reply)
        replies.set(0, () => reply)
        return upstream.write(abortOf(command))
      }
      if (verdict && 'cut' in verdict && verdict.cut === 'before') return client.destroy()
      if (verdict && 'hang' in verdict) return
      if (verdict && 'cut' in verdict) replies.set(requestId(bytes), () => null)
      if (!verdict || !('inTurn' in verdict)) return upstream.write(bytes)
      let finish = () => {}
      // Noted before its turn comes, so that its connection is kept until then.
      replies.set(requestId(bytes), reply => {
        verdict.inTurn(reply !== undefined && succeeded(reply))
        finish()
        return reply
      })
      inTurn(done => {
        if (!upstream.writable) return done()
        finish = done
        upstream.write(bytes)
      })
    }))
    upstream.on('data', messageReader(bytes => {
      const answered = replies.get(responseTo(bytes))
      replies.delete(responseTo(bytes))
      const reply = answered ? answered(bytes) : bytes
      if (!reply) return client.destroy()
      // The driver goes where the reply to `hello` says that the replica set is.
      if (reply.includes(emulator!)) putInPlace(reply, emulator!, address)
      if (client.writable) client.write(reply)
      if (client.destroyed && replies.size === 0) upstream.destroy()
    }))
    // A command under way is waited for: it has its effect, although nobody hears of it.
    client.on('close', () => {
      lost(connection)
      if (replies.size === 0) upstream.destroy()
    })
    upstream.on('close', () => {
      for (const answered of replies.values()) answered(undefined)
      replies.clear()
      client.destroy()
    })
  }

  function track (socket: Socket): Socket {
    sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  }

  return {
    uri: uri.replace(emulator, address),
    async stop () {
      const closed = once(listener, 'close')
      listener.close()
      for (const socket of sockets) socket.destroy()
      await closed
    }
  }
}

/** Starts one thing after the other is done. */
function createTurns (): (start: (done: () => void) => void) => void {
  const waiting: Array<() => void> = []
  let busy = false
  const next = () => {
    const start = waiting.shift()
    if (start) start()
    else busy = false
  }
  return start => {
    waiting.push(() => start(next))
    if (busy) return
    busy = true
    next()
  }
}

const abortOf = ({ document: { lsid }, txnNumber }: Command) => encodeCommand({
  abortTransaction: 1, lsid, txnNumber: fastifyMongodb.mongodb.Long.fromNumber(Number(txnNumber)), autocommit: false, $db: 'admin'
})

const requestId = (bytes: Buffer) => bytes.readInt32LE(4)
const responseTo = (bytes: Buffer) => bytes.readInt32LE(8)

/** Of an OP_MSG: its document comes after the header, the flags and the kind of its only section. */
const succeeded = (bytes: Buffer) => fastifyMongodb.mongodb.BSON.deserialize(bytes.subarray(21))['ok'] === 1

/** Of the same length, so that the lengths around it in the BSON stay true. */
function putInPlace (bytes: Buffer, from: string, to: string): void {
  if (from.length !== to.length) throw new RangeError(`${to} cannot stand in the place of ${from}: not the same length`)
  for (let at = bytes.indexOf(from); at !== -1; at = bytes.indexOf(from, at)) bytes.write(to, at)
}
