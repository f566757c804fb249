/** The time for an upload is over. What was under way may still be committed: to be tried again. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

export interface Deadline {
  /** Aborts when the time is over. */
  signal: AbortSignal
  /** Gives what `work` gives, or fails when the time is over, even if `work` never ends. */
  race<Result> (work: Promise<Result>): Promise<Result>
  /** A deadline after half of the time that is left. */
  part (): Deadline
  /** Ends it; call it when all is done. */
  clear (): void
}

export function startDeadline (milliseconds: number, total = milliseconds): Deadline {
  const end = performance.now() + milliseconds
  const controller = new AbortController()
  let expire: (error: DeadlineError) => void
  const expired = new Promise<never>((_resolve, reject) => { expire = reject })
  expired.catch(() => {})
  const timer = setTimeout(() => {
    const error = new DeadlineError(`It took longer than ${total} ms (option upload.deadline)`)
    controller.abort(error)
    expire(error)
  }, milliseconds)
  return {
    signal: controller.signal,
    race: work => Promise.race([work, expired]),
    part: () => startDeadline(Math.max(0, end - performance.now()) / 2, total),
    clear: () => clearTimeout(timer)
  }
}
