/** A real browser for tests: headless Chromium, as Debian and others package it. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { chromium, type BrowserContext } from 'playwright-core'
import type { Test } from 'tap'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

const executablePath = process.env['CHROMIUM_PATH'] ?? (process.env['PATH'] ?? '').split(delimiter)
  .flatMap(folder => names.map(name => join(folder, name)))
  .find(existsSync)

/** For a test's options, `{ skip: browserMissing }`: false where there is a browser, else why the test does not run. */
export const browserMissing: string | false = executablePath
  ? false
  : 'needs Chromium in the path or in CHROMIUM_PATH, on Debian: apt-get install chromium'

/** A browser with a profile of its own, in which nothing is kept yet. */
export async function openBrowser (t: Pick<Test, 'teardown'>): Promise<BrowserContext> {
  const profile = await mkdtemp(join(tmpdir(), 'fastify-powersync-mongo-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: String(executablePath),
    headless: true,
    viewport: { width: 1400, height: 900 },
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'
    ]
  })
  t.teardown(async () => {
    await context.close()
    await rm(profile, { recursive: true, force: true })
  })
  context.setDefaultTimeout(40_000)
  return context
}
