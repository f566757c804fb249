/** What happens to a request of the SDK's client on its way through a proxy. */
import type { Proxy } from '../support/tcp-proxy.js'
import { between, random, weighted } from './schedule.js'

/** Weights of 100 requests. */
const weights = {
  'no fault': 72,
  'cut before the request': 2,
  'cut in the request': 2,
  'cut after the request': 4,
  'cut in the answer': 4,
  'connection lost or refused': 1,
  delay: 3,
  'delay beyond the time-out': 3,
  'request swallowed': 1,
  'answer swallowed': 2,
  'request sent twice': 4,
  'request sent twice, answer cut': 2
} as const

export type ConnectionFaultKind = keyof typeof weights

/** Every kind of fault that there is. */
export const connectionFaultKinds = Object.keys(weights).filter(kind => kind !== 'no fault') as ConnectionFaultKind[]

export interface ConnectionFault {
  kind: ConnectionFaultKind
  /** Bytes that still pass before a cut. */
  bytes: number
  /** How long a delay holds back what passes. */
  milliseconds: number
}

/** Milliseconds after which a client gives up a request that it will get no answer to. */
export const requestTimeout = 300

/** The faults of a client's requests, one after the other, for as many as it comes to send. */
export function * connectionFaultsOf (seed: number, client: number): Generator<ConnectionFault, never> {
  const next = random(seed, 'connection', client)
  for (;;) {
    const kind = weighted(next, weights)
    yield {
      kind,
      bytes: kind === 'cut in the answer' ? between(next, 1, 300) : between(next, 1, 600),
      milliseconds: kind === 'delay' ? between(next, 5, 150) : requestTimeout + between(next, 20, 200)
    }
  }
}

export interface ArmedFault {
  /** Whether waiting for an answer is of no use. */
  hopeless: boolean
  /** Ends the fault, with the error of the request if it failed; tells whether it has had its effect. */
  ended: (error: unknown) => boolean
}

const request = 'POST /upload'

const arms: Record<ConnectionFaultKind, (proxy: Proxy, fault: ConnectionFault) => void> = {
  'no fault': () => {},
  'cut before the request': proxy => { proxy.cutAfter({ direction: 'request', bytes: 0, request }) },
  'cut in the request': (proxy, { bytes }) => { proxy.cutAfter({ direction: 'request', bytes, request }) },
  'cut after the request': proxy => { proxy.cutAfter({ direction: 'response', bytes: 0, request }) },
  'cut in the answer': (proxy, { bytes }) => { proxy.cutAfter({ direction: 'response', bytes, request }) },
  'connection lost or refused': proxy => {
    proxy.cut()
    proxy.refuse(1)
  },
  delay: (proxy, { milliseconds }) => proxy.delay(milliseconds),
  'delay beyond the time-out': (proxy, { milliseconds }) => proxy.delay(milliseconds),
  'request swallowed': proxy => proxy.dropRequests(),
  'answer swallowed': proxy => proxy.dropResponses(),
  'request sent twice': proxy => { proxy.duplicate(request) },
  'request sent twice, answer cut': proxy => {
    proxy.duplicate(request)
    proxy.cutAfter({ direction: 'response', bytes: 0, request })
  }
}

/** Kinds after which no answer comes, however long one waits. */
const hopeless: readonly ConnectionFaultKind[] = ['delay beyond the time-out', 'request swallowed', 'answer swallowed']

/** Makes a fault happen to the next request through a proxy. */
export function armFault (proxy: Proxy, fault: ConnectionFault): ArmedFault {
  const { kind } = fault
  const { cuts, duplicates, refused } = proxy.stats
  arms[kind](proxy, fault)
  return {
    hopeless: hopeless.includes(kind),
    ended (error) {
      proxy.restore()
      if (kind.startsWith('cut')) return proxy.stats.cuts > cuts
      if (kind.startsWith('request sent twice')) return proxy.stats.duplicates > duplicates
      if (kind === 'connection lost or refused') {
        return proxy.stats.refused > refused || (proxy.stats.cuts > cuts && error !== undefined)
      }
      if (hopeless.includes(kind)) return (error as Error | undefined)?.name === 'TimeoutError'
      return kind === 'delay' && !error
    }
  }
}
