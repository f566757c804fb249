import type { Command } from 'commander'
import {
  checkEnvironment, checkMongoDB, checkServer, checkService, skipped, type Result, type Results
} from './checks.js'
import { configOption, configPath, envOption, loadApp, uriOption } from './config.js'
import { jsonText, screenOf, usageError, type CommandIO, type Screen } from './terminal.js'

interface Options { url?: string, uri?: string, config?: string, json?: true }

export function addDoctor (program: Command, io: CommandIO): void {
  program.command('doctor')
    .description('check a running set-up from outside and say what to fix; changes nothing and prints no secret')
    .option('--url <url>', 'your server with the plugin\'s prefix, as the PowerSync Service reaches it')
    .addOption(uriOption)
    .addOption(configOption)
    .addOption(envOption)
    .option('--json', 'print { ok, findings: [{ check, status, found, fix }] }')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo doctor --url https://api.example.com/powersync')
    .action(async (options: Options) => {
      const results = Object.entries(await examine(options, io))
      const healthy = results.every(([, { status }]) => status !== 'problem')
      const findings = results.map(([check, result]) => ({ check, ...result }))
      const text = options.json ? jsonText({ ok: healthy, findings }) : inWords(results, screenOf(io.stdout, io.env))
      io.stdout.write(text)
      if (!healthy) io.exitCode = 1
    })
}

async function examine ({ url, uri, config }: Options, { env, cwd }: CommandIO): Promise<Results> {
  if (url !== undefined && !(URL.canParse(url) && /^https?:/.test(url))) {
    throw usageError('--url is not a URL', 'pass one that starts with https://')
  }
  const app = configPath(config, cwd()) === undefined ? undefined : await loadApp(config, cwd())
  const { results, keys, powersyncUrl } = checkEnvironment(env)
  const mongo = uri ?? env['MONGO_URI']
  const [server, service, database] = await Promise.all([
    url ? checkServer(url, keys) : { jwks: skipped('pass --url to check the running server') },
    keys && powersyncUrl ? checkService(powersyncUrl, keys.signing) : skipped('needs the keys and POWERSYNC_URL'),
    mongo ? checkMongoDB(mongo, app?.collections) : { mongodb: skipped('set MONGO_URI or pass --uri') }
  ])
  return { ...results, ...server, service, ...database }
}

const styles = { ok: 'green', warning: 'yellow', problem: 'red', skipped: 'dim' } as const

function inWords (results: Array<[check: string, result: Result]>, { paint, wrap }: Screen): string {
  const column = 26
  const lines = results.flatMap(([check, { status, found, fix }]) => [
    `${paint(styles[status], status.padEnd(9))}${check.padEnd(17)}${wrap(found, column)}`,
    ...fix ? [`${' '.repeat(column)}→ ${wrap(fix, column + 2)}`] : []
  ])
  const count = (status: Result['status']) => {
    const number = results.filter(([, result]) => result.status === status).length
    const text = `${number} ${status}${number === 1 ? '' : 's'}`
    return number === 0 ? text : paint(styles[status], text)
  }
  return `${lines.join('\n')}\n\n${count('problem')}, ${count('warning')}\n`
}
