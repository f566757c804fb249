/**
 * The page: reads both sides, shows them. All that changes data is in database.ts, as in any PowerSync app; that it
 * gets to the server is the SDK's work.
 */
import { connectOrNot, isOffline, onAnswer, onRejected, setOffline } from './connection.js'
import { addTodo, database, prepareList, readLocal } from './database.js'
import { byId, element, setText } from './dom.js'
import { answerList, letterList, queueList } from './records.js'
import { rejections } from './rejections.js'
import { discardLetter, readServer, retryLetter, setFault, type ServerState } from './server.js'
import { sides } from './sides.js'
import { todoList, type Place } from './todos.js'

let chosen: string | undefined
/** What the server showed last. */
let server: ServerState | undefined

const showTodos = todoList(id => {
  chosen = id
  show()
})
const showQueue = queueList()
const showAnswers = answerList()
const showLetters = letterList({
  retry: id => onServer(async () => {
    const { result } = await retryLetter(id)
    notify(result?.status === 'success' ? 'The dead letter ran: its transaction is stored.' : `Refused again: ${result?.failed_operation?.message ?? 'it is gone'}`)
  }),
  discard: id => onServer(() => discardLetter(id))
})

const offlineSwitch = byId<HTMLButtonElement>('offline')
const faultSwitch = byId<HTMLButtonElement>('fault')

offlineSwitch.onclick = () => {
  setOffline(!isOffline())
  showConnection()
}
faultSwitch.onclick = () => onServer(() => setFault(!server?.isBroken))

const form = byId<HTMLFormElement>('add')
form.onsubmit = event => {
  event.preventDefault()
  const description = byId<HTMLInputElement>('description')
  const text = description.value.trim()
  if (!text) return
  description.value = ''
  addTodo({ description: text }).then(id => { chosen = id })
}

byId('provoke').append(...rejections.map(({ code, label, about, write }) =>
  element('li', {}, element('button', { type: 'button', textContent: label, onclick: () => write() }), element('p', {}, element('code', {}, code), ` ${about}`))))

onRejected((code, message) => notify(`Refused, ${code}: ${message}`))
onAnswer(() => look())

await start()

async function start (): Promise<void> {
  await database.init()
  await prepareList()
  database.onChange({ onChange: () => show() }, { tables: ['todos', 'ps_crud', 'answers'], throttleMs: 30, triggerImmediate: true })
  database.registerListener({ statusChanged: showConnection })
  for (const event of ['online', 'offline', 'storage'] as const) addEventListener(event, showConnection)
  offlineSwitch.disabled = false
  showConnection()
  connectOrNot()
  await look()
  setInterval(() => { if (!document.hidden) look() }, 3000)
  await navigator.serviceWorker?.register('/service-worker.js')
}

/** Asks the server what it holds; offline, what it held when it was asked last stays. */
async function look (): Promise<void> {
  if (isOffline() || !navigator.onLine) return
  try {
    server = await readServer()
  } catch {
    return // The connection's status says it.
  }
  await show()
}

async function show (): Promise<void> {
  const { todos, queue, answers, chosen: row } = await readLocal(chosen)
  const stored = new Map(server?.todos.map(document => [String(document['_id']), document]))
  const waiting = new Set(queue.map(({ id }) => id))
  const refused = new Set(server?.letters.flatMap(({ operations }) => operations.map(({ id }) => id)))
  const placeOf = (id: string): Place => {
    if (waiting.has(id)) return 'waiting'
    if (stored.has(id)) return 'stored'
    return refused.has(id) ? 'refused' : 'here only'
  }

  showTodos(todos.map(todo => ({ ...todo, place: placeOf(todo.id), isChosen: todo.id === row?.['id'] })))
  showQueue(queue)
  showAnswers(answers)
  showLetters(server?.letters ?? [])
  byId('sides').replaceChildren(...row ? [sides(row, stored.get(String(row['id'])))] : [])
  byId('sides-about').hidden = row !== null
  setText(byId('count-local'), String(todos.length))
  setText(byId('count-queue'), String(queue.length))
  setText(byId('count-server'), server ? String(server.todos.length) : '–')
  setText(byId('count-letters'), server ? String(server.letters.length) : '–')
  faultSwitch.ariaChecked = String(server?.isBroken ?? false)
  faultSwitch.disabled = !server
  setText(byId('service'), !server
    ? ''
    : server.hasService
      ? 'Connected to the PowerSync Service at POWERSYNC_URL: what other devices write arrives here as well.'
      : 'There is no PowerSync Service here, only a stand-in: uploads work in full, but nothing comes down. With one (set POWERSYNC_URL), what the server refused would vanish here too.')
  showConnection()
}

function showConnection (): void {
  const { connected, connecting, uploadError } = database.currentStatus
  const [state, text] = isOffline()
    ? ['offline', 'Offline: switched off']
    : !navigator.onLine
        ? ['offline', 'Offline: no network']
        : connected
          ? ['online', 'Online']
          : connecting ? ['connecting', 'Connecting…'] : ['offline', 'The server cannot be reached']
  const status = byId('status')
  status.dataset['state'] = state
  setText(status, text)
  offlineSwitch.ariaChecked = String(isOffline())
  setText(byId('upload-error'), uploadError && !isOffline() ? uploadError.message : '')
}

/** Something that needs the server itself, and not the queue. */
function onServer (work: () => Promise<unknown>): void {
  work().then(look, () => notify('The server cannot be reached: this one needs it.'))
}

function notify (text: string): void {
  setText(byId('notice'), text)
}
