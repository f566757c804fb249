import type { Credentials } from './types.js'

export type LoadCredentials = (headers: Record<string, string>) => Promise<Credentials | null>

export interface CredentialsCache {
  /** For the SDK, which asks when it has none or those it has are no good any more: never the same ones twice. */
  forService (headers: Record<string, string>): Promise<Credentials | null>
  /** For uploads. */
  forUpload (headers: Record<string, string>): Promise<Credentials | null>
  clear (): void
}

/** Milliseconds before its end from which a token is not used any more; the SDK does the same. */
const margin = 30_000

interface Entry {
  /** The headers that the token was got with: with other ones it may be another user's. */
  owner: string
  credentials: Promise<Credentials | null>
  /** Whether the SDK has had them. */
  handedOut: boolean
  /** Unix time in milliseconds; without end while they are being loaded, so that all who ask share one request. */
  usableUntil: number
}

/** Keeps the last token for as long as it is good. */
export function createCredentialsCache (load: LoadCredentials): CredentialsCache {
  let latest: Entry | undefined

  function get (headers: Record<string, string>, forService: boolean): Promise<Credentials | null> {
    const owner = JSON.stringify(headers)
    const usable = latest?.owner === owner && Date.now() < latest.usableUntil && !(forService && latest.handedOut)
    const entry = usable ? latest as Entry : start(owner, headers)
    latest = entry
    entry.handedOut ||= forService
    return entry.credentials
  }

  function start (owner: string, headers: Record<string, string>): Entry {
    const entry: Entry = { owner, credentials: fetchInto(), handedOut: false, usableUntil: Infinity }
    return entry

    async function fetchInto (): Promise<Credentials | null> {
      let credentials: Credentials | null = null
      try {
        credentials = await load(headers)
      } finally {
        entry.usableUntil = credentials ? (credentials.expiresAt?.getTime() ?? Infinity) - margin : 0
      }
      return credentials
    }
  }

  return {
    forService: headers => get(headers, true),
    forUpload: headers => get(headers, false),
    clear () { latest = undefined }
  }
}
