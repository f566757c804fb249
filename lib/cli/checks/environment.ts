import { loadKeys, type KeySet } from '../../keys/load.js'
import { readKeys, readUrl, type Environment } from '../../options/settings.js'
import { isProtected } from '../../urls.js'
import { ok, problem, warning, type Finding, type Result } from './finding.js'

const variables = ['URL', 'PRIVATE_KEY', 'PUBLIC_KEY', 'PUBLISHED_KEYS']
  .map(name => `POWERSYNC_${name}`)
  .concat('MONGO_URI')

/** Checks the server's variables, and gives the keys and the URL if they can be used. */
export function checkEnvironment (environment: Environment) {
  const { result: keysResult, value: keys } = attempt(() => loadKeys(...readKeys(undefined, environment)), describeKeys)
  const { result: urlResult, value: powersyncUrl } = attempt(() => readUrl(undefined, environment, false), describeUrl)
  const findings: Finding[] = [
    { check: 'environment', ...describeVariables(environment) },
    { check: 'keys', ...keysResult },
    { check: 'powersync-url', ...urlResult }
  ]
  return { findings, keys, powersyncUrl }
}

/** A value with its description, or its problem: errors of options and keys say the fix after their first colon. */
function attempt<Value> (read: () => Value, describe: (value: Value) => Result): { result: Result, value?: Value } {
  try {
    const value = read()
    return { value, result: describe(value) }
  } catch (error) {
    const [found = '', ...fix] = (error as Error).message.replace('fastify-powersync-mongo: ', '').split(': ')
    return { result: problem(found, fix.join(': ')) }
  }
}

function describeVariables (environment: Environment): Result {
  const { NODE_ENV: mode } = environment
  const set = variables.filter(name => environment[name]).join(', ') || 'no variable'
  const found = `${set} set, ${mode === undefined ? 'NODE_ENV not set' : `NODE_ENV=${mode}`}`
  if (mode === 'production') return ok(found)
  return warning(found, 'set NODE_ENV=production for real users: it rejects settings that are for development only')
}

function describeKeys ({ signing, published }: KeySet): Result {
  const further = published.slice(1).map(({ kid }) => kid)
  return ok(`${signing.algorithm}, kid ${signing.kid}${further.length ? `; further keys: ${further.join(', ')}` : ''}`)
}

function describeUrl (url: string): Result {
  if (isProtected(new URL(url))) return ok(`${url}, the audience of tokens`)
  return warning(`${url} is plain http`, 'use the https URL that clients connect to: production rejects plain http')
}
