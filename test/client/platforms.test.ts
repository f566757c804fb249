/** The connector runs where nothing but `fetch` is, and is what PowerSync's SDK takes. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'
import ts from 'typescript'
import type {
  CommonPowerSyncDatabase, CrudEntry, CrudTransaction, PowerSyncBackendConnector, PowerSyncCredentials
} from '@powersync/common'
import type { PowerSyncDatabase } from '@powersync/node'
import type {
  ClientDatabase, ClientOperation, ClientTransaction, Connector, Credentials, RejectionsDatabase
} from '../../lib/client/index.js'

const folder = join(import.meta.dirname, '..', '..', 'lib', 'client')

/** `npx tsc` fails unless every one of these is true: Given can stand where Wanted is expected. */
type Fits<Given, Wanted> = [Given] extends [Wanted] ? true : false
type All<Checks extends true[]> = Checks
export type Compatible = All<[
  Fits<Connector, PowerSyncBackendConnector>,
  Fits<Credentials, PowerSyncCredentials>,
  Fits<CommonPowerSyncDatabase, ClientDatabase>,
  Fits<PowerSyncDatabase, ClientDatabase>,
  Fits<CommonPowerSyncDatabase, RejectionsDatabase>,
  Fits<CrudTransaction, ClientTransaction>,
  Fits<CrudEntry, ClientOperation>
]>

t.test('its modules import each other, and types only from anywhere else; the hook imports React', async t => {
  for (const file of await readdir(folder)) {
    const { importedFiles } = ts.preProcessFile(await readFile(join(folder, file), 'utf8'))
    for (const { fileName } of importedFiles) {
      if (file === 'react.ts' && fileName === 'react') continue
      t.match(
        fileName,
        /^\.\/(?!react)[\w-]+\.js$|^\.\.\/\.\.\/types\/(client|rejections|results|validators)\.js$/,
        `${file} imports ${fileName}`
      )
    }
  }
})

/** All of React Native's globals that it uses, as its own types declare them. */
const reactNative = `
  interface AbortSignal { readonly aborted: boolean, addEventListener (type: 'abort', listener: () => void): void, removeEventListener (type: 'abort', listener: () => void): void }
  declare class AbortController { readonly signal: AbortSignal; abort (): void }
  declare function fetch (url: string, init: { method?: string, headers?: Record<string, string>, body?: string, redirect?: 'manual', signal?: AbortSignal }): Promise<{ ok: boolean, status: number, headers: { get (name: string): string | null }, json (): Promise<any> }>
  declare function setTimeout (callback: () => void, milliseconds: number): number
  declare function atob (text: string): string
  declare function clearTimeout (timer: number | undefined): void
`

const platforms: Array<{ name: string, lib: string[], globals?: string }> = [
  { name: 'a browser', lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'] },
  { name: 'React Native', lib: ['lib.es2022.d.ts'], globals: reactNative }
]

for (const { name, lib, globals = '' } of platforms) {
  t.test(`it compiles with the types of ${name}, without Node's`, async t => {
    const options: ts.CompilerOptions = {
      strict: true,
      noEmit: true,
      lib,
      types: [],
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2022,
      exactOptionalPropertyTypes: true
    }
    const host = ts.createCompilerHost(options)
    const { getSourceFile, fileExists } = host
    const declarations = join(folder, 'globals.d.ts')
    host.getSourceFile = (file, ...rest) =>
      file === declarations ? ts.createSourceFile(file, globals, ts.ScriptTarget.ES2022) : getSourceFile(file, ...rest)
    host.fileExists = file => file === declarations || fileExists(file)
    const program = ts.createProgram([join(folder, 'index.ts'), declarations], options, host)
    const errors = ts.getPreEmitDiagnostics(program)
    t.same(
      errors.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`),
      []
    )
  })
}

t.test(
  'the connector takes at most 4 kB, compressed, of an app\'s bundle, and brings nothing that the app does not import',
  async t => {
    const {
      outputFiles: [bundle]
    } = await build({
      stdin: { contents: "export { createConnector } from './index.ts'", resolveDir: folder },
      bundle: true,
      minify: true,
      format: 'esm',
      write: false
    })
    const size = gzipSync(bundle!.contents).length
    t.ok(size <= 4000, `${size} bytes`)
    t.notMatch(bundle!.text, 'vendor', 'validators')
    t.notMatch(bundle!.text, 'PSM_RESEND', 'rejections')
  }
)
