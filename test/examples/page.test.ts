/** The page that `npm start` serves, in a real browser, with the real SDK in it. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { browserMissing, openBrowser } from './browser.js'
import { startExample } from './run.js'

// A build, a browser and four times SQLite from nothing: slow where the processor is shared.
t.setTimeout(450_000)

const { url, output } = await startExample(t, 'start.ts', { last: 'Ctrl-C' })

t.test('npm start says at once what it does, builds the page, and prints all in one style', async t => {
  t.match(output, /^\n {2}Building the page\n {2}Starting the server\n/)
  t.match(output, `See it work in a browser: ${url}/`)
  t.strictSame(output.split('\n').filter(line => !/^( {2}|curl |$)/.test(line)), [])
  t.match(await (await fetch(url)).text(), '<title>Todos, offline first')
})

t.test('the page', { skip: browserMissing }, async t => {
  const context = await openBrowser(t)
  const page = context.pages()[0] as Page
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  await page.goto(url)
  await isOnline(page)
  const app = view(page)

  await t.test('a todo is added, ticked, renamed and deleted in SQLite, and MongoDB follows', async t => {
    await app.add('Buy milk')
    await app.place('Buy milk', 'stored')
    t.match(await documents(url), [{ description: 'Buy milk', completed: false, list_id: 'inbox', created_by: 'demo' }])
    await page.getByText('Empty: the server has everything.').waitFor()

    await page.getByLabel('Buy milk', { exact: true }).check()
    await eventually(t, async () => (await documents(url))[0]?.['completed'], true)

    await page.getByRole('button', { name: 'Rename Buy milk' }).click()
    await page.getByLabel('New name').fill('Buy oat milk')
    await page.keyboard.press('Enter')
    await eventually(t, async () => (await documents(url))[0]?.['description'], 'Buy oat milk')
    t.equal(await page.getByLabel('Buy oat milk', { exact: true }).isChecked(), true)
    t.equal(await page.evaluate('document.activeElement.ariaLabel'), 'Rename Buy oat milk', 'the focus stays at the todo')

    await t.test('with the document of the server beside the local row', async t => {
      await eventually(t, () => cells(page, 'completed'), ['1 integer', 'true bool'])
      await eventually(t, async () => (await cells(page, 'created_at')).map(cell => cell.split(' ').at(-1)), ['text', 'date'])
      t.match(await cells(page, 'description'), ['Buy oat milk text', 'Buy oat milk string'])
    })

    await page.getByRole('button', { name: 'Delete Buy oat milk' }).click()
    await eventually(t, () => documents(url), [])
    await page.getByText('Nothing to do.').waitFor()
  })

  await t.test('switched offline, writes wait in the queue, stay there over a reload, and go when it is switched back', async t => {
    await app.offline(true)
    await page.locator('#status', { hasText: 'Offline: switched off' }).waitFor()
    await app.add('Written offline')
    await app.place('Written offline', 'waiting')
    await page.getByLabel('Written offline', { exact: true }).check()
    await eventually(t, () => app.queue(), ['PATCH', 'PUT'])
    t.strictSame(await documents(url), [])

    await page.reload()
    await eventually(t, () => app.queue(), ['PATCH', 'PUT'])
    t.equal(await page.getByRole('switch', { name: 'Work offline' }).getAttribute('aria-checked'), 'true')

    await app.offline(false)
    await isOnline(page)
    await eventually(t, () => app.queue(), [])
    await app.place('Written offline', 'stored')
    t.match(await documents(url), [{ description: 'Written offline', completed: true }])
  })

  await t.test('without a network the page opens, works, and catches up', async t => {
    await page.evaluate('navigator.serviceWorker.ready.then(() => true)')
    await context.setOffline(true)
    await page.reload()
    await page.locator('#status', { hasText: 'Offline: no network' }).waitFor()
    await page.getByLabel('Written offline', { exact: true }).waitFor()
    await app.add('Written in a tunnel')
    await app.place('Written in a tunnel', 'waiting')
    t.equal((await documents(url)).length, 1)

    await context.setOffline(false)
    await isOnline(page)
    await app.place('Written in a tunnel', 'stored')
    t.match((await documents(url)).map(({ description }) => description).sort(), ['Written in a tunnel', 'Written offline'])
  })

  for (const [button, code, table] of [
    ['Date that is none', 'INVALID_DATA', 'todos'],
    ['Unknown table', 'SCHEMA_MISMATCH', 'notes'],
    ['In another name', 'UNAUTHORIZED', 'todos'],
    ['Second list of a name', 'DUPLICATE_KEY', 'lists'],
    ['Todo without words', 'NOTHING_TO_DO', 'todos']
  ] as const) {
    await t.test(`${button}: ${code}, a dead letter, and the queue goes on`, async t => {
      const before = await documents(url)
      await page.getByRole('button', { name: button }).click()
      await page.locator('#notice', { hasText: `Refused, ${code}` }).waitFor()
      await page.locator('#answers li', { hasText: code }).waitFor()
      await page.locator('#letters li', { hasText: code }).filter({ hasText: `PUT ${table}` }).waitFor()
      await eventually(t, () => app.queue(), [])
      t.strictSame(await documents(url), before)
    })
  }

  await t.test('the refused todos are marked in the list', async t => {
    await eventually(t, () => page.locator('.place[data-place=refused]').count(), 3)
  })

  await t.test('a server that fails for now holds the queue, and loses nothing', async t => {
    await page.getByRole('switch', { name: 'Break the server' }).click()
    await page.locator('#fault[aria-checked=true]').waitFor()
    await app.add('Worth waiting for')
    await page.locator('#answers li', { hasText: 'retryable_error' }).first().waitFor()
    await page.locator('#upload-error', { hasText: 'it is sent again' }).waitFor()
    t.strictSame(await app.queue(), ['PUT'])

    await page.getByRole('switch', { name: 'Break the server' }).click()
    await app.place('Worth waiting for', 'stored')
    await eventually(t, () => app.queue(), [])
  })

  await t.test('dead letters run again, or go', async t => {
    const letter = (code: string) => page.locator('#letters li', { hasText: code })
    await letter('DUPLICATE_KEY').getByRole('button', { name: 'Run again' }).click()
    await page.locator('#notice', { hasText: 'Refused again: Another document has the same value' }).waitFor()
    t.equal(await letter('DUPLICATE_KEY').count(), 1)

    await letter('NOTHING_TO_DO').getByRole('button', { name: 'Discard' }).click()
    await letter('NOTHING_TO_DO').waitFor({ state: 'detached' })
    await eventually(t, () => page.locator('#letters li').count(), 4)
  })

  await t.test('everybody can use it', async t => {
    await app.offline(true)
    await app.add('Sharpen the pencils')
    await app.place('Sharpen the pencils', 'waiting')
    await picture(page)
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
    await page.evaluate(axe)
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [1400, 400]) {
        await page.emulateMedia({ colorScheme })
        await page.setViewportSize({ width, height: 900 })
        const { violations } = await page.evaluate('axe.run()') as { violations: Array<{ id: string, nodes: Array<{ html: string }> }> }
        t.strictSame(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], `no barrier that axe knows, ${colorScheme}, ${width} pixels wide`)
        t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, 'it fits')
      }
    }
  })

  t.strictSame(errors, [], 'no error in the page')
})

function view (page: Page) {
  const todo = (description: string): Locator => page.locator('#todos li', { has: page.getByLabel(description, { exact: true }) })
  return {
    async add (description: string) {
      await page.getByLabel('What is to be done?').fill(description)
      await page.keyboard.press('Enter')
    },
    /** Waits until the list says where the todo is. */
    place: (description: string, place: string) => todo(description).locator(`.place[data-place="${place}"]`).waitFor(),
    /** Kinds of the operations in the upload queue, sorted. */
    queue: async () => (await page.locator('#queue .tag').allTextContents()).sort(),
    async offline (checked: boolean) {
      await page.getByRole('switch', { name: 'Work offline' }).click()
      await page.locator(`#offline[aria-checked=${checked}]`).waitFor()
    }
  }
}

/** The README's picture, for whoever sets SCREENSHOT=docs/images/page.png. */
async function picture (page: Page): Promise<void> {
  const path = process.env['SCREENSHOT']
  if (!path) return
  await page.setViewportSize({ width: 1200, height: 860 })
  await page.screenshot({ path })
}

/** Opening SQLite takes a while on a busy machine. */
async function isOnline (page: Page): Promise<void> {
  await page.locator('#status[data-state=online]').waitFor()
}

/** A column of the row that is compared: what SQLite and what MongoDB has. */
async function cells (page: Page, column: string): Promise<string[]> {
  const row = page.locator('#sides tr', { has: page.getByRole('rowheader', { name: column, exact: true }) })
  return await row.locator('td').allTextContents()
}

async function documents (url: string): Promise<Array<Record<string, unknown>>> {
  return await (await fetch(`${url}/todos`)).json() as Array<Record<string, unknown>>
}

/** Waits until what is found is what is expected; fails with what was found last. */
async function eventually (t: Test, find: () => Promise<unknown>, expected: unknown): Promise<void> {
  const end = performance.now() + 30_000
  let found = await find()
  while (JSON.stringify(found) !== JSON.stringify(expected) && performance.now() < end) {
    await sleep(50)
    found = await find()
  }
  t.strictSame(found, expected)
}
