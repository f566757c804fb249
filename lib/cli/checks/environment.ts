import { loadKeys } from '../../keys/load.js'
import { readKeys, readUrl, type Environment } from '../../options/settings.js'
import { isProtected } from '../../urls.js'
import { ok, problem, warning, type Result } from './finding.js'

/** Checks the server's variables, and gives the keys and the URL if they can be used. */
export function checkEnvironment (environment: Environment) {
  const keys = attempt(() => loadKeys(...readKeys(undefined, environment)), ({ signing, published }) => {
    const further = published.slice(1).map(({ kid }) => kid)
    const others = further.length ? `; further keys: ${further.join(', ')}` : ''
    return ok(`${signing.algorithm}, kid ${signing.kid}${others}`)
  })
  const url = attempt(() => readUrl(undefined, environment, false), url => isProtected(new URL(url))
    ? ok(`${url}, the audience of tokens`)
    : warning(`${url} is plain http`, 'use the https URL that clients connect to: production rejects plain http'))
  const results = { environment: describeVariables(environment), keys: keys.result, 'powersync-url': url.result }
  return { results, keys: keys.value, powersyncUrl: url.value }
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
  const names = ['URL', 'PRIVATE_KEY', 'PUBLIC_KEY', 'PUBLISHED_KEYS'].map(name => `POWERSYNC_${name}`)
  const set = [...names, 'MONGO_URI'].filter(name => environment[name]).join(', ') || 'no variable'
  const found = `${set} set, ${mode === undefined ? 'NODE_ENV not set' : `NODE_ENV=${mode}`}`
  if (mode === 'production') return ok(found)
  return warning(found, 'set NODE_ENV=production for real users: it rejects settings that are for development only')
}
