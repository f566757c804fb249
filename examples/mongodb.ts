/**
 * A MongoDB for development, without anything to install or configure. The first of these that there is:
 *
 * 1. `MONGO_URI`: the replica set that you name;
 * 2. a real mongod as a replica set of one, by mongodb-memory-server: downloaded once, to its cache in your home;
 * 3. on Linux x64 and glibc, offline: jongodb, an emulator that came with `npm install`. For trying out only.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { DryMongoBinary, MongoBinary, MongoMemoryReplSet } from 'mongodb-memory-server-core'
import { MongoBinaryDownload } from 'mongodb-memory-server-core/lib/util/MongoBinaryDownload.js'

export interface DevelopmentMongoDBOptions {
  /** Name of the database in `uri`; `MONGO_URI` keeps the one that it names itself. Default: `development`. */
  database?: string
  /** Port to listen on, for a server that comes back where it was. Default: any free one. */
  port?: number
  /** Whether mongod may be downloaded when it is not there yet. Default: unless MONGOMS_RUNTIME_DOWNLOAD is false. */
  download?: boolean
  /** More arguments for mongod. Default: none. */
  args?: string[]
  /** Whether the emulator will do when there is no MongoDB. Default: true. */
  emulator?: boolean
}

export interface DevelopmentMongoDB {
  /** Connection string, with the database in its path. */
  uri: string
  kind: 'MONGO_URI' | 'mongod' | 'emulator'
  /** One line for people: what this runs on. Holds no credentials. */
  description: string
  /** Stops what was started here, and its data goes. Does nothing to the server behind `MONGO_URI`. */
  stop: () => Promise<void>
}

/** A step gives a server, or says in a few words why it cannot. */
type Step = (options: Required<DevelopmentMongoDBOptions>) => Promise<DevelopmentMongoDB | string>

const steps: Step[] = [environment, mongod, emulator]

/**
 * Starts MongoDB by the first step of the chain above that can.
 * It stops by `stop()`, and with this process, however that ends.
 *
 * @throws when no step can: the message has each one's reason and says what to do.
 */
export async function developmentMongoDB (options: DevelopmentMongoDBOptions = {}): Promise<DevelopmentMongoDB> {
  const download = process.env['MONGOMS_RUNTIME_DOWNLOAD'] !== 'false'
  const reasons: string[] = []
  for (const step of steps) {
    const result = await step({ database: 'development', port: 0, download, args: [], emulator: true, ...options })
    if (typeof result !== 'string') return result
    reasons.push(result)
  }
  throw new Error([
    'There is no MongoDB to run on:',
    ...reasons.map((reason) => `  - ${reason}`),
    'Set MONGO_URI to a replica set, MongoDB Atlas for example, or start one with Docker:',
    '  docker run --detach --name mongo --publish 27017:27017 mongo:8 --replSet rs0 --bind_ip_all',
    '  docker exec mongo mongosh --eval ' +
      '"rs.initiate({ _id: \'rs0\', members: [{ _id: 0, host: \'127.0.0.1:27017\' }] })"',
    `  export MONGO_URI='mongodb://127.0.0.1:27017/${options.database ?? 'development'}?replicaSet=rs0'`
  ].join('\n'))
}

async function environment (): ReturnType<Step> {
  const uri = process.env['MONGO_URI']
  if (!uri) return 'MONGO_URI is not set'

  const hosts = /^mongodb(?:\+srv)?:\/\/(?:[^@/]*@)?([^/?]+)/.exec(uri)?.[1] ?? 'the given address'
  return { uri, kind: 'MONGO_URI', description: `MongoDB at ${hosts}, from MONGO_URI`, stop: async () => {} }
}

async function mongod ({ database, port, download, args }: Required<DevelopmentMongoDBOptions>): ReturnType<Step> {
  const binary = DryMongoBinary.getEnsuredOptions()
  let task = 'found'
  try {
    if (!await DryMongoBinary.locateBinary(binary)) {
      if (!download) return `mongod ${binary.version} has not been downloaded yet`
      task = 'downloaded'
      await downloadMongod(binary.version)
    }
    task = 'started'
    const replicaSet = await MongoMemoryReplSet.create({
      binary,
      instanceOpts: [{ args, ...port && { port } }],
      // Detached: Ctrl-C in a terminal goes to the server alone, which finishes its requests and then stops mongod.
      replSet: { count: 1, storageEngine: 'wiredTiger', spawn: { detached: true } }
    })
    return {
      uri: replicaSet.getUri(database),
      kind: 'mongod',
      description: 'a real mongod, started for this run; its data goes when it stops',
      stop: async () => { await replicaSet.stop() }
    }
  } catch (error) {
    const reason = `mongod ${binary.version} could not be ${task}: ${firstLine(error)}`
    console.log(`  ${reason}`)
    return reason
  }
}

async function downloadMongod (version: string): Promise<void> {
  // mongodb-memory-server verifies TLS only when this setting of npm's is in the environment.
  process.env['npm_config_strict_ssl'] ??= 'true'
  // It also tries for up to minutes before it gives up. Offline should show at once; behind a proxy only it can tell.
  const detour = /^(?:npm_config_)?(?:https?[-_])?proxy$|^MONGOMS_DOWNLOAD/i
  if (!Object.entries(process.env).some(([name, value]) => value && detour.test(name))) {
    await fetch('https://fastdl.mongodb.org', { method: 'HEAD', signal: AbortSignal.timeout(3000) })
  }
  console.log(`  Downloading MongoDB ${version}, this once`)
  await MongoBinary.getPath({ version })
}

/** Progress once a second, in place of mongodb-memory-server's own: in a terminal on one line, else on a line each. */
MongoBinaryDownload.prototype.printDownloadProgress = function (chunk, isLast = false) {
  const { dlProgress: progress } = this
  progress.current += chunk.length
  if (progress.totalMb === 0) return // the checksum
  if (Date.now() - progress.lastPrintedAt < 1000 && !isLast) return
  progress.lastPrintedAt = Date.now()
  const line = `  ${Math.floor(100 * progress.current / progress.length)} % of ${progress.totalMb} MB`
  process.stdout.write(process.stdout.isTTY ? `\r${line}${isLast ? '\n' : ''}` : `${line}\n`)
}

/**
 * Runs the command in "$0" and "$@" under this shell's pid, and kills it when standard input ends: that is when the
 * process at the other end of the pipe has exited in whatever way, kill -9 included.
 */
const untilInputEnds = 'exec 3<&0; { cat; kill -9 $$; } <&3 >/dev/null 2>&1 & exec "$0" "$@" 3<&- </dev/null'

async function emulator ({ database, port, emulator }: Required<DevelopmentMongoDBOptions>): ReturnType<Step> {
  if (!emulator) return 'the emulator will not do here'
  const binary = findEmulator()
  if (!binary) return 'the emulator (jongodb, for Linux x64 with glibc) is not installed'

  const child = spawn('/bin/sh', [
    '-c', untilInputEnds, binary,
    '--host=127.0.0.1', `--port=${port}`, `--database=${database}`, '--topology-profile=singleNodeReplicaSet'
  ], { stdio: 'pipe', detached: true })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const errors: string[] = []
  createInterface(child.stderr).on('line', (line) => errors.push(line))

  for await (const line of createInterface(child.stdout)) {
    const uri = /^JONGODB_URI=(\S+)/.exec(line)?.[1]
    if (!uri) continue
    child.stdout.resume()
    return {
      // It ends the streaming kind every few seconds, which drivers take for an outage.
      uri: `${uri}&serverMonitoringMode=poll`,
      kind: 'emulator',
      description: 'an emulator of MongoDB (jongodb), for trying out only; its data goes when it stops',
      stop: () => {
        child.kill('SIGKILL')
        return exited
      }
    }
  }
  await exited
  return `the emulator (jongodb) did not start: ${errors[0] ?? `exit code ${child.exitCode}`}`
}

function findEmulator (): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve('@jongodb/memory-server-bin-linux-x64-gnu/package.json')
    return join(dirname(manifest), 'bin', 'jongodb')
  } catch {
    return undefined
  }
}

function firstLine (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? firstLine(error.cause) : error.message.split('\n', 1).join()
}
