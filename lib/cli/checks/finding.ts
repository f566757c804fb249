/** What `powersync-mongo doctor` found out about one thing. Holds no key, no token and no password. */
export interface Finding {
  check: 'environment' | 'keys' | 'powersync-url' | 'jwks' | 'token' | 'server-clock' | 'service' | 'mongodb' | 'replica-set' | 'mongodb-version' | 'permissions' | 'mongodb-clock' | 'collections'
  /** `skipped`: it cannot be looked at; `found` says why. */
  status: 'ok' | 'warning' | 'problem' | 'skipped'
  found: string
  /** What to do, where there is something to do. */
  fix?: string
}

export const ok = (check: Finding['check'], found: string): Finding => ({ check, status: 'ok', found })
export const warning = (check: Finding['check'], found: string, fix: string): Finding => ({ check, status: 'warning', found, fix })
export const problem = (check: Finding['check'], found: string, fix: string): Finding => ({ check, status: 'problem', found, fix })
export const skipped = (check: Finding['check'], found: string): Finding => ({ check, status: 'skipped', found })

/** Seconds from which on a clock is worth a word; from 60 on the PowerSync Service refuses tokens. */
const noticeable = 10
const tolerated = 60

/** @param seconds that the other clock is ahead of this machine's */
export function clockFinding (check: Finding['check'], whose: string, seconds: number): Finding {
  const rounded = Math.round(seconds)
  if (Math.abs(rounded) < noticeable) return ok(check, `${whose} and this machine have the same time`)
  const found = `${whose} is ${Math.abs(rounded)} s ${rounded > 0 ? 'ahead of' : 'behind'} this machine`
  const fix = 'set both by NTP; tokens carry times, and the PowerSync Service lets clocks differ by 60 s'
  return Math.abs(rounded) < tolerated ? warning(check, found, fix) : problem(check, found, fix)
}

/** Why a request failed, in a word: the code of the network's error, else its name. */
export function networkReason (error: unknown): string {
  const { name, cause } = error as Error
  return Object(cause).code ?? name
}
