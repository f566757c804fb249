/** The result of a check. It holds no key, no token and no password. */
export interface Result {
  /** `skipped`: the check cannot be made; `found` says why. */
  status: 'ok' | 'warning' | 'problem' | 'skipped'
  found: string
  /** The remedy for a warning or a problem. */
  fix?: string
}

/** The results by the names of their checks, in the order in which they are printed. */
export type Results = Record<string, Result>

export const ok = (found: string): Result => ({ status: 'ok', found })
export const warning = (found: string, fix: string): Result => ({ status: 'warning', found, fix })
export const problem = (found: string, fix: string): Result => ({ status: 'problem', found, fix })
export const skipped = (found: string): Result => ({ status: 'skipped', found })

/** @param seconds how far the other clock is ahead of this machine's */
export function compareClocks (other: string, seconds: number): Result {
  const distance = Math.abs(Math.round(seconds))
  if (distance < 10) return ok(`${other} and this machine have the same time`)
  const found = `${other} is ${distance} s ${seconds > 0 ? 'ahead of' : 'behind'} this machine`
  return (distance < 60 ? warning : problem)(found, 'set both clocks by NTP: the PowerSync Service tolerates 60 s')
}
