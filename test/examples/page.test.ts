/** The page that `npm start` serves, in a real browser, with the real SDK in it. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { browserMissing, openBrowser } from './browser.js'
import { startExample } from './run.js'

// A build, a browser and twice four times SQLite from nothing: slow where the processor is shared.
t.setTimeout(600_000)

const { url, output } = await startExample(t, 'start.ts', { last: 'Ctrl-C' })

t.test('npm start says at once what it does, builds the page, and prints all in one style', async t => {
  t.match(
    output,
    /^\n {2}A todo app on PowerSync and MongoDB\n\n {2}Building the page\n {2}Starting MongoDB and the server\n/
  )
  t.match(output, `See it work in a browser: ${url}/`)
  t.strictSame(output.split('\n').filter(line => !/^( {2}\S| {14}\S|$)/.test(line)), [])
  const html = await (await fetch(url)).text()
  t.match(html, '<title>Todos, offline first')
  t.match(html, /<noscript>.*needs JavaScript/, 'without JavaScript a sentence says so')
})

t.test('the page', { skip: browserMissing }, async t => {
  const context = await openBrowser(t)
  const page = context.pages()[0] as Page
  const errors: string[] = []
  page.on('pageerror', error => errors.push(error.message))
  await page.goto(url)
  const phone = device(page, 'Phone')
  const laptop = device(page, 'Laptop')
  await Promise.all([phone.isOnline(), laptop.isOnline()])

  await t.test('it says that the service is a stand-in', async t => {
    t.match(await page.locator('#service').textContent(), 'There is no PowerSync Service here: a stand-in')
  })

  await t.test(
    'a todo is added, ticked, renamed and deleted on one device; MongoDB and the other device follow',
    async t => {
      await phone.add('Buy milk')
      await phone.isMarked('Buy milk', 'stored')
      await laptop.isMarked('Buy milk', 'stored')
      t.match(await documents(url), [
        { description: 'Buy milk', completed: false, list_id: 'inbox', created_by: 'ann' }
      ])

      await laptop.todo('Buy milk').getByRole('checkbox').check()
      await eventually(t, () => phone.todo('Buy milk').getByRole('checkbox').isChecked(), true)

      await phone.button('Rename Buy milk').click()
      await phone.node.getByLabel('New name').fill('Buy oat milk')
      await page.keyboard.press('Enter')
      await laptop.isMarked('Buy oat milk', 'stored')
      t.equal(await focused(page), 'Rename Buy oat milk', 'the focus stays at the todo')

      await t.test('with the document of the server beside the local row', async t => {
        await phone.button('Compare Buy oat milk').click()
        await eventually(t, () => phone.cells('completed'), ['1 integer', 'true bool'])
        await eventually(t, async () => (await phone.cells('created_at')).map(cell => cell.split(' ').at(-1)), [
          'text',
          'date'
        ])
        t.match(await phone.cells('description'), ['Buy oat milk text', 'Buy oat milk string'])
      })

      await phone.button('Delete Buy oat milk').click()
      await eventually(t, () => laptop.todos(), [])
      t.strictSame(await documents(url), [])
      await phone.node.getByText('Nothing to do.').waitFor()
    }
  )

  await t.test('the focus moves to the next todo, and from the last to the field for a new one', async t => {
    for (const name of ['One', 'Two']) {
      await phone.add(name)
      await phone.todo(name).waitFor()
    }
    await phone.button('Delete Two').focus()
    await page.keyboard.press('Enter')
    await eventually(t, () => focused(page), 'Delete One')
    await page.keyboard.press('Enter')
    await eventually(t, () => page.evaluate('document.activeElement.id'), 'phone-todo')
    await eventually(t, () => phone.todos(), [])
  })

  await t.test('a list is added, and its todos are its own', async t => {
    await phone.node.getByText('New list').first().click()
    await phone.node.getByRole('textbox', { name: 'New list' }).fill('Hardware')
    await page.keyboard.press('Enter')
    await eventually(t, async () => await phone.lists(), ['Inbox', 'Hardware'])
    await eventually(t, async () => await laptop.lists(), ['Inbox', 'Hardware'])
    await phone.add('Nails')
    await phone.isMarked('Nails', 'stored')
    t.strictSame(await laptop.todos(), [])
    await laptop.node.getByLabel('List', { exact: true }).selectOption('Hardware')
    await laptop.isMarked('Nails', 'stored')
    for (const each of [phone, laptop]) await each.node.getByLabel('List', { exact: true }).selectOption('Inbox')
  })

  await t.test(
    'switched off, a device keeps its writes over a reload, and sends them when it is switched on',
    async t => {
      await phone.switchOff(true)
      await phone.status('Switched off')
      await phone.add('Written offline')
      await phone.isMarked('Written offline', 'waiting')
      await phone.todo('Written offline').getByRole('checkbox').check()
      await eventually(t, () => phone.queue(), ['PATCH', 'PUT'])
      t.strictSame(await laptop.todos(), [])

      await page.reload()
      await eventually(t, () => phone.queue(), ['PATCH', 'PUT'])
      await phone.status('Switched off')
      await laptop.isOnline()

      await phone.switchOff(false)
      await phone.isOnline()
      await eventually(t, () => phone.queue(), [])
      await laptop.isMarked('Written offline', 'stored')
    }
  )

  await t.test('without a network the page opens, works, and catches up', async t => {
    await page.evaluate('navigator.serviceWorker.ready.then(() => true)')
    await context.setOffline(true)
    await page.reload()
    await phone.status('No network')
    await laptop.todo('Written offline').waitFor()
    await phone.add('Written in a tunnel')
    await phone.isMarked('Written in a tunnel', 'waiting')

    await context.setOffline(false)
    await Promise.all([phone.isOnline(), laptop.isOnline()])
    await laptop.isMarked('Written in a tunnel', 'stored')
  })

  for (const [helper, verdict, now] of [
    ['lastWriteWins', 'Laptop won.', ['Party on Sunday']],
    ['fieldLevel', 'name: Phone won. phone: Laptop won.', ['Bea Miller', '555-0122']],
    ['additive', 'Both won.', ['5']],
    ['versioned', 'Laptop won.', ['Ben\'s draft']],
    ['keepServer', 'The server won.', ['100']]
  ] as const) {
    await t.test(`a conflict of ${helper}: both devices end with ${now}, and the page says who won`, async t => {
      const play = page.locator(`#${helper}`)
      await page.getByRole('button', { name: `Play ${helper}` }).click()
      await eventually(t, () => play.locator('.steps li').count(), 7)
      t.match(await play.locator('.steps li').last().textContent(), 'Both devices show what MongoDB has')
      await play.locator('.verdict:not(:empty)').waitFor()
      t.match(await play.locator('.verdict').textContent(), verdict)
      t.strictSame(
        await play
          .locator('tr', { has: page.getByRole('rowheader', { name: 'Now', exact: true }) })
          .locator('td')
          .allTextContents(),
        now
      )
      t.strictSame([await phone.queue(), await laptop.queue()], [[], []])
    })
  }

  await t.test('the stale change of versioned is a dead letter of the phone; discarded, it goes', async t => {
    await eventually(t, () => phone.letters(), ['CONFLICT'])
    t.strictSame(await laptop.letters(), [])
    await phone.switchOff(true)
    await phone.add('Water the plants')
    await phone.isMarked('Water the plants', 'waiting')
    await picture(page)
    await phone.button('Delete Water the plants').click()
    await phone.switchOff(false)
    await phone.letter('CONFLICT').getByRole('button', { name: 'Discard' }).click()
    await eventually(t, () => phone.letters(), [])
  })

  for (const [label, code, table] of [
    ['Invalid date', 'INVALID_DATA', 'todos'],
    ['Unknown table', 'SCHEMA_MISMATCH', 'drafts'],
    ['Another author', 'UNAUTHORIZED', 'todos'],
    ['Second inbox', 'DUPLICATE_KEY', 'lists'],
    ['Empty todo', 'NOTHING_TO_DO', 'todos']
  ] as const) {
    await t.test(`${label}: ${code} beside the button, a dead letter; the queue goes on, the row goes`, async t => {
      const before = await documents(url)
      const line = page.locator('#rejections li', { hasText: code })
      await line.getByRole('button', { name: label }).click()
      await line.locator('.notice', { hasText: 'Refused' }).waitFor()
      await phone.letter(code).filter({ hasText: `PUT ${table}` }).waitFor()
      await eventually(t, () => phone.queue(), [])
      t.strictSame(await documents(url), before)
      await eventually(t, async () => (await phone.todos()).sort(), ['Written in a tunnel', 'Written offline'])
      // It scrolls there, which takes some frames.
      await eventually(t, () => line.locator('.notice').evaluate(isInView), true)
    })
  }

  await t.test('a server that fails for now holds the queue, and loses nothing', async t => {
    const fault = page.getByRole('switch', { name: 'Break the server' })
    await fault.click()
    await page.locator('#fault[aria-checked=true]').waitFor()
    await phone.add('Worth waiting for')
    await phone.node.locator('.error', { hasText: 'could not store a transaction now' }).waitFor()
    await eventually(t, () => phone.queue(), ['PUT'])
    t.match(await phone.node.locator('summary', { hasText: 'Answers of the server' }).textContent(), /: [1-9]/)

    await fault.click()
    await laptop.isMarked('Worth waiting for', 'stored')
    await eventually(t, () => phone.queue(), [])
  })

  await t.test('a refused todo is corrected and sent again: it is stored, and its letter is settled', async t => {
    await phone.letter('NOTHING_TO_DO').getByLabel('description, NOTHING_TO_DO').fill('Feed the cat')
    await page.keyboard.press('Enter')
    await phone.isMarked('Feed the cat', 'stored')
    await laptop.isMarked('Feed the cat', 'stored')
    await phone.letter('NOTHING_TO_DO').waitFor({ state: 'detached' })
    const said = page.locator('#rejections li', { hasText: 'NOTHING_TO_DO' }).locator('.notice')
    await said.waitFor({ state: 'hidden' })
    t.match((await documents(url)).filter(({ description }) => description === 'Feed the cat'), { length: 1 })
  })

  await t.test('a correction that is refused again stands in the place of the first', async t => {
    const before = (await phone.letters()).sort()
    const name = phone.letter('DUPLICATE_KEY').getByLabel('name, DUPLICATE_KEY')
    t.equal(await name.inputValue(), 'Inbox')
    await phone.letter('DUPLICATE_KEY').getByRole('button', { name: 'Send again' }).click()
    await eventually(t, () => phone.queue(), [])
    await eventually(t, async () => (await phone.letters()).sort(), before)
    await eventually(t, async () => (await letters(url)).sort(), before)
  })

  await t.test('discarded offline, a change is given up once the device is back', async t => {
    await phone.switchOff(true)
    await phone.letter('SCHEMA_MISMATCH').getByRole('button', { name: 'Discard' }).focus()
    await page.keyboard.press('Enter')
    await phone.letter('SCHEMA_MISMATCH').waitFor({ state: 'detached' })
    t.match(await focused(page), /UNAUTHORIZED/, 'the focus moves to the next one')
    t.ok((await letters(url)).includes('SCHEMA_MISMATCH'))
    await phone.switchOff(false)
    await eventually(t, async () => (await letters(url)).includes('SCHEMA_MISMATCH'), false)
  })

  await t.test('everybody can use it', async t => {
    await phone.switchOff(true)
    await phone.add('Sharpen the pencils')
    await phone.isMarked('Sharpen the pencils', 'waiting')
    await phone.button('Compare Written offline').click()
    await phone.button('Rename Sharpen the pencils').click()
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
    await page.evaluate(axe)
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [1280, 390, 320]) {
        await page.emulateMedia({ colorScheme })
        await page.setViewportSize({ width, height: 900 })
        const { violations } = (await page.evaluate('axe.run()')) as {
          violations: Array<{ id: string, nodes: Array<{ html: string }> }>
        }
        t.strictSame(
          violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
          [],
          `no barrier that axe knows, ${colorScheme}, ${width} pixels wide`
        )
        t.equal(await page.evaluate('document.documentElement.scrollWidth'), width, 'it does not scroll sideways')
        for (const name of ['Save', 'Cancel']) {
          t.ok(await phone.button(name).evaluate(isWithin), `${name} is on the screen`)
        }
      }
    }
  })

  t.strictSame(errors, [], 'no error in the page')
})

function device (page: Page, name: string) {
  const node = page.getByRole('region', { name, exact: true })
  const todo = (description: string): Locator =>
    node.locator('.todos li', { has: page.getByLabel(description, { exact: true }) })
  const letters = node.getByRole('region', { name: `Refused, ${name}` }).locator('.records > li')
  return {
    node,
    todo,
    todos: () => node.locator('.todos .line label').allTextContents(),
    button: (label: string) => node.getByRole('button', { name: label, exact: true }),
    lists: () => node.getByLabel('List', { exact: true }).locator('option').allTextContents(),
    async add (description: string) {
      await node.getByRole('textbox', { name: 'New todo' }).fill(description)
      await page.keyboard.press('Enter')
    },
    /** Waits until the list says where the todo is. */
    isMarked: (description: string, text: string) => todo(description).locator('.tag', { hasText: text }).waitFor(),
    /** Kinds of the operations in the upload queue, sorted. */
    queue: async () =>
      (await node.locator('details', { hasText: 'Upload queue' }).locator('.tag').allTextContents()).sort(),
    letters: async () => (await letters.locator('.tag').allTextContents()),
    letter: (code: string) => letters.filter({ hasText: code }),
    /** A column of the row that is compared: what SQLite and what MongoDB has. */
    cells: (column: string) =>
      node
        .locator('.sides tr', { has: page.getByRole('rowheader', { name: column, exact: true }) })
        .locator('td')
        .allTextContents(),
    status: (text: string) => node.locator('.status', { hasText: text }).waitFor(),
    /** Opening SQLite takes a while on a busy machine. */
    isOnline: () => node.locator('.status[data-state=online]').waitFor(),
    async switchOff (checked: boolean) {
      const control = node.getByRole('switch')
      await control.click()
      await node.locator(`[role=switch][aria-checked=${checked}]`).waitFor()
    }
  }
}

const focused = (page: Page): Promise<unknown> => page.evaluate('document.activeElement.ariaLabel')

/** In the browser: whether the element is in view, from top to bottom. */
function isInView (node: { getBoundingClientRect (): { top: number, bottom: number } }): boolean {
  const { top, bottom } = node.getBoundingClientRect()
  return top >= 0 && bottom <= (globalThis as unknown as { innerHeight: number }).innerHeight
}

/** In the browser: whether the element is between the left and the right side of the screen. */
function isWithin (node: { getBoundingClientRect (): { left: number, right: number } }): boolean {
  const { left, right } = node.getBoundingClientRect()
  return left >= 0 && right <= (globalThis as unknown as { innerWidth: number }).innerWidth
}

/** The README's picture, for whoever sets SCREENSHOT=docs/images/page.png. */
async function picture (page: Page): Promise<void> {
  const path = process.env['SCREENSHOT']
  if (!path) return
  const before = page.viewportSize()!
  await page.setViewportSize({ width: 1200, height: 1560 })
  await page.screenshot({ path })
  await page.setViewportSize(before)
}

/** Codes of the dead letters that the server has. */
async function letters (url: string): Promise<string[]> {
  interface State { letters: Array<{ failed_operation: { error_code: string } }> }
  const { letters } = await (await fetch(`${url}/page/state`)).json() as State
  return letters.map(({ failed_operation: { error_code: code } }) => code)
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
