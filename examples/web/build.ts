/**
 * Builds the page into `dist`: the script and its style, SQLite's worker, and the service worker that keeps them all.
 */
import { createHash } from 'node:crypto'
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { build } from 'esbuild'

const folder = import.meta.dirname
const dist = join(folder, 'dist')
// The SDK brings its worker ready to serve: https://docs.powersync.com/client-sdks/reference/javascript-web
const worker = createRequire(import.meta.url).resolve('@powersync/web/bundled_worker')

await rm(dist, { recursive: true, force: true })

// The names of all files but the first two change with their content: browsers may keep them.
const sdk = `sdk-${hash(await readFile(worker))}`
await cp(dirname(worker), join(dist, sdk), { recursive: true, filter: file => !file.endsWith('.map') })
const { metafile } = await build({
  absWorkingDir: folder,
  entryPoints: ['src/main.ts', 'src/style.css'],
  outdir: dist,
  entryNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  define: { workerUrl: JSON.stringify(`/${sdk}/${basename(worker)}`) },
  metafile: true,
  logLevel: 'warning'
})

let page = await readFile(join(folder, 'index.html'), 'utf8')
for (const [output, { entryPoint }] of Object.entries(metafile.outputs)) {
  if (entryPoint) page = page.replace(`./${entryPoint}`, `/${basename(output)}`)
}
await writeFile(join(dist, 'index.html'), page)

const entries = await readdir(dist, { recursive: true, withFileTypes: true })
const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name)).sort()
const urls = files.map(file => `/${relative(dist, file).replaceAll('\\', '/')}`.replace(/^\/index\.html$/, '/'))
const version = hash(...await Promise.all(files.map(file => readFile(file))))
const constants = `const version = '${version}'\nconst files = ${JSON.stringify(urls)}\n`
await writeFile(join(dist, 'service-worker.js'), constants + await readFile(join(folder, 'service-worker.js'), 'utf8'))

function hash (...contents: Buffer[]): string {
  const digest = createHash('sha256')
  for (const content of contents) digest.update(content)
  return digest.digest('hex').slice(0, 16)
}
