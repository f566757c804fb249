import { readFile } from 'node:fs/promises'
import { parseArgs, parseEnv } from 'node:util'
import { checkEnvironment, checkKeys, checkPowersyncUrl } from '../doctor/configuration.js'
import { skipped, type Finding } from '../doctor/finding.js'
import { checkMongoDB } from '../doctor/mongodb.js'
import { checkServer } from '../doctor/server.js'
import { checkService } from '../doctor/service.js'
import type { Environment } from '../options.js'
import { UsageError, type CommandIO } from './command.js'

const usage = `Usage: powersync-mongo doctor [--url <server>] [options]

Looks at a running set-up from outside and says what to fix: the environment, the key pair, the keys that the server
publishes, the PowerSync Service, MongoDB and the clocks. It changes nothing and prints no secret.

  --url       URL of your server with the plugin's prefix, as the PowerSync Service reaches it
  --uri       connection string with the database in its path (MONGO_URI)
  --env-file  a file of variables, for those that are not set
  --json      { ok, findings: [{ check, status, found, fix }] }

Example: npx powersync-mongo doctor --url https://api.example.com/powersync --env-file .env
`

/** `powersync-mongo doctor`: 0 when nothing has to be fixed, 1 when something has. */
export async function doctorCommand (args: string[], io: CommandIO): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      url: { type: 'string' },
      uri: { type: 'string' },
      'env-file': { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h' }
    }
  })
  if (values.help) {
    io.stdout.write(usage)
    return 0
  }
  const { url } = values
  if (url !== undefined && (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))) throw new UsageError('--url is not a URL: pass one that starts with https://')
  const environment = await readEnvironment(values['env-file'])
  const findings = await examine(environment, url, values.uri ?? environment['MONGO_URI'])
  const healthy = !findings.some(({ status }) => status === 'problem')
  io.stdout.write(values.json ? `${JSON.stringify({ ok: healthy, findings }, null, 2)}\n` : inWords(findings))
  return healthy ? 0 : 1
}

async function readEnvironment (file: string | undefined): Promise<Environment> {
  if (file === undefined) return process.env
  let text
  try {
    text = await readFile(file, 'utf8')
  } catch {
    throw new UsageError(`--env-file: ${file} cannot be read`)
  }
  return { ...parseEnv(text), ...process.env }
}

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

function inWords (findings: Finding[]): string {
  const lines = findings.map(({ check, status, found, fix }) => `${status.padEnd(9)}${check.padEnd(17)}${found}\n${fix ? `${' '.repeat(26)}→ ${fix}\n` : ''}`)
  const count = (status: Finding['status'], noun: string) => {
    const number = findings.filter(finding => finding.status === status).length
    return `${number} ${noun}${number === 1 ? '' : 's'}`
  }
  return `${lines.join('')}\n${count('problem', 'problem')}, ${count('warning', 'warning')}\n`
}
