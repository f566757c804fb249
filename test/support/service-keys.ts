/**
 * The keys as the PowerSync Service keeps them: its rules, on a clock of the test's own.
 * Source: powersync-service, `CachedKeyCollector.ts`, `KeyStore.ts` and `LeakyBucket.ts`.
 */
import { createLocalJWKSet, errors, jwtVerify, type JSONWebKeySet } from 'jose'

const refreshInterval = 5 * 60_000
const expiry = 60 * 60_000
const burst = 10
const refill = 60_000

export interface ServiceKeys {
  /** Checks a token as a client's connection does: `ok`, or the code of the refusal. */
  connect (token: string): Promise<'ok' | 'S2101' | 'S2103' | 'S2105'>
}

/** @param fetchKeys what a request for the JWKS URI gives now */
export function serviceKeys (
  fetchKeys: () => Promise<JSONWebKeySet>,
  audience: string,
  now: () => number
): ServiceKeys {
  let keys: JSONWebKeySet = { keys: [] }
  let fetchedAt = -Infinity
  let lastFetch = -Infinity
  let used = 0

  async function refresh (): Promise<void> {
    used = Math.max(0, used - (now() - lastFetch) / refill)
    if (used >= burst) return
    used++
    lastFetch = now()
    keys = await fetchKeys()
    fetchedAt = now()
  }

  return {
    async connect (token) {
      const expired = now() - fetchedAt > expiry
      // Keys that are due are fetched in the background: this connection still sees those of before.
      const seen = expired ? undefined : keys
      if (expired || now() - lastFetch >= refreshInterval) await refresh()
      try {
        await jwtVerify(token, createLocalJWKSet(seen ?? keys), {
          audience,
          clockTolerance: 60,
          currentDate: new Date(now()),
          requiredClaims: ['sub', 'iat', 'exp']
        })
        return 'ok'
      } catch (error) {
        if (error instanceof errors.JWTExpired) return 'S2103'
        if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'aud') return 'S2105'
        // Refused now; the next connection may find the key.
        if (error instanceof errors.JWKSNoMatchingKey) await refresh()
        return 'S2101'
      }
    }
  }
}
