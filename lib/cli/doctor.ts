import { checkEnvironment, checkKeys, checkPowersyncUrl } from '../doctor/configuration.js'
import { skipped, type Finding } from '../doctor/finding.js'
import { checkMongoDB } from '../doctor/mongodb.js'
import { checkServer } from '../doctor/server.js'
import { checkService } from '../doctor/service.js'
import type { Environment } from '../options/settings.js'
import { command } from './command.js'
import { environmentOptions } from './environment.js'
import { UsageError } from './errors.js'
import { mongoOptions } from './mongo.js'
import { screenOf, type Screen, type Style } from './screen.js'

/** `powersync-mongo doctor`: 0 when nothing has to be fixed, 1 when something has. */
export const doctorCommand = command({
  summary: 'look at a running set-up and say what to fix',
  about: 'Looks at a running set-up from outside and says what to fix: the environment, the key pair, the keys that the server publishes, ' +
    'the PowerSync Service, MongoDB and the clocks. It changes nothing and prints no secret.',
  options: {
    url: { type: 'string', value: '<url>', help: 'your server with the plugin\'s prefix, as the PowerSync Service reaches it' },
    ...mongoOptions,
    ...environmentOptions,
    json: { type: 'boolean', help: 'print { ok, findings: [{ check, status, found, fix }] }' }
  },
  example: 'doctor --url https://api.example.com/powersync',

  async run ({ url, uri, json }, { stdout, env }) {
    if (url !== undefined && (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))) throw new UsageError('--url is not a URL: pass one that starts with https://')
    const findings = await examine(env, url, uri ?? env['MONGO_URI'])
    const healthy = !findings.some(({ status }) => status === 'problem')
    stdout.write(json ? `${JSON.stringify({ ok: healthy, findings }, null, 2)}\n` : inWords(findings, screenOf(stdout, env)))
    return healthy ? 0 : 1
  }
})

async function examine (environment: Environment, url: string | undefined, uri: string | undefined): Promise<Finding[]> {
  const { finding: keysFinding, keys } = checkKeys(environment)
  const { finding: urlFinding, powersyncUrl } = checkPowersyncUrl(environment)
  const [server, service, mongo] = await Promise.all([
    url === undefined ? [skipped('jwks', 'pass --url to look at the running server')] : checkServer(url, keys),
    keys && powersyncUrl ? checkService(powersyncUrl, keys.signing) : skipped('service', 'needs the keys and POWERSYNC_URL'),
    uri ? checkMongoDB(uri) : [skipped('mongodb', 'set MONGO_URI or pass --uri to look at MongoDB')]
  ])
  return [checkEnvironment(environment), keysFinding, urlFinding, ...server, service, ...mongo]
}

const styles: Record<Finding['status'], Style> = { ok: 'green', warning: 'yellow', problem: 'red', skipped: 'dim' }

function inWords (findings: Finding[], { paint, wrap }: Screen): string {
  const column = 26
  const lines = findings.flatMap(({ check, status, found, fix }) => [
    wrap(`${paint(styles[status], status.padEnd(9))}${check.padEnd(17)}${found}`, column),
    ...fix ? [wrap(`${' '.repeat(column)}→ ${fix}`, column + 2)] : []
  ])
  const count = (status: Finding['status']) => {
    const number = findings.filter(finding => finding.status === status).length
    const text = `${number} ${status}${number === 1 ? '' : 's'}`
    return number === 0 ? text : paint(styles[status], text)
  }
  return `${lines.join('\n')}\n\n${count('problem')}, ${count('warning')}\n`
}
