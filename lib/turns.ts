import { setImmediate as nextTurn } from 'node:timers/promises'

/** Milliseconds of work after which others get their turn. */
const slice = 10

/** For the steps of long work: after each, undefined, or a promise to wait for where others are due. */
export function createTurns (): () => Promise<void> | undefined {
  let since = performance.now()
  return () => {
    if (performance.now() - since < slice) return undefined
    return nextTurn().then(() => { since = performance.now() })
  }
}
