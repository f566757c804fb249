import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { runProcess } from '../../lib/cli/process.js'
import { commands, run } from '../../lib/cli/run.js'
import { configFile, powersyncMongo, powersyncMongoIn, todoConfig } from '../support/command-line.js'

// Built, since compiling the sources takes each process seconds.
const program = fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url))

/** The names of all commands, those of groups with the group's. */
const names = Object.entries(commands).flatMap(([name, entry]) => 'commands' in entry ? Object.keys(entry.commands).map(each => [name, each]) : [[name]])

t.test('help goes to stdout with exit code 0, and says the options, with an example', async t => {
  for (const help of ['--help', '-h']) {
    t.match(await powersyncMongo(help), { code: 0, stdout: /^Usage: npx powersync-mongo <command>[^]*generate-keys {4,}make the key pair[^]*--version[^]*Exit codes:\n {2}0 /, stderr: '' })
    t.match(await powersyncMongo('dead-letters', help), { code: 0, stdout: /^Usage: npx powersync-mongo dead-letters <command>[^]*list.*\n {2}show.*\n {2}retry.*\n {2}discard[^]*Example: npx powersync-mongo dead-letters list --help\n$/, stderr: '' })
    for (const name of names) {
      const { code, stdout, stderr } = await powersyncMongo(...name, 'whatever', '--nonsense', help)
      t.equal(code, 0)
      t.equal(stderr, '')
      t.match(stdout, new RegExp(`^Usage: npx powersync-mongo ${name.join(' ')} .*\\[options\\]\\n\\n[A-Z][^]*\\nOptions:\\n[^]*  --help, -h +this text\\n\\nExample: npx powersync-mongo ${name.join(' ')}\\b`))
    }
  }
  t.match((await powersyncMongo('generate-keys', '-h')).stdout, /--alg <name> +signature algorithm: RS256, ES256, EdDSA \(RS256\)\n/)
})

t.test('no line of help is wider than 100 columns, or than the terminal', async t => {
  for (const columns of [undefined, 200, 0, 60]) {
    for (const name of [[], ['dead-letters'], ...names]) {
      const { stdout } = await powersyncMongoIn({ ...columns === undefined ? {} : { columns }, env: { NO_COLOR: '1' } }, ...name, '--help')
      t.same(stdout.split('\n').filter(line => line.length > (columns || 100) || /\s$/.test(line)), [], `${name.join(' ')} at ${columns}`)
    }
  }
})

t.test('--version', async t => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  for (const option of ['--version', '-v']) t.same(await powersyncMongo(option), { code: 0, stdout: `${version}\n`, stderr: '' })
})

t.test('arguments that make no sense go to stderr with exit code 2, what was probably meant, and the next step', async t => {
  const help = (name: string) => `\n  → "npx powersync-mongo${name} --help" shows what it takes\n`
  const cases: Array<[args: string[], stderr: string]> = [
    [['make-keys'], `powersync-mongo: there is no command "make-keys"${help('')}`],
    [['toString'], `powersync-mongo: there is no command "toString"${help('')}`],
    [['docter'], `powersync-mongo: there is no command "docter"; did you mean "doctor"?${help('')}`],
    [['genrate-kesy'], `powersync-mongo: there is no command "genrate-kesy"; did you mean "generate-keys"?${help('')}`],
    [['apply'], `powersync-mongo: there is no command "apply"; did you mean "apply-validators"?${help('')}`],
    [['retry'], `powersync-mongo: there is no command "retry"; did you mean "dead-letters retry"?${help('')}`],
    [['--json', 'doctor'], `powersync-mongo: there is no option --json here: options stand behind the command${help('')}`],
    [['generate-keys', '--colour', 'red'], `powersync-mongo generate-keys: there is no option --colour${help(' generate-keys')}`],
    [['generate-keys', '--jsno'], `powersync-mongo generate-keys: there is no option --jsno; did you mean --json?${help(' generate-keys')}`],
    [['generate-keys', '-x'], `powersync-mongo generate-keys: there is no option -x${help(' generate-keys')}`],
    [['generate-keys', 'now'], `powersync-mongo generate-keys: Unexpected argument 'now'. This command does not take positional arguments${help(' generate-keys')}`],
    [['generate-keys', '--kid'], `powersync-mongo generate-keys: Option '--kid <value>' argument missing${help(' generate-keys')}`],
    [['generate-keys', '--kid', '--json'], 'powersync-mongo generate-keys: Option \'--kid\' argument is ambiguous. Did you forget to specify the option argument for \'--kid\'? ' +
      `To specify an option argument starting with a dash use '--kid=-XYZ'.${help(' generate-keys')}`],
    [['generate-keys', '--kid', ''], `powersync-mongo generate-keys: --kid is empty${help(' generate-keys')}`],
    [['generate-keys', '--alg', 'HS256'], `powersync-mongo generate-keys: --alg HS256 is not one of RS256, ES256, EdDSA; did you mean RS256?${help(' generate-keys')}`],
    [['generate-keys', '--json=yes'], `powersync-mongo generate-keys: Option '--json' does not take an argument${help(' generate-keys')}`]
  ]
  for (const [args, message] of cases) t.same(await powersyncMongo(...args), { code: 2, stdout: '', stderr: message }, args.join(' '))
  t.match(await powersyncMongo(), { code: 2, stdout: '', stderr: /^Usage: npx powersync-mongo <command>/ })
})

t.test('colours are for terminals, unless NO_COLOR, FORCE_COLOR or TERM say otherwise', async t => {
  const coloured = '\x1b[1mUsage:\x1b[22m npx powersync-mongo'
  const plain = 'Usage: npx powersync-mongo'
  const cases: [env: Record<string, string>, columns: number | undefined, expected: string][] = [
    [{}, 80, coloured],
    [{ NO_COLOR: '1' }, 80, plain],
    [{ TERM: 'dumb' }, 80, plain],
    [{ FORCE_COLOR: '0' }, 80, plain],
    [{}, undefined, plain],
    [{ FORCE_COLOR: '1' }, undefined, coloured]
  ]
  for (const [env, columns, expected] of cases) {
    const { stdout } = await powersyncMongoIn({ env, ...columns === undefined ? {} : { columns } }, '--help')
    t.equal(stdout.slice(0, expected.length), expected, JSON.stringify(env))
  }
  t.match((await powersyncMongoIn({ columns: 80 }, 'streams')).stderr, /^\x1b\[31mpowersync-mongo streams:\x1b\[39m --config is missing.*\n {2}.*\n {2}→ /) // eslint-disable-line no-control-regex
})

t.test('an error that is not the user\'s is not passed off as one, and has no stack trace', async t => {
  const broken = new TypeError('no space left on device')
  let stderr = ''
  const io = { env: {}, cwd: () => '/', stdout: { write () { throw broken } }, stderr: { write (text: string) { stderr += text } } }
  t.equal(await run(['generate-keys', '--alg', 'EdDSA'], io), 1)
  t.equal(stderr, 'powersync-mongo generate-keys: TypeError: no space left on device\n  → this should not happen: run it again with NODE_DEBUG=powersync-mongo to see where, and report it\n')
})

t.test('as a process of its own, it prints, and exits with the code', async t => {
  const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
  // The flags of this process load TypeScript: the child needs them too.
  await t.rejects(promisify(execFile)(process.execPath, [...process.execArgv, main, 'make-keys']), { code: 2, stdout: '', stderr: /no command "make-keys"/ })

  const { stdout } = await promisify(execFile)(process.execPath, [program, 'generate-keys', '--alg', 'ES256'])
  t.match(stdout, /^POWERSYNC_PUBLIC_KEY=.+\nPOWERSYNC_PRIVATE_KEY=.+\n$/)
})

t.test('a process that a configuration would keep running ends', async t => {
  const config = await configFile(t, `${todoConfig}\nsetInterval(() => {}, 1000)`, { inProject: true })
  t.match((await promisify(execFile)(process.execPath, [program, 'streams', '--config', config])).stdout, /^config:\n/)
})

t.test('a reader that has seen enough is no error, and a full disk is one', async t => {
  const full = 'powersync-mongo: its output cannot be written (ENOSPC)\n'
  for (const [code, expected, told] of [['EPIPE', 0, ''], ['ENOSPC', 1, full]] as const) {
    let stderr = ''
    const stdout = new Writable({ write: (_chunk, _encoding, done) => { done(Object.assign(new Error(code), { code })) } })
    const exitCode = await new Promise<number>((resolve, reject) => {
      runProcess({ argv: ['node', 'main.js', '--version'], stdout, stderr: { write: text => { stderr += text } }, env: {}, cwd: () => '/', exit: resolve }).catch(reject)
    })
    t.same([exitCode, stderr], [expected, told])
  }

  const start = (stdout: number | 'pipe') => spawn(process.execPath, [program, '--help'], { stdio: ['ignore', stdout, 'pipe'] })
  const end = async (child: ReturnType<typeof start>) => {
    let stderr = ''
    child.stderr!.on('data', text => { stderr += text })
    const [code] = await once(child, 'close') as [number]
    return { code, stderr }
  }
  const closed = start('pipe')
  closed.stdout!.destroy()
  t.same(await end(closed), { code: 0, stderr: '' })
  if (process.platform !== 'linux') return t.pass('full', { skip: 'needs Linux\' /dev/full' })
  const disk = await open('/dev/full', 'w')
  t.same(await end(start(disk.fd)), { code: 1, stderr: full })
  await disk.close()
})
