import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defineConfig, type Plugin } from 'vite'

export default defineConfig({
  root: import.meta.dirname,
  // The SDK's worker imports its parts one by one.
  worker: { format: 'es' },
  build: { target: 'es2022', chunkSizeWarningLimit: 2000, rolldownOptions: { checks: { pluginTimings: false } } },
  plugins: [serviceWorker()]
})

/** Tells the service worker which files make up the page, so that it can keep all of them for when there is no network. */
function serviceWorker (): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    async writeBundle ({ dir = '' }) {
      const entries = await readdir(dir, { recursive: true, withFileTypes: true })
      const files = entries.filter(entry => entry.isFile() && entry.name !== 'service-worker.js').map(entry => join(entry.parentPath, entry.name)).sort()
      const version = createHash('sha256')
      for (const file of files) version.update(await readFile(file))
      const urls = files.map(file => file.slice(dir.length).replaceAll('\\', '/').replace(/^\/index\.html$/, '/'))
      const constants = `const version = '${version.digest('hex').slice(0, 16)}'\nconst files = ${JSON.stringify(urls)}\n`
      await writeFile(join(dir, 'service-worker.js'), constants + await readFile(join(import.meta.dirname, 'service-worker.js'), 'utf8'))
    }
  }
}
