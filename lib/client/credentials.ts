import type { Credentials } from '../../types/client.js'

/** Milliseconds before its end from which a token is not used any more; the SDK does the same. */
const margin = 30_000

/** Keeps the last token while it is good, and one request for all who ask meanwhile: the SDK may ask several times. */
export function createCredentialsCache (load: (headers: Record<string, string>) => Promise<Credentials | null>) {
  let latest: { owner: string, credentials: Promise<Credentials | null>, usableUntil: number } | undefined
  return {
    get (headers: Record<string, string>): Promise<Credentials | null> {
      // With other headers it may be another user's.
      const owner = JSON.stringify(headers)
      if (latest?.owner !== owner || Date.now() >= latest.usableUntil) {
        const entry = latest = { owner, credentials: load(headers), usableUntil: Infinity }
        entry.credentials.catch(() => null).then(found => { entry.usableUntil = found ? endOf(found) - margin : 0 })
      }
      return latest.credentials
    },
    clear () { latest = undefined }
  }
}

/** By the device's clock, which may differ from the server's: what counts is how long the token lives. */
function endOf ({ token, expiresAt }: Credentials): number {
  const { iat, exp } = claimsOf(token)
  if (typeof iat === 'number' && typeof exp === 'number') return Date.now() + (exp - iat) * 1000
  return expiresAt?.getTime() ?? Infinity
}

/** What a JWT says, unchecked, with its UTF-8 as Latin-1: good for comparing. Empty for anything else. */
function claimsOf (token: string | undefined): Record<string, unknown> {
  try {
    return Object(JSON.parse(atob(token!.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))))
  } catch {
    return {}
  }
}

/** The user of a JWT, which may stand in an `authorization` header. */
export function userOf (token: string | undefined): string | undefined {
  const { sub } = claimsOf(token)
  return typeof sub === 'string' ? sub : undefined
}

export function readCredentials (body: unknown): Credentials | undefined {
  const { token, powersync_url: endpoint, expires_at: expiresAt } = Object(body)
  return isText(expiresAt) ? normalCredentials({ token, endpoint, expiresAt }) : undefined
}

/** Credentials whose end is a Date, in whatever form that came; undefined when something else came. */
export function normalCredentials (given: unknown): Credentials | undefined {
  const { endpoint, token, expiresAt: end } = Object(given)
  if (!isText(endpoint) || !isText(token)) return undefined
  const credentials = { endpoint: endpoint.replace(/\/+$/, ''), token }
  if (end === undefined || end === null) return credentials
  // A number below 10¹¹ is in seconds: in milliseconds it would be of 1973 or before.
  const time = typeof end === 'number' && end < 1e11 ? end * 1000 : end
  const expiresAt = new Date(typeof time === 'number' || isText(time) || time instanceof Date ? time : NaN)
  return Number.isNaN(expiresAt.getTime()) ? undefined : { ...credentials, expiresAt }
}

export const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
