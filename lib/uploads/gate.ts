import { getHeapStatistics } from 'node:v8'
import type { UploadHealth } from '../../types/index.js'
import { UnavailableError } from '../errors.js'

export interface GateOptions {
  /** Uploads that are worked on at a time. */
  maxConcurrent: number
  /** Milliseconds to wait for room. */
  patience: number
  memory: Memory
}

/** Gives back a place or memory. A second call has no effect. */
type Release = () => void

/** Requests that may wait: what each holds is small, a larger body has its room already. */
const longestQueue = 1000

type Memory = ReturnType<typeof createMemory>

/** Bytes for uploads that are worked on; bodies that arrive or wait have a quarter of that beside. */
export const createMemory = (bytes: number) =>
  ({ work: createLimit(bytes, 1 / 8), bodies: createLimit(bytes / 4, 1 / 8) })

/** Half of the heap, for all gates of this process: the rest is for the app, and for garbage. */
export const processMemory = createMemory(getHeapStatistics().heap_size_limit / 2)

export type Gate = ReturnType<typeof createGate>

/**
 * Bounds the work on uploads: their number, and with other gates their memory. An upload without room waits, first come
 * first served, but for a gate with nothing at work: it comes first, and has room that is kept for it.
 * Each function rejects with `UnavailableError` after a while, at once when the server is closing, and when `gone`
 * aborts: the client has hung up.
 */
export function createGate ({ maxConcurrent, patience, memory }: GateOptions) {
  const full =
    'The server has no memory left for an upload of this size (option upload.bodyLimit): send the upload again'
  const places = createLimit(maxConcurrent)(patience,
    `The server works on ${maxConcurrent} uploads already (option upload.maxConcurrent): send the upload again`)
  const work = memory.work(patience, full)
  const bodies = memory.bodies(patience, full)
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
      const give = await places.take(1, gone)
      const leave = () => {
        give()
        if (places.holders() === 0) drained()
      }
      try {
        const free = await work.take(bytes, gone)
        return () => {
          free()
          leave()
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

/** What one gate has of a limit. */
interface Share { holders: number, waiting: number }

interface Waiter { share: Share, amount: number, admit: () => void, refuse: (error: Error) => void }

/**
 * So much of something at a time. An amount that is larger than all of it is let in alone.
 * @param reserve the part of it that is for those that hold nothing
 */
function createLimit (capacity: number, reserve = 0) {
  // A set keeps the order, and gives up from its middle.
  const waiting = new Set<Waiter>()
  let used = 0
  let holders = 0

  return (patience: number, busy: string) => {
    const share: Share = { holders: 0, waiting: 0 }
    return {
      async take (amount: number, gone: AbortSignal): Promise<Release> {
        const head = first()
        const isFirst = !head || (share.holders === 0 && head.share.holders > 0)
        if (!gone.aborted && isFirst && fits(share, amount)) return hold(share, amount)
        if (gone.aborted || share.waiting >= longestQueue) throw new UnavailableError(busy)
        return await new Promise((resolve, reject) => {
          const settle = (outcome: () => void) => {
            waiting.delete(waiter)
            share.waiting--
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
            share,
            amount,
            admit: () => settle(() => resolve(hold(share, amount))),
            refuse: error => settle(() => reject(error))
          }
          const timer = setTimeout(give, patience)
          gone.addEventListener('abort', give)
          waiting.add(waiter)
          share.waiting++
        })
      },

      /** Refuses all that wait. */
      close (): void {
        for (const waiter of waiting) if (waiter.share === share) waiter.refuse(closing())
        admit()
      },

      holders: () => share.holders
    }
  }

  function fits ({ holders: own }: Share, amount: number): boolean {
    return holders === 0 || used + amount <= (own === 0 ? capacity : capacity * (1 - reserve))
  }

  function hold (share: Share, amount: number): Release {
    const add = (sign: 1 | -1) => {
      used += sign * amount
      holders += sign
      share.holders += sign
    }
    let held = true
    add(1)
    return () => {
      if (!held) return
      held = false
      add(-1)
      admit()
    }
  }

  function first (): Waiter | undefined {
    for (const waiter of waiting) if (waiter.share.holders === 0) return waiter
    const [waiter] = waiting
    return waiter
  }

  function admit (): void {
    for (let next = first(); next && fits(next.share, next.amount); next = first()) next.admit()
  }
}
