import { execFile, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { run, runProcess } from '../../lib/cli/run.js'
import { allCommands, configFile, powersyncMongo, powersyncMongoIn, todoConfig } from '../support/command-line.js'

// Built, since compiling the sources takes each process seconds.
const program = fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url))

const names = allCommands.map(({ name }) => name)

t.test('help goes to stdout with exit code 0, and says the options, with an example', async t => {
  for (const help of ['--help', '-h', 'help']) {
    t.match(await powersyncMongo(help), {
      code: 0,
      stdout:
        /^Usage: npx powersync-mongo <command> \[options\][^]*generate-keys \[options\] {4,}generate the key pair[^]*Exit codes:\n {2}0 /,
      stderr: ''
    })
    t.match(await powersyncMongo('dead-letters', help), {
      code: 0,
      stdout: /^Usage: npx powersync-mongo dead-letters [^]*list.*\n[^]* {2}show.*\n[^]* {2}retry.*\n[^]* {2}discard/,
      stderr: ''
    })
  }
  for (const name of names) {
    const { code, stdout, stderr } = await powersyncMongo(...name, 'whatever', '--nonsense', '--help')
    t.equal(code, 0)
    t.equal(stderr, '')
    t.match(
      stdout,
      new RegExp(
        `^Usage: npx powersync-mongo ${name.join(' ')} \\[options\\][^]*\\n\\n[a-z][^]*\\nOptions:\\n[^]*  -h, --help +display help[^]*\\nExample:\\n  npx (?:fastify-)?powersync-mongo ${name.join(' ')}\\b`
      )
    )
    t.equal((await powersyncMongo(...name.toSpliced(-1, 0, 'help'))).stdout, stdout, 'the same by the command help')
  }
  t.match(
    (await powersyncMongo('generate-keys', '-h')).stdout,
    /--alg <name> +signature algorithm \(choices: "RS256", [^]*"EdDSA",\s+default: "RS256"\)\n/
  )
})

t.test('no line of help is wider than 100 columns, or than the terminal', async t => {
  for (const columns of [undefined, 200, 0, 60]) {
    for (const name of [[], ['dead-letters'], ...names]) {
      const { stdout } = await powersyncMongoIn(
        { ...(columns === undefined ? {} : { columns }), env: { NO_COLOR: '1' } },
        ...name,
        '--help'
      )
      // Neither usage nor example is broken: a line to copy.
      t.same(
        stdout
          .replace(/^Usage:.*|\nExample:[^]*/g, '')
          .split('\n')
          .filter(line => line.length > (columns || 100) || /\s$/.test(line)),
        [],
        `${name.join(' ')} at ${columns}`
      )
    }
  }
})

t.test('--version', async t => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  for (const option of ['--version', '-v']) {
    t.same(await powersyncMongo(option), { code: 0, stdout: `${version}\n`, stderr: '' })
  }
})

t.test(
  'arguments that make no sense go to stderr with exit code 2, what was probably meant, and the next step',
  async t => {
    const cases: Array<[args: string[], message: string]> = [
      [['make-keys'], 'unknown command \'make-keys\''],
      [['toString'], 'unknown command \'toString\''],
      [['docter'], 'unknown command \'docter\'\n(Did you mean doctor?)'],
      [['genrate-kesy'], 'unknown command \'genrate-kesy\'\n(Did you mean generate-keys?)'],
      [['dead-letters', 'lits'], 'unknown command \'lits\'\n(Did you mean list?)'],
      [['--json', 'doctor'], 'unknown option \'--json\''],
      [['generate-keys', '--colour', 'red'], 'unknown option \'--colour\''],
      [['generate-keys', '--jsno'], 'unknown option \'--jsno\'\n(Did you mean --json?)'],
      [['generate-keys', 'now'], 'too many arguments for \'generate-keys\'. Expected 0 arguments but got 1.'],
      [['generate-keys', '--kid'], 'option \'--kid <name>\' argument missing'],
      [['generate-keys', '--kid', '--json'], 'option \'--kid\' needs a value'],
      [['generate-keys', '--kid', ''], 'option \'--kid\' needs a value'],
      [
        ['generate-keys', '--alg', 'HS256'],
        'option \'--alg <name>\' argument \'HS256\' is invalid. Allowed choices are RS256, RS384, RS512, ES256, ' +
        'ES384, ES512, EdDSA.'
      ]
    ]
    for (const [args, message] of cases) {
      t.same(
        await powersyncMongo(...args),
        { code: 2, stdout: '', stderr: `error: ${message}\n  → add --help to see the options and an example\n` },
        args.join(' ')
      )
    }
    t.match(await powersyncMongo(), { code: 2, stdout: '', stderr: /^Usage: npx powersync-mongo / })
  }
)

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
  t.match(
    (await powersyncMongoIn({ columns: 80 }, 'streams')).stderr,
    // eslint-disable-next-line no-control-regex
    /^\x1b\[31merror:\x1b\[39m --config is missing.*\n {2}→ /
  )
})

t.test('an error that is not the user\'s is not passed off as one, and has no stack trace', async t => {
  const broken = new TypeError('no space left on device')
  let stderr = ''
  const io = {
    stdin: Readable.from([]),
    env: {},
    cwd: () => '/',
    stdout: {
      write () {
        throw broken
      }
    },
    stderr: {
      write (text: string) {
        stderr += text
      }
    }
  }
  t.equal(await run(['generate-keys', '--alg', 'EdDSA'], io), 1)
  t.equal(
    stderr,
    'error: TypeError: no space left on device\n  → unexpected: run it again with NODE_DEBUG=powersync-mongo, and ' +
    'report the stack trace\n'
  )
})

t.test('as a process of its own, it prints, and exits with the code', async t => {
  const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
  // The flags of this process load TypeScript: the child needs them too.
  await t.rejects(promisify(execFile)(process.execPath, [...process.execArgv, main, 'make-keys']), {
    code: 2,
    stdout: '',
    stderr: /unknown command 'make-keys'/
  })

  const { stdout } = await promisify(execFile)(process.execPath, [program, 'generate-keys', '--alg', 'ES256'])
  t.match(stdout, /^POWERSYNC_PUBLIC_KEY=.+\nPOWERSYNC_PRIVATE_KEY=.+\n$/)
})

t.test('stdout is for results alone, whatever a configuration prints', async t => {
  const prints =
    'console.log(\'by the console\')\nprocess.stdout.write(\'by the stream\\n\')\npino({}, pino.destination({ fd: ' +
    'process.stdout.fd, sync: true })).info(\'by a logger\')\nsetImmediate(() => console.info(\'later\'))'
  const config = await configFile(t, `import pino from 'pino'\n${prints}\n${todoConfig}`, { inProject: true })
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    program,
    'client-schema',
    '--json',
    '--config',
    config
  ])
  t.match(JSON.parse(stdout), { tables: [{ name: 'lists' }, { name: 'todos' }] })
  for (const printed of ['by the console\n', 'by the stream\n', '"msg":"by a logger"']) {
    t.ok(stderr.includes(printed), printed)
  }
})

t.test('a missing --env ends with 2 in a process, too: Node.js 20 takes an --env-file for its own', async t => {
  await t.rejects(promisify(execFile)(process.execPath, [program, 'doctor', '--env', 'nowhere.env']), {
    code: 2,
    stderr: /^error: --env nowhere\.env cannot be read \(ENOENT\)\n/
  })
})

t.test('a process that a configuration would keep running ends', async t => {
  const config = await configFile(t, `${todoConfig}\nsetInterval(() => {}, 1000)`, { inProject: true })
  t.match((await promisify(execFile)(process.execPath, [program, 'streams', '--config', config])).stdout, /^config:\n/)
})

t.test('a configuration that ends the process, or waits for ever, is no success', async t => {
  for (const end of ['process.exit(0)', 'await new Promise(() => {})']) {
    const config = await configFile(t, `${todoConfig}\n${end}`, { inProject: true })
    await t.rejects(promisify(execFile)(process.execPath, [program, 'streams', '--config', config]), {
      code: 2,
      stdout: '',
      stderr: /^error: the process ended before the command did\n {2}→ look for process\.exit, or for an await /
    })
  }
})

t.test('a reader that has seen enough is no error, and a full disk is one', async t => {
  const full = 'error: the output cannot be written (ENOSPC)\n'
  for (const [code, expected, told] of [['EPIPE', 0, ''], ['ENOSPC', 1, full]] as const) {
    let stderr = ''
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => {
        done(Object.assign(new Error(code), { code }))
      }
    })
    const exitCode = await new Promise<number>((resolve, reject) => {
      runProcess(Object.assign(new EventEmitter(), {
        stdin: Readable.from([]),
        argv: ['node', 'main.js', '--version'],
        stdout,
        stderr: {
          write: (text: string) => {
            stderr += text
          }
        },
        env: {},
        cwd: () => '/',
        exit: resolve
      })).catch(reject)
    })
    t.same([exitCode, stderr], [expected, told])
  }

  const start = (stdout: number | 'pipe') =>
    spawn(process.execPath, [program, '--help'], { stdio: ['ignore', stdout, 'pipe'] })
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
