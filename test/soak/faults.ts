/** Makes a fault of the schedule happen to the next request through a proxy. */
import type { Proxy } from '../support/tcp-proxy.js'
import type { Fault, FaultKind } from './schedule.js'

export interface ArmedFault {
  /** Headers that the request needs. */
  headers: Record<string, string>
  /** Whether waiting for an answer is of no use. */
  hopeless: boolean
  /** Ends the fault, with the error of the request if it failed; tells whether it has had its effect. */
  ended: (error: unknown) => boolean
}

const request = 'POST /upload'

type Arm = (proxy: Proxy, fault: Fault) => void

const arms: Record<FaultKind, Arm> = {
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
  },
  'server killed in the transaction': () => {},
  'server killed before the answer': () => {}
}

/** What a request asks the server for. */
const headers: Partial<Record<FaultKind, Record<string, string>>> = {
  'server killed in the transaction': { 'x-die': 'transaction' },
  'server killed before the answer': { 'x-die': 'answer' }
}

/** Kinds after which no answer comes, however long one waits. */
const hopeless: readonly FaultKind[] = ['delay beyond the time-out', 'request swallowed', 'answer swallowed']

export function armFault (proxy: Proxy, fault: Fault): ArmedFault {
  const { kind } = fault
  const { cuts, duplicates, refused } = proxy.stats
  arms[kind](proxy, fault)
  return {
    headers: headers[kind] ?? {},
    hopeless: hopeless.includes(kind),
    ended (error) {
      proxy.restore()
      if (kind.startsWith('cut')) return proxy.stats.cuts > cuts
      if (kind.startsWith('request sent twice')) return proxy.stats.duplicates > duplicates
      if (kind === 'connection lost or refused') return proxy.stats.refused > refused || (proxy.stats.cuts > cuts && error !== undefined)
      if (hopeless.includes(kind)) return (error as Error | undefined)?.name === 'TimeoutError'
      return kind === 'delay' && !error
    }
  }
}
