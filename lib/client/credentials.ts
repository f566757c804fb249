import { readClaims } from './claims.js'
import type { Credentials } from './types.js'

export type LoadCredentials = (headers: Record<string, string>) => Promise<Credentials | null>

export interface CredentialsCache {
  get (headers: Record<string, string>): Promise<Credentials | null>
  clear (): void
}

/** Milliseconds before its end from which a token is not used any more; the SDK does the same. */
const margin = 30_000

interface Entry {
  /** The headers that the token was fetched with: with other ones it may be another user's. */
  owner: string
  credentials: Promise<Credentials | null>
  /** Unix time in milliseconds; without end while they are being loaded, so that all callers share one request. */
  usableUntil: number
}

/**
 * Keeps the last token for as long as it is good. The SDK may ask several times for one renewal: it drops what it
 * fetched ahead. It says by `clear` when a token is refused or near its end.
 */
export function createCredentialsCache (load: LoadCredentials): CredentialsCache {
  let latest: Entry | undefined

  function start (owner: string, headers: Record<string, string>): Entry {
    const entry: Entry = { owner, credentials: load(headers), usableUntil: Infinity }
    const end = (until: number) => { entry.usableUntil = until }
    entry.credentials.then(found => end(found ? endOf(found) - margin : 0), () => end(0))
    return entry
  }

  return {
    get (headers) {
      const owner = JSON.stringify(headers)
      if (latest?.owner !== owner || Date.now() >= latest.usableUntil) latest = start(owner, headers)
      return latest.credentials
    },
    clear () { latest = undefined }
  }
}

/** By the device's clock, which may differ from the server's: what counts is how long the token lives. */
function endOf ({ token, expiresAt }: Credentials): number {
  const { iat, exp } = readClaims(token)
  if (typeof iat === 'number' && typeof exp === 'number') return Date.now() + (exp - iat) * 1000
  return expiresAt?.getTime() ?? Infinity
}
