import type { Command } from 'commander'
import type { Collections } from '../../types/index.js'
import type { Environment } from '../options/settings.js'
import { checkEnvironment, checkKeys, checkPowersyncUrl } from './checks/configuration.js'
import { skipped, type Finding } from './checks/finding.js'
import { checkMongoDB } from './checks/mongodb.js'
import { checkServer } from './checks/server.js'
import { checkService } from './checks/service.js'
import { configOption, configPath, loadConfig } from './config.js'
import { envOption } from './environment.js'
import { usageError, type CommandIO } from './io.js'
import { uriOption } from './mongo.js'
import { screenOf, type Screen, type Style } from './screen.js'

/** `powersync-mongo doctor`: 0 when nothing has to be fixed, 1 when something has. */
export function addDoctor (program: Command, io: CommandIO): void {
  program.command('doctor')
    .description('look at a running set-up from outside and say what to fix; changes nothing and prints no secret')
    .option('--url <url>', 'your server with the plugin\'s prefix, as the PowerSync Service reaches it')
    .addOption(uriOption)
    .addOption(configOption)
    .addOption(envOption)
    .option('--json', 'print { ok, findings: [{ check, status, found, fix }] }')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo doctor --url https://api.example.com/powersync')
    .action(async ({ url, uri, config, json }: { url?: string, uri?: string, config?: string, json?: true }) => {
      if (url !== undefined && (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))) throw usageError('--url is not a URL', 'pass one that starts with https://')
      const { stdout, env } = io
      const collections = configPath(config, io.cwd()) === undefined ? undefined : await loadConfig(config, io.cwd())
      const findings = await examine(env, { url, uri: uri ?? env['MONGO_URI'], collections })
      const healthy = !findings.some(({ status }) => status === 'problem')
      stdout.write(json ? `${JSON.stringify({ ok: healthy, findings }, null, 2)}\n` : inWords(findings, screenOf(stdout, env)))
      if (!healthy) io.exitCode = 1
    })
}

interface Place { url: string | undefined, uri: string | undefined, collections: Collections | undefined }

async function examine (environment: Environment, { url, uri, collections }: Place): Promise<Finding[]> {
  const { finding: keysFinding, keys } = checkKeys(environment)
  const { finding: urlFinding, powersyncUrl } = checkPowersyncUrl(environment)
  const [server, service, mongo] = await Promise.all([
    url === undefined ? [skipped('jwks', 'pass --url to look at the running server')] : checkServer(url, keys),
    keys && powersyncUrl ? checkService(powersyncUrl, keys.signing) : skipped('service', 'needs the keys and POWERSYNC_URL'),
    uri ? checkMongoDB(uri, collections) : [skipped('mongodb', 'set MONGO_URI or pass --uri to look at MongoDB')]
  ])
  return [checkEnvironment(environment), keysFinding, urlFinding, ...server, service, ...mongo]
}

const styles: Record<Finding['status'], Style> = { ok: 'green', warning: 'yellow', problem: 'red', skipped: 'dim' }

function inWords (findings: Finding[], { paint, wrap }: Screen): string {
  const column = 26
  const lines = findings.flatMap(({ check, status, found, fix }) => [
    `${paint(styles[status], status.padEnd(9))}${check.padEnd(17)}${wrap(found, column)}`,
    ...fix ? [`${' '.repeat(column)}→ ${wrap(fix, column + 2)}`] : []
  ])
  const count = (status: Finding['status']) => {
    const number = findings.filter(finding => finding.status === status).length
    const text = `${number} ${status}${number === 1 ? '' : 's'}`
    return number === 0 ? text : paint(styles[status], text)
  }
  return `${lines.join('\n')}\n\n${count('problem')}, ${count('warning')}\n`
}
