/**
 * One conflict for each helper: both devices change one row offline and come back; then it says which change counts.
 */
import type { Device, Row } from './device.js'
import { button, element, setText, table } from './dom.js'
import { describe, readServer } from './server.js'

interface Change { says: string, sql: string, values?: () => Array<string | number> }

interface Conflict {
  helper: string
  table: string
  row: () => Row
  /** The columns to look at. */
  columns: string[]
  first: Change
  second: Change
  why: string
}

const now = () => new Date().toISOString()

const conflicts: Conflict[] = [
  {
    helper: 'lastWriteWins',
    table: 'notes',
    row: () => ({ text: 'Party on Friday', modified_at: now() }),
    columns: ['text'],
    first: { says: 'Party on Saturday', sql: 'text = \'Party on Saturday\', modified_at = ?', values: () => [now()] },
    second: { says: 'Party on Sunday', sql: 'text = \'Party on Sunday\', modified_at = ?', values: () => [now()] },
    why: 'The later change counts, whenever it arrives.'
  },
  {
    helper: 'fieldLevel',
    table: 'contacts',
    row: () => ({ name: 'Bea', phone: '555-0100' }),
    columns: ['name', 'phone'],
    first: {
      says: 'Bea Miller, 555-0111',
      sql: 'name = \'Bea Miller\', phone = \'555-0111\', _metadata = ?',
      values: () => [JSON.stringify({ name_modified_at: now(), phone_modified_at: now() })]
    },
    second: {
      says: '555-0122',
      sql: 'phone = \'555-0122\', _metadata = ?',
      values: () => [JSON.stringify({ phone_modified_at: now() })]
    },
    why: 'The later change of each field counts, whenever it arrives.'
  },
  {
    helper: 'additive',
    table: 'products',
    row: () => ({ name: 'Apples', stock: 10 }),
    columns: ['stock'],
    first: { says: '2 apples taken', sql: 'stock = stock - 2' },
    second: { says: '3 apples taken', sql: 'stock = stock - 3' },
    why: 'Both changes count: the server adds up the differences.'
  },
  {
    helper: 'versioned',
    table: 'documents',
    row: () => ({ text: 'Draft', version: 1 }),
    columns: ['text'],
    first: { says: 'Ann\'s draft', sql: 'text = \'Ann\'\'s draft\', version = version + 1' },
    second: { says: 'Ben\'s draft', sql: 'text = \'Ben\'\'s draft\', version = version + 1' },
    why: 'A change counts only if it was made to the version that the server has. The other is refused with CONFLICT ' +
         'and kept as a dead letter.'
  },
  {
    helper: 'keepServer',
    table: 'invoices',
    row: () => ({ total: 100 }),
    columns: ['total'],
    first: { says: '120', sql: 'total = 120' },
    second: { says: '90', sql: 'total = 90' },
    why: 'The server keeps what it has: devices create such rows and never change them.'
  }
]

/**
 * The first device changes first and comes back last, so that the order of arrival is not that of the changes.
 * @param show called when something has changed
 */
export function conflictList ([first, second]: readonly [Device, Device], show: () => void): HTMLElement {
  const buttons: HTMLButtonElement[] = []
  const items = conflicts.map(conflict => {
    const steps = element('ol', { className: 'steps' })
    const verdict = element('p', { className: 'verdict', role: 'status' })
    const outcome = element('div')
    const play = button('Play', async () => {
      for (const each of buttons) each.ariaDisabled = 'true'
      steps.replaceChildren()
      outcome.replaceChildren()
      setText(verdict, '')
      try {
        const { rows, text } = await run(conflict, step => steps.append(element('li', {}, step)))
        outcome.replaceChildren(table(['Row', ...conflict.columns], rows))
        setText(verdict, `${text} ${conflict.why}`)
      } catch (error) {
        setText(verdict, (error as Error).message)
      }
      if (item.contains(document.activeElement)) verdict.scrollIntoView({ block: 'nearest' })
      for (const each of buttons) each.ariaDisabled = 'false'
      show()
    }, { ariaLabel: `Play ${conflict.helper}` })
    const { onclick } = play
    play.onclick = event => { if (play.ariaDisabled !== 'true') onclick?.call(play, event) }
    buttons.push(play)
    const item = element(
      'li',
      { id: conflict.helper },
      element(
        'div',
        { className: 'head' },
        play,
        element('h3', {}, conflict.helper),
        element('span', { className: 'quiet' }, conflict.table)
      ),
      steps,
      outcome,
      verdict
    )
    return item
  })
  return element('ul', { className: 'conflicts' }, ...items)

  async function run (conflict: Conflict, say: (step: string) => void) {
    const read = ({ database }: Device, id: string) =>
      database.getOptional<Row>(`SELECT * FROM ${conflict.table} WHERE id = ?`, [id])
    const change = async ({ database }: Device, id: string, { sql, values = () => [] }: Change) => {
      await database.execute(`UPDATE ${conflict.table} SET ${sql} WHERE id = ?`, [...values(), id])
      // Clocks of browsers may stand still for some milliseconds.
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    const switchTo = async (device: Device, offline: boolean) => {
      await device.setOffline(offline)
      show()
    }
    const uploaded = async (device: Device) => (await device.queue()).length === 0

    await Promise.all([switchTo(first, false), switchTo(second, false)])
    const id = await first.insert(conflict.table, conflict.row())
    await until(async () => await uploaded(first) && await uploaded(second) && await read(second, id) !== null)
    const before = await read(first, id)
    say('Both devices have the row.')
    await Promise.all([switchTo(first, true), switchTo(second, true)])
    say('Both are offline.')
    await change(first, id, conflict.first)
    say(`${first.name}: ${conflict.first.says}`)
    await change(second, id, conflict.second)
    say(`${second.name}: ${conflict.second.says}`)
    const [one, two] = [await read(first, id), await read(second, id)]
    await switchTo(second, false)
    await until(() => uploaded(second))
    say(`${second.name} is back.`)
    await switchTo(first, false)
    await until(() => uploaded(first))
    say(`${first.name} is back.`)
    const stored = (await readServer()).documents[conflict.table]?.find(document => document['_id'] === id)
    const valuesOf = (row: Row | null) => conflict.columns.map(column => String(row?.[column] ?? '–'))
    const there = conflict.columns.map(column => describe(stored?.[column]).text)
    await until(async () =>
      [await read(first, id), await read(second, id)].every(row => String(valuesOf(row)) === String(there))
    )
    say('Both devices show what MongoDB has.')
    const winner = conflict.columns.map(
      (column, position) =>
        [
          column,
          winnerOf(
            there[position]!,
            [before, one, two].map(row => String(row?.[column]))
          )
        ] as const
    )
    return {
      rows: [
        ['Before', ...valuesOf(before)],
        [first.name, ...valuesOf(one)],
        [second.name, ...valuesOf(two)],
        ['Now', ...there]
      ],
      text: winner.length === 1 || new Set(winner.map(([, name]) => name)).size === 1
        ? `${winner[0]![1]} won.`
        : winner.map(([column, name]) => `${column}: ${name} won.`).join(' ')
    }
  }

  function winnerOf (value: string, [before, one, two]: string[]): string {
    if (value === one && value === two) return 'Both'
    if (value === one) return first.name
    if (value === two) return second.name
    return value === before ? 'The server' : 'Both'
  }
}

/** Asks again until it is so, for half a minute. */
async function until (isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 30_000
  while (!await isSo()) {
    if (performance.now() > end) {
      throw new Error('Not finished: the devices cannot reach the server, or it does not take their changes.')
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
