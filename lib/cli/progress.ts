import type { CommandIO } from './io.js'

/** Milliseconds between two lines where it is no terminal. */
const interval = 10_000

/**
 * How far long work is, on `stderr`: on a terminal a line that changes, and is gone at the end; else a line every 10 s.
 * @param doing as in `retrying dead letters`
 */
export function progressOf ({ stderr, env, now = () => performance.now() }: Pick<CommandIO, 'stderr' | 'env' | 'now'>, doing: string) {
  const live = stderr.isTTY === true && env['TERM'] !== 'dumb'
  let [total, done, said] = [0, 0, 0]
  const clear = () => { if (live) stderr.write('\r\x1b[K') }
  const show = () => {
    if (live ? done === total : now() - said < interval) return
    said = now()
    stderr.write(`${doing}: ${done} of ${total}${live ? '' : '\n'}`)
  }
  return {
    /** Makes room for something else on `stderr`. */
    clear,
    /** Shows 0 of so many. */
    start (count: number): void {
      total = count
      said = now()
      show()
    },
    /** One more is done, of which something is printed. */
    step (print: () => void): void {
      done++
      clear()
      print()
      show()
    }
  }
}

export type Progress = ReturnType<typeof progressOf>
