/**
 * A TCP proxy on the loopback interface that cuts, delays, drops and duplicates: between a client and this package's
 * server, or between the driver and MongoDB. What it does next is set by the test, never by chance.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Requests go from the client to the target, responses come back. */
type Direction = 'request' | 'response'

export interface ProxyOptions {
  target: { host: string, port: number }
  /** 0, the default, takes any free one. */
  port?: number | undefined
  /**
   * A member of a replica set names its address in the reply to `hello`, and the driver then connects to that one. This
   * puts the proxy's own port into such replies: `127.0.0.1:27017` becomes `127.0.0.1:…`, which must be as long.
   */
  rewriteHello?: boolean | undefined
}

interface CutAfter {
  direction: Direction
  /** How many bytes still pass in this direction. */
  bytes: number
  /**
   * Text at the start of a request, such as `commitTransaction` or `POST /upload`: the cut hits the connection that
   * sends it, and counts from there. Without it, the first connection on which anything passes in this direction.
   */
  request?: string | undefined
}

interface ProxyConnection {
  /** From 1, in the order of arrival. */
  readonly id: number
  readonly requestBytes: number
  readonly responseBytes: number
  cut (): void
}

interface ProxyStats {
  connections: number
  refused: number
  cuts: number
  duplicates: number
  requestBytes: number
  responseBytes: number
}

export interface Proxy {
  readonly host: string
  readonly port: number
  /** `host:port`, for a URL. */
  readonly address: string
  readonly stats: Readonly<ProxyStats>
  readonly connections: readonly ProxyConnection[]
  /** Closes every open connection now. */
  cut (): void
  /** Closes the next connection after some bytes; resolves when that has happened. */
  cutAfter (when: CutAfter): Promise<void>
  /** Resets the next `count` connections as they come in; all of them without a number. */
  refuse (count?: number): void
  /** Holds back what passes, both ways, for this long. 0 ends it. */
  delay (milliseconds: number): void
  /** Forwards requests and swallows their responses; the connections stay open. */
  dropResponses (drop?: boolean): void
  /** Swallows requests. */
  dropRequests (drop?: boolean): void
  /**
   * Sends the next request (that starts with this text) twice, the second time on a connection of its own; resolves
   * to the first bytes of the response to the second.
   */
  duplicate (request?: string): Promise<Buffer>
  /** Calls back for each connection as it comes in. */
  onConnection (hook: (connection: ProxyConnection) => void): void
  /** Ends `refuse`, `delay`, `dropResponses`, `dropRequests`, and what is still to cut or to duplicate. */
  restore (): void
  stop (): Promise<void>
}

const HOST = '127.0.0.1'

interface Faults {
  refusals: number
  delay: number
  dropped: Set<Direction>
  cuts: Cut[]
  duplicates: Duplicate[]
}

interface Cut extends CutAfter { done: () => void }

interface Duplicate { request: string | undefined, done: (response: Buffer) => void }

/** One client's connection and the one to the target that belongs to it. */
interface Pair extends ProxyConnection {
  requestBytes: number
  responseBytes: number
  /** The cut that hit this connection, and how many bytes it still lets through. */
  cutting: { direction: Direction, bytesLeft: number, done: () => void } | undefined
  /** A second connection to the target that gets the same request. */
  twin: Socket | undefined
}

/** One direction of a pair: what is held back passes in order. */
interface Lane { direction: Direction, from: Socket, to: Socket, held: number, last: Promise<void> }

/**
 * Starts a proxy in front of a target, which may start later.
 * @throws {RangeError} With `rewriteHello`, when the proxy's address has not the length of the target's.
 */
export async function startProxy (options: ProxyOptions): Promise<Proxy> {
  const { target, rewriteHello = false } = options
  const stats: ProxyStats = { connections: 0, refused: 0, cuts: 0, duplicates: 0, requestBytes: 0, responseBytes: 0 }
  const pairs = new Set<Pair>()
  const sockets = new Set<Socket>()
  const hooks: Array<(connection: ProxyConnection) => void> = []
  let faults = noFaults()

  const listener = createServer({ noDelay: true, allowHalfOpen: true }, accept)
  listener.listen(options.port ?? 0, HOST)
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const address = `${HOST}:${port}`
  if (rewriteHello && address.length !== `${target.host}:${target.port}`.length) {
    listener.close()
    throw new RangeError(
      `rewriteHello cannot put ${address} in the place of ${target.host}:${target.port}: not the same length.`
    )
  }
  const rewrite = rewriteHello ? replacer(`${target.host}:${target.port}`, address) : undefined

  function accept (client: Socket): void {
    if (faults.refusals > 0) {
      faults.refusals--
      stats.refused++
      client.on('error', () => {}).resetAndDestroy()
      return
    }
    track(client)
    const upstream = connectToTarget()
    const pair: Pair = {
      id: ++stats.connections,
      requestBytes: 0,
      responseBytes: 0,
      cutting: undefined,
      twin: undefined,
      cut () {
        if (!pairs.delete(pair)) return
        stats.cuts++
        client.destroySoon()
        upstream.destroySoon()
      }
    }
    pairs.add(pair)
    join(pair, { direction: 'request', from: client, to: upstream, held: 0, last: Promise.resolve() })
    join(pair, { direction: 'response', from: upstream, to: client, held: 0, last: Promise.resolve() })
    for (const hook of hooks) hook(pair)
  }

  function connectToTarget (): Socket {
    return track(connect({ host: target.host, port: target.port, noDelay: true, allowHalfOpen: true }))
  }

  function track (socket: Socket): Socket {
    sockets.add(socket)
    return socket.on('close', () => sockets.delete(socket))
  }

  function join (pair: Pair, lane: Lane): void {
    const { direction, from, to } = lane
    from.on('data', (chunk) => { if (pairs.has(pair)) pass(pair, lane, chunk) })
    from.on('end', () => { if (!faults.dropped.has(direction)) inOrder(lane, () => to.end()) })
    from.on('error', () => to.destroy()) // reset, or the target is not there: the other side learns it too
    from.on('close', () => { if (to.destroyed) pairs.delete(pair) })
  }

  function pass (pair: Pair, lane: Lane, chunk: Buffer): void {
    const { direction } = lane
    claimFaults(pair, direction, chunk)

    const { cutting } = pair
    const cutsHere = cutting?.direction === direction
    const bytes = cutsHere ? chunk.subarray(0, cutting.bytesLeft) : chunk
    if (cutsHere) cutting.bytesLeft -= bytes.length

    pair[`${direction}Bytes`] += bytes.length
    stats[`${direction}Bytes`] += bytes.length
    if (direction === 'request') pair.twin?.write(bytes)
    else pair.twin = undefined // the request is complete once it is answered

    if (bytes.length > 0 && !faults.dropped.has(direction)) inOrder(lane, () => forward(lane, bytes))
    if (cutsHere && cutting.bytesLeft === 0) {
      inOrder(lane, () => {
        pair.cut()
        cutting.done()
      })
    }
  }

  function claimFaults (pair: Pair, direction: Direction, chunk: Buffer): void {
    const cut = pair.cutting === undefined && take(faults.cuts, ({ request, direction: cutDirection }) =>
      request === undefined ? direction === cutDirection : direction === 'request' && chunk.includes(request))
    if (cut) pair.cutting = { direction: cut.direction, bytesLeft: cut.bytes, done: cut.done }

    const duplicate =
      direction === 'request' &&
      take(faults.duplicates, ({ request }) => request === undefined || chunk.includes(request))
    if (duplicate) pair.twin = startTwin(duplicate)
  }

  function startTwin ({ done }: Duplicate): Socket {
    stats.duplicates++
    const twin = connectToTarget()
    twin.on('error', () => {})
    twin.once('data', (response) => {
      done(response)
      twin.destroy()
    })
    return twin
  }

  function forward ({ from, to, direction }: Lane, bytes: Buffer): void {
    if (!to.writable) return
    if (direction === 'response') rewrite?.(bytes)
    if (to.write(bytes)) return
    from.pause()
    to.once('drain', () => from.resume())
  }

  function inOrder (lane: Lane, action: () => void): void {
    if (faults.delay === 0 && lane.held === 0) {
      action()
      return
    }
    const due = performance.now() + faults.delay
    lane.held++
    lane.last = lane.last.then(async () => {
      await sleep(due - performance.now())
      lane.held--
      action()
    })
  }

  function drop (direction: Direction, on: boolean): void {
    if (on) faults.dropped.add(direction)
    else faults.dropped.delete(direction)
  }

  const cut = () => { for (const pair of pairs) pair.cut() }

  return {
    host: HOST,
    port,
    address,
    stats,
    get connections () { return Array.from(pairs) },
    cut,
    cutAfter: (when) => new Promise((resolve) => { faults.cuts.push({ ...when, done: resolve }) }),
    refuse (count = Infinity) { faults.refusals = count },
    delay (milliseconds) { faults.delay = milliseconds },
    dropResponses: (on = true) => drop('response', on),
    dropRequests: (on = true) => drop('request', on),
    duplicate: (request) => new Promise((resolve) => { faults.duplicates.push({ request, done: resolve }) }),
    onConnection (hook) { hooks.push(hook) },
    restore () { faults = noFaults() },
    async stop () {
      if (!listener.listening) return
      const closed = once(listener, 'close')
      listener.close()
      for (const socket of sockets) socket.destroy()
      await closed
    }
  }
}

function noFaults (): Faults {
  return { refusals: 0, delay: 0, dropped: new Set(), cuts: [], duplicates: [] }
}

/** Removes the first item that matches, and gives it. */
function take<Item> (items: Item[], matches: (item: Item) => boolean): Item | undefined {
  const index = items.findIndex(matches)
  return index === -1 ? undefined : items.splice(index, 1)[0]
}

/** Replaces text in place, so that the lengths around it in the BSON stay true. */
function replacer (from: string, to: string): (bytes: Buffer) => void {
  return (bytes) => {
    for (let at = bytes.indexOf(from); at !== -1; at = bytes.indexOf(from, at)) bytes.write(to, at)
  }
}
