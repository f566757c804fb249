/**
 * A scripted server that speaks the MongoDB wire protocol, for what no database at hand can be made to do: elections,
 * labels, a commit whose answer is lost. It keeps no data. What is not scripted is acknowledged at once, which makes it
 * the floor of the upload benchmark too. The driver in front of it is the real one.
 */
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { messageReader, readCommand, type Command, type Document } from './wire-protocol.js'
import { defaultReply, SET_NAME, type Exchange, type Outcome, type Topology } from './wire-replies.js'

export type { Document } from './wire-protocol.js'
export * from './wire-replies.js'

export interface WireServerOptions {
  /** 0, the default, takes any free one. */
  port?: number | undefined
  topology?: Topology | undefined
  /** 25 (MongoDB 8.0) by default; 21 is 7.0, without the `bulkWrite` command. */
  maxWireVersion?: number | undefined
  /** Milliseconds that every round trip takes. */
  delay?: number | undefined
  /** False keeps no `commands`: for benchmarks, which send too many. */
  log?: boolean | undefined
  /** Replaces fields of the reply to `hello`. */
  hello?: Document | undefined
  /** What to do with a command, by its name; undefined leaves it to the default. */
  on?: Readonly<Record<string, CommandHandler>> | undefined
}

/** `acknowledge` gives the default reply, to build upon. */
export type CommandHandler = (command: Command, info: { acknowledge: () => Document }) => Outcome | undefined

export interface WireServer {
  readonly port: number
  /** A connection string with the database `test`. */
  readonly uri: string
  /** What was received, in order, but for `hello`, which the driver sends in its own rhythm. */
  readonly commands: Command[]
  /** How many of each command were received: `hello` too, and without `log` too. */
  readonly counts: Readonly<Record<string, number>>
  readonly openConnections: number
  /** Queues outcomes: each answers one command of this name, ahead of `on` and the default. */
  script (commandName: string, ...outcomes: Outcome[]): void
  /** How many queued outcomes wait for their command. */
  pending (): number
  /** Forgets what was received and what is queued. */
  reset (): void
  /** The member is a secondary from now on, and refuses what a secondary refuses. */
  stepDown (): void
  /** It is primary again. */
  stepUp (): void
  /** Replaces fields of the reply to `hello`, in place of those given before. */
  setHello (fields: Document): void
  /** Closes every connection, and goes on listening. */
  dropConnections (): void
  /** Closes the port and every connection: as if the process were killed. */
  stop (): Promise<void>
  /** Listens on the same port again. */
  start (): Promise<void>
}

const HOST = '127.0.0.1'

/**
 * Starts a server on the loopback interface.
 * @throws {Error} When the port is taken.
 */
export async function startWireServer (options: WireServerOptions = {}): Promise<WireServer> {
  const { topology = 'replicaSet', maxWireVersion = 25, delay = 0, log = true, on = {} } = options
  const description = { topology, maxWireVersion, address: '', isWritablePrimary: true, hello: options.hello ?? {} }
  const commands: Command[] = []
  const scripts = new Map<string, Outcome[]>()
  const sockets = new Set<Socket>()
  let counts: Record<string, number> = {}
  let port = options.port ?? 0
  let connections = 0

  const listener = createServer({ noDelay: true }, (socket) => {
    const connection = ++connections
    const read = messageReader((bytes) => receive(socket, bytes, connection))
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {}) // a client that went away; 'close' follows
    socket.on('data', (chunk) => {
      try {
        read(chunk)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        socket.destroy() // not the wire protocol
      }
    })
  })

  function receive (socket: Socket, bytes: Buffer, connection: number): void {
    if (!socket.writable) return // closed behind the last reply
    const { command, encode } = readCommand(bytes, connection)
    counts[command.name] = (counts[command.name] ?? 0) + 1
    if (log && command.name !== 'hello') commands.push(command)

    const exchange = exchangeOf(socket, command, encode)
    const outcome = scripts.get(command.name)?.shift()
    if (delay === 0) exchange.answer(outcome)
    else setTimeout(() => exchange.answer(outcome), delay)
  }

  function exchangeOf (socket: Socket, command: Command, encode: (reply: Document) => Buffer): Exchange {
    const byDefault = () => defaultReply(command, description)
    const handled = () => on[command.name]?.(command, { acknowledge: () => replyOf(byDefault()) }) ?? byDefault()

    const exchange: Exchange = {
      command,
      execute: () => replyOf(handled()),
      answer (outcome = handled()) {
        if (typeof outcome === 'function') outcome(exchange)
        else exchange.send(outcome)
      },
      send (reply, { close } = { close: false }) {
        if (!socket.writable) return
        if (command.acknowledged) socket.write(encode(reply))
        if (close) socket.end()
      },
      drop () { socket.destroy() }
    }
    return exchange
  }

  function dropConnections (): void {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }

  async function start (): Promise<void> {
    listener.listen(port, HOST)
    await once(listener, 'listening')
    port = (listener.address() as AddressInfo).port
    description.address = `${HOST}:${port}`
  }

  async function stop (): Promise<void> {
    if (!listener.listening) return
    const closed = once(listener, 'close')
    listener.close()
    dropConnections()
    await closed
  }

  await start()

  return {
    port,
    uri: `mongodb://${HOST}:${port}/test${topology === 'replicaSet' ? `?replicaSet=${SET_NAME}` : ''}`,
    commands,
    get counts () { return counts },
    get openConnections () { return sockets.size },
    script (commandName, ...outcomes) { scripts.set(commandName, [...scripts.get(commandName) ?? [], ...outcomes]) },
    pending: () => Array.from(scripts.values()).reduce((sum, outcomes) => sum + outcomes.length, 0),
    reset () {
      commands.length = 0
      counts = {}
      scripts.clear()
    },
    stepDown () { description.isWritablePrimary = false },
    stepUp () { description.isWritablePrimary = true },
    setHello (fields) { description.hello = fields },
    dropConnections,
    stop,
    start
  }
}

/** An action has no reply of its own; the command counts as carried out. */
function replyOf (outcome: Outcome): Document {
  return typeof outcome === 'function' ? { ok: 1 } : outcome
}
