import { loadKeys, type KeySet } from '../../keys/load.js'
import { readKeys, readUrl, type Environment } from '../../options/settings.js'
import { isProtected } from '../../urls.js'
import { ok, problem, warning, type Finding } from './finding.js'

const variables = ['POWERSYNC_URL', 'POWERSYNC_PRIVATE_KEY', 'POWERSYNC_PUBLIC_KEY', 'POWERSYNC_PUBLISHED_KEYS', 'MONGO_URI']

export function checkEnvironment (environment: Environment): Finding {
  const set = variables.filter(name => environment[name])
  const found = `${set.join(', ') || 'no variable'} set, ${environment['NODE_ENV'] === undefined ? 'NODE_ENV not set' : `NODE_ENV=${environment['NODE_ENV']}`}`
  if (environment['NODE_ENV'] === 'production') return ok('environment', found)
  return warning('environment', found, 'set NODE_ENV=production where real users are: it refuses what is for development only')
}

export function checkKeys (environment: Environment): { finding: Finding, keys?: KeySet } {
  try {
    const keys = loadKeys(...readKeys(undefined, environment))
    const further = keys.published.slice(1).map(({ kid }) => kid)
    return { keys, finding: ok('keys', `${keys.signing.algorithm}, kid ${keys.signing.kid}${further.length ? `; further keys: ${further.join(', ')}` : ''}`) }
  } catch (error) {
    return { finding: fromError('keys', error) }
  }
}

export function checkPowersyncUrl (environment: Environment): { finding: Finding, powersyncUrl?: string } {
  try {
    const powersyncUrl = readUrl(undefined, environment, false)
    if (isProtected(new URL(powersyncUrl))) return { powersyncUrl, finding: ok('powersync-url', `${powersyncUrl}, the audience of tokens`) }
    return { powersyncUrl, finding: warning('powersync-url', `${powersyncUrl} is plain http`, 'use the https URL that clients connect to; in production the server does not start with this one') }
  } catch (error) {
    return { finding: fromError('powersync-url', error) }
  }
}

/** A KeyError or an OptionError: they say what was found and, behind the first colon, what to do. */
function fromError (check: Finding['check'], error: unknown): Finding {
  const { message } = error as Error
  const [found = '', ...fix] = message.replace('fastify-powersync-mongo: ', '').split(': ')
  return problem(check, found, fix.join(': '))
}
