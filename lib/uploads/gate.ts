import { getHeapStatistics } from 'node:v8'
import type { UploadHealth } from '../../types/index.js'
import { UnavailableError } from '../errors.js'

export interface GateOptions {
  /** Uploads that are worked on at a time. */
  maxConcurrent: number
  /** Milliseconds to wait for room. */
  patience: number
  /** Bytes for uploads that are worked on; bodies that arrive or wait have a quarter of that beside. */
  memory: number
}

/** Gives back a place or memory. A second call has no effect. */
type Release = () => void

/** Requests that may wait: what each holds is small, a larger body has its room already. */
const longestQueue = 1000

/** Half of the heap that this process may have: the rest is for the app, and for garbage. */
export const memoryForUploads = () => getHeapStatistics().heap_size_limit / 2

export type Gate = ReturnType<typeof createGate>

/**
 * Bounds the work on uploads: their number and their memory. An upload without room waits, first come first served.
 * Each function rejects with `UnavailableError` after a while, at once when the server is closing, and when `gone`
 * aborts: the client has hung up.
 */
export function createGate ({ maxConcurrent, patience, memory }: GateOptions) {
  const full =
    'The server has no memory left for an upload of this size (option upload.bodyLimit): send the upload again'
  const places = createLimit(maxConcurrent, patience,
    `The server works on ${maxConcurrent} uploads already (option upload.maxConcurrent): send the upload again`)
  const work = createLimit(memory, patience, full)
  const bodies = createLimit(memory / 4, patience, full)
  let accepting = true
  let drained = () => {}

  return {
    check,

    /** Room for a body of so many bytes, before it is read. */
    async receive (bytes: number, gone: AbortSignal): Promise<Release> {
      check()
      return await bodies.take(bytes, gone)
    },

    /**
     * A place and memory for an upload of so many bytes. Give it back when the work ends, even if the client is gone.
     */
    async enter (bytes: number, gone: AbortSignal): Promise<Release> {
      check()
      const leave = await places.take(1, gone)
      try {
        const free = await work.take(bytes, gone)
        return () => {
          free()
          leave()
          if (places.holders() === 0) drained()
        }
      } catch (error) {
        leave()
        throw error
      }
    },

    /** Lets nobody in any more, and resolves when all work has ended. */
    async close (): Promise<void> {
      accepting = false
      for (const limit of [bodies, work, places]) limit.close()
      if (places.holders() > 0) await new Promise<void>(resolve => { drained = resolve })
    },

    health: (): UploadHealth => ({ accepting, running: places.holders() })
  }

  /** @throws {UnavailableError} when the server is closing */
  function check (): void {
    if (!accepting) throw closing()
  }
}

const closing = () => new UnavailableError('The server is shutting down: send the upload again')

interface Waiter { amount: number, admit: () => void, refuse: (error: Error) => void }

/** So much of something at a time. An amount that is larger than all of it is let in alone. */
function createLimit (capacity: number, patience: number, busy: string) {
  // A set keeps the order, and gives up from its middle.
  const waiting = new Set<Waiter>()
  let used = 0
  let holders = 0

  return {
    async take (amount: number, gone: AbortSignal): Promise<Release> {
      if (!gone.aborted && waiting.size === 0 && fits(amount)) return hold(amount)
      if (gone.aborted || waiting.size >= longestQueue) throw new UnavailableError(busy)
      return await new Promise((resolve, reject) => {
        const settle = (outcome: () => void) => {
          waiting.delete(waiter)
          clearTimeout(timer)
          gone.removeEventListener('abort', give)
          outcome()
        }
        const give = () => {
          waiter.refuse(new UnavailableError(busy))
          // Those behind may fit where it did not.
          admit()
        }
        const waiter: Waiter = {
          amount,
          admit: () => settle(() => resolve(hold(amount))),
          refuse: error => settle(() => reject(error))
        }
        const timer = setTimeout(give, patience)
        gone.addEventListener('abort', give)
        waiting.add(waiter)
      })
    },

    /** Refuses all that wait. */
    close (): void {
      for (const waiter of waiting) waiter.refuse(closing())
    },

    holders: () => holders
  }

  function fits (amount: number): boolean {
    return holders === 0 || used + amount <= capacity
  }

  function hold (amount: number): Release {
    used += amount
    holders++
    let held = true
    return () => {
      if (!held) return
      held = false
      used -= amount
      holders--
      admit()
    }
  }

  function admit (): void {
    for (const waiter of waiting) {
      if (!fits(waiter.amount)) return
      waiter.admit()
    }
  }
}
