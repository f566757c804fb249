import type { CommandIO } from './command.js'

/** How far long work is, on `stderr`. */
export interface Progress {
  /** Shows 0 of so many. */
  start (total: number): void
  /** One more is done, of which something is printed. */
  step (print: () => void): void
  /** Makes room for something else on `stderr`. */
  clear (): void
}

/** Milliseconds between two lines where it is no terminal. */
const interval = 10_000

/**
 * On a terminal a line that changes, and is gone at the end; else a line every 10 s.
 * @param doing what is done, as in `retrying dead letters`
 */
export function progressOf ({ stderr, env, now = () => performance.now() }: CommandIO, doing: string): Progress {
  const live = stderr.isTTY === true && env['TERM'] !== 'dumb'
  let total = 0
  let done = 0
  let said = 0
  const state = () => `${doing}: ${done} of ${total}`
  const clear = () => { if (live) stderr.write('\r\x1b[K') }
  const show = () => {
    if (live) {
      if (done < total) stderr.write(state())
    } else if (now() - said >= interval) {
      said = now()
      stderr.write(`${state()}\n`)
    }
  }
  return {
    start (count) {
      total = count
      said = now()
      show()
    },
    step (print) {
      done++
      clear()
      print()
      show()
    },
    clear
  }
}
