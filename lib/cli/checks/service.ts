import { SignJWT } from 'jose'
import type { SigningKey } from '../../keys/load.js'
import { networkReason, ok, problem, type Finding } from './finding.js'

const timeout = 10_000

/**
 * What to do about the codes with which the PowerSync Service refuses a token.
 * Source: powersync-service, `packages/service-errors/src/codes.ts`.
 */
const remedies: Record<string, string> = {
  S2101: 'set its JWKS URI to this server\'s /jwks (PowerSync dashboard: Client Auth; self-hosted: client_auth.jwks_uri). After a change of keys give it a minute, and run this again',
  S2103: 'set the clocks of this machine and of the service by NTP',
  S2105: 'add POWERSYNC_URL to the audiences that it accepts (self-hosted: client_auth.audience), or set POWERSYNC_URL to one of them',
  S2201: 'look for keys that it cannot import in what its JWKS URI gives',
  S2202: 'give the host of its JWKS URI an IPv4 address',
  S2203: 'its JWKS URI leads to an address that it is told to reject: use a public one, or change client_auth.jwks_reject_ip_ranges',
  S2204: 'its JWKS URI cannot be fetched from where it runs: check the URI, the network and the certificate'
}

/** Connects to the PowerSync Service with a token of a minute for a user that does not exist, as a client does, and hangs up. */
export async function checkService (powersyncUrl: string, { privateKey, algorithm, kid }: SigningKey): Promise<Finding> {
  const token = await new SignJWT({}).setProtectedHeader({ alg: algorithm, kid })
    .setSubject('powersync-mongo-doctor').setAudience(powersyncUrl).setIssuedAt().setExpirationTime('60s')
    .sign(privateKey)
  try {
    const response = await fetch(`${powersyncUrl}/sync/stream`, {
      method: 'POST',
      redirect: 'manual',
      signal: AbortSignal.timeout(timeout),
      headers: { authorization: `Token ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ buckets: [], include_checksum: true, raw_data: true, client_id: 'powersync-mongo-doctor' })
    })
    if (response.ok) {
      await response.body?.cancel()
      return ok('service', `${powersyncUrl} accepts this app's tokens`)
    }
    const code = /S2\d{3}/.exec(await response.text())?.[0]
    if (response.status === 401 && code) return problem('service', `${powersyncUrl} refuses this app's tokens (${code})`, remedies[code] ?? 'see the service\'s log')
    return problem('service', `${powersyncUrl}/sync/stream answered ${response.status}`, 'check that POWERSYNC_URL is the URL of a PowerSync instance that runs')
  } catch (error) {
    return problem('service', `${powersyncUrl} cannot be reached (${networkReason(error)})`, 'check that POWERSYNC_URL is the URL of a PowerSync instance that runs, and that the network leads to it')
  }
}
