/** The page: two devices, the conflicts that they can have, and what the server refuses. */
import { conflictList } from './conflicts.js'
import { Device } from './device.js'
import { deviceView, inbox } from './device-view.js'
import { button, byId, element, setText } from './dom.js'
import { readServer, setFault, type ServerState } from './server.js'

/** What the server showed last. */
let server: ServerState | undefined

const devices = [new Device('Phone', 'ann', look), new Device('Laptop', 'ben', look)] as const
const [phone] = devices
const views = devices.map(device => deviceView(device))
byId('devices').replaceChildren(...views.map(({ node }) => node))
byId('conflicts').append(conflictList(devices, show))

/** One write for each way in which the server refuses a transaction. */
const rejections = [
  {
    code: 'INVALID_DATA',
    label: 'Invalid date',
    about: 'SQLite keeps any text in created_at; the schema of the server wants a date.',
    write: () =>
      phone.addTodo({ list_id: inbox.id, description: 'Learn to tell the time', created_at: 'tomorrow, perhaps' })
  },
  {
    code: 'SCHEMA_MISMATCH',
    label: 'Unknown table',
    about: 'The app has a table, drafts, that is not among the collections of the server.',
    write: () => phone.insert('drafts', { text: 'Nobody expects this table' })
  },
  {
    code: 'UNAUTHORIZED',
    label: 'Another author',
    about: 'The hook authorize lets nobody write a todo in the name of somebody else.',
    write: () => phone.addTodo({ list_id: inbox.id, description: 'Forge a signature', created_by: 'somebody else' })
  },
  {
    code: 'DUPLICATE_KEY',
    label: 'Second inbox',
    about: 'A unique index in MongoDB: an owner has one list of each name.',
    write: () => phone.insert('lists', { name: inbox.name, owner_id: phone.user, created_at: new Date().toISOString() })
  },
  {
    code: 'NOTHING_TO_DO',
    label: 'Empty todo',
    about: 'A rule of the app: a hook throws PowerSyncFatalError with a code of its own.',
    write: () => phone.addTodo({ list_id: inbox.id, description: '   ' })
  }
].map(({ code, label, about, write }) => {
  const outcome = element('p', { className: 'notice', role: 'status', hidden: true })
  const node = element(
    'li',
    {},
    button(label, write),
    element('p', {}, element('code', {}, code), ` ${about}`),
    outcome
  )
  return { code, node, outcome }
})
byId('rejections').append(...rejections.map(({ node }) => node))

const fault = byId<HTMLButtonElement>('fault')
fault.onclick = () => onServer(() => setFault(!server?.isBroken))

await start()

async function start (): Promise<void> {
  for (const [position, device] of devices.entries()) {
    await device.database.init()
    device.database.onChange(
      { onChange: show },
      { tables: ['lists', 'todos', 'ps_crud'], throttleMs: 30, triggerImmediate: true }
    )
    device.database.registerListener({ statusChanged: views[position]!.showConnection })
    device.connectOrNot()
  }
  await prepareInbox()
  for (const event of ['online', 'offline', 'storage'] as const) addEventListener(event, show)
  await look()
  setInterval(() => { if (!document.hidden) look() }, 3000)
  await navigator.serviceWorker?.register('/service-worker.js')
}

/** Once per browser; the laptop gets it by sync. */
async function prepareInbox (): Promise<void> {
  const found = await phone.database.getOptional('SELECT id FROM lists WHERE id = ?', [inbox.id])
  if (!found) await phone.insert('lists', { ...inbox, owner_id: phone.user, created_at: new Date().toISOString() })
}

/** Asks the server what it holds; while it cannot be reached, what it held when it was asked last stays. */
async function look (): Promise<void> {
  try {
    server = await readServer()
  } catch {
    return // The devices' status says it.
  }
  await show()
}

async function show (): Promise<void> {
  for (const view of views) await view.show(server)
  for (const { code, node, outcome } of rejections) {
    const letter = server?.letters.filter(({ failed_operation: failed }) => failed.error_code === code).at(-1)
    const isNew = outcome.hidden
    setText(
      outcome,
      letter
        ? `Refused: ${letter.failed_operation.message}. It is a dead letter of ${phone.name} now, and the queue went on.`
        : ''
    )
    if (letter && isNew && node.contains(document.activeElement)) outcome.scrollIntoView({ block: 'nearest' })
  }
  fault.ariaChecked = String(server?.isBroken ?? false)
  fault.disabled = !server
  if (!server) return
  setText(
    byId('service'),
    server.hasService
      ? 'Both sync through the PowerSync Service at POWERSYNC_URL.'
      : 'There is no PowerSync Service here: a stand-in in this page\'s server passes on what MongoDB has. ' +
        'To use a service, set POWERSYNC_URL.'
  )
}

/** Something that needs the server itself, and not the queue. */
async function onServer (work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
    setText(byId('unreachable'), '')
  } catch {
    setText(byId('unreachable'), 'The server cannot be reached, and this one needs it.')
  }
  await look()
}
