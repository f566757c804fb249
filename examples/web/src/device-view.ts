/** How a device looks: its lists and todos, its upload queue, the server's answers, what was refused. */
import type { Rejection, Rejections } from 'fastify-powersync-mongo/client'
import type { Answer, Device, QueuedOperation, Row } from './device.js'
import { button, element, keyedList, setText, table, type View } from './dom.js'
import { describe, type ServerDocument, type ServerState } from './server.js'

/** The list that is there from the beginning. */
export const inbox = { id: 'inbox', name: 'Inbox' }

interface Todo {
  id: string
  description: string
  completed: number
  row: Row
  document: ServerDocument | undefined
  isWaiting: boolean
}

export function deviceView (device: Device) {
  const { database, rejections, name, user } = device
  const id = name.toLowerCase()
  let list = inbox.id

  const status = element('span', { className: 'status', role: 'status' }, 'Opening SQLite…')
  const offline = button('Offline', async () => {
    await device.setOffline(!device.isOffline)
    showConnection()
  }, { role: 'switch', ariaLabel: `${name} offline` })
  const notice = element('p', { className: 'notice', role: 'status', hidden: true })

  const lists = element('select', { id: `${id}-list`, onchange: () => { list = lists.value; show(last) } })
  const description = element('input', { id: `${id}-todo`, required: true, maxLength: 2000, autocomplete: 'off' })
  const listName = element('input', { id: `${id}-new-list`, required: true, maxLength: 200, autocomplete: 'off' })
  const newList = form(listName, 'Add', 'New list', async text => {
    list = await device.insert('lists', { name: text, owner_id: user, created_at: new Date().toISOString() })
    more.open = false
    description.focus()
  })
  const more = element('details', { className: 'more' }, element('summary', {}, 'New list'), newList)
  const addTodo = form(description, 'Add', 'New todo', text => device.addTodo({ description: text, list_id: list }))

  const todos = element('ul', { className: 'todos', ariaLabel: `Todos on ${name}` })
  const queue = element('ol', { className: 'records' })
  const queueTitle = element('summary', {}, 'Upload queue')
  const uploadError = element('p', { className: 'error', hidden: true })
  const answers = element('ol', { className: 'records' })
  const answersTitle = element('summary', {}, 'Answers of the server')
  const records = element('ol', { className: 'records' })
  const refused = element('section', { className: 'refused', hidden: true, ariaLabel: `Refused, ${name}` },
    element('h3', {}, 'Refused'), records)

  const node = element('section', { className: 'device', ariaLabel: name },
    element('header', {}, element('h2', {}, name, ' ', element('small', {}, user)), status, offline),
    notice,
    element('div', { className: 'list' }, element('label', { htmlFor: lists.id }, 'List'), lists, more),
    addTodo,
    todos, element('p', { className: 'empty', hidden: true }, 'Nothing to do. Add something, online or offline.'),
    refused,
    element(
      'details',
      { open: true },
      queueTitle,
      uploadError,
      queue,
      element('p', { className: 'empty' }, 'Empty: the server has everything.')
    ),
    element('details', {}, answersTitle, answers, element('p', { className: 'empty' }, 'None yet.')))

  const showTodos = keyedList<Todo>(todos, ({ id }) => id, todo => todoView(todo.id, device), description)
  const showQueue = keyedList(queue, ({ op_id: id }) => String(id), queuedView)
  const showAnswers = keyedList(answers, ({ id }) => String(id), answerView)
  const showRejections = keyedList<Rejection>(
    records,
    ({ id }) => id,
    rejection => rejectionView(rejection, rejections),
    description
  )
  rejections.watch(all => {
    showRejections(all)
    refused.hidden = all.length === 0
  })

  let last: ServerState | undefined
  /** Shows what SQLite has, and what the server had when it was asked last. */
  async function show (server: ServerState | undefined): Promise<void> {
    last = server
    const queued = await device.queue()
    const waiting = new Set(queued.map(({ id }) => id))
    const stored = new Map(server?.documents['todos']?.map(document => [String(document['_id']), document]))
    const known = await database.getAll<{ id: string, name: string }>(
      'SELECT id, name FROM lists ORDER BY created_at, id'
    )
    const choices = known.some(({ id }) => id === inbox.id) ? known : [inbox, ...known]
    if (!choices.some(({ id }) => id === list)) list = inbox.id
    const options = choices.map(({ id, name }) => element('option', { value: id, selected: id === list }, name))
    if (lists.innerHTML !== element('select', {}, ...options).innerHTML) lists.replaceChildren(...options)
    lists.value = list
    const rows = await database.getAll<Row>('SELECT * FROM todos WHERE list_id = ? ORDER BY created_at DESC, id', [
      list
    ])

    showTodos(rows.map(row => ({
      id: String(row['id']),
      description: String(row['description'] ?? ''),
      completed: Number(row['completed']),
      row,
      document: stored.get(String(row['id'])),
      isWaiting: waiting.has(String(row['id'])) || !stored.has(String(row['id']))
    })))
    showQueue(queued)
    showAnswers(device.answers)
    setText(queueTitle, `Upload queue: ${queued.length}`)
    setText(answersTitle, `Answers of the server: ${device.answers.length}`)
    showConnection()
  }

  function showConnection (): void {
    const { connected, connecting, uploadError: error } = database.currentStatus
    const [state, text] = device.isOffline
      ? ['offline', 'Switched off']
      : !navigator.onLine
          ? ['offline', 'No network']
          : connected
            ? ['online', 'Online']
            : connecting ? ['connecting', 'Connecting…'] : ['offline', 'No server']
    status.dataset['state'] = state
    setText(status, text)
    offline.ariaChecked = String(device.isOffline)
    setText(uploadError, error && !device.isOffline ? error.message : '')
  }

  return { node, show, showConnection }
}

function form (
  input: HTMLInputElement,
  submit: string,
  label: string,
  save: (text: string) => Promise<unknown>
): HTMLFormElement {
  const node = element('form', { className: 'add' }, element('label', { htmlFor: input.id }, label), input,
    element('button', {
      type: 'submit',
      textContent: submit,
      className: 'primary',
      ariaLabel: `${submit}: ${label.toLowerCase()}`
    }))
  node.onsubmit = event => {
    event.preventDefault()
    const text = input.value.trim()
    input.value = ''
    if (text) save(text)
  }
  return node
}

function todoView (id: string, { database, user }: Device): View<Todo> {
  const box = element('input', {
    type: 'checkbox',
    id: `done-${user}-${id}`,
    onchange: () => database.execute('UPDATE todos SET completed = ?, completed_at = ?, completed_by = ? WHERE id = ?',
      box.checked ? [1, new Date().toISOString(), user, id] : [0, null, null, id])
  })
  const label = element('label', { htmlFor: box.id })
  const place = element('span', { className: 'tag' })
  const rename = button('Rename', () => edit(true))
  const compare = button('Compare', () => {
    sides.hidden = !sides.hidden
    compare.ariaExpanded = String(!sides.hidden)
  }, { ariaExpanded: 'false' })
  const remove = button('Delete', () => database.execute('DELETE FROM todos WHERE id = ?', [id]), {
    className: 'danger'
  })
  const name = element('input', { required: true, maxLength: 2000, ariaLabel: 'New name' })
  const editor = element(
    'form',
    { className: 'rename', hidden: true },
    name,
    element('button', { type: 'submit', textContent: 'Save', className: 'primary' }),
    button('Cancel', () => edit(false))
  )
  const line = element('div', { className: 'line' }, box, label, place)
  const actions = element('div', { className: 'actions' }, rename, compare, remove)
  const sides = element('div', { className: 'sides', hidden: true })

  editor.onsubmit = event => {
    event.preventDefault()
    database.execute('UPDATE todos SET description = ? WHERE id = ?', [name.value.trim(), id])
    edit(false)
  }
  editor.onkeydown = event => { if (event.key === 'Escape') edit(false) }

  function edit (isEdited: boolean): void {
    editor.hidden = !isEdited
    line.hidden = actions.hidden = isEdited
    if (isEdited) {
      name.value = label.textContent ?? ''
      name.select()
    } else rename.focus()
  }

  return {
    node: element('li', {}, line, editor, actions, sides),
    update ({ description, completed, row, document, isWaiting }) {
      const text = description.trim() || '(no text)'
      setText(label, text)
      box.checked = completed === 1
      line.classList.toggle('done', completed === 1)
      setText(place, isWaiting ? 'waiting' : 'stored')
      place.dataset['kind'] = isWaiting ? 'waiting' : 'success'
      for (const [control, verb] of [
        [rename, 'Rename'],
        [compare, 'Compare'],
        [remove, 'Delete']
      ] as const) { control.ariaLabel = `${verb} ${text}` }
      sides.replaceChildren(table(['Column', 'SQLite', 'MongoDB'], columnsOf(row, document)))
    }
  }
}

/** A row and its document, column by column, with the types that each side stores. */
function columnsOf (row: Row, document: ServerDocument | undefined): Array<Array<Node | string>> {
  return Object.entries(row).map(([column, value]) => {
    const local = value === null ? '' : typeof value === 'string' ? 'text' : 'integer'
    const remote = describe(document?.[column === 'id' ? '_id' : column])
    return [column, typed(String(value), local), typed(remote.text, remote.type)]
  })
}

const typed = (text: string, type: string) =>
  element('span', {}, element('code', {}, text), ' ', element('span', { className: 'quiet' }, type))

const queuedView = ({ op_id: id, tx_id: transaction, op, table, id: row, data }: QueuedOperation): View<unknown> => ({
  node: element('li', {},
    element(
      'div',
      { className: 'head' },
      tag(op),
      element('strong', {}, table),
      quiet(short(row)),
      quiet(`op ${id}, transaction ${transaction}`)
    ),
    ...data ? [element('code', { className: 'data' }, JSON.stringify(data))] : [])
})

const answerView = ({ at, httpStatus, status, code, message, operations }: Answer): View<unknown> => ({
  node: element('li', {},
    element(
      'div',
      { className: 'head' },
      tag(code ?? status, status),
      ...operations.map(({ op, type }) => `${op} ${type}`).slice(0, 3),
      quiet(`${httpStatus ? `HTTP ${httpStatus}` : 'no answer'}, ${time(at)}`)
    ),
    ...message ? [element('p', {}, message)] : [])
})

/** The column that is worth another try where the server names none, by table. */
const columnToCorrect: Record<string, string> = { lists: 'name', todos: 'description' }

function rejectionView (
  { id, createdAt, code, message, path, operations, failed }: Rejection,
  rejections: Rejections
): View<Rejection> {
  const named = `${code}, ${time(createdAt)}`
  const column = failed?.op === 'DELETE' ? undefined : path ?? columnToCorrect[failed?.table ?? '']
  return {
    node: element('li', {},
      element('div', { className: 'head' }, tag(code, 'fatal_error'),
        ...operations?.map(({ op, table }) => `${op} ${table}`).slice(0, 3) ?? []),
      element('p', {}, message),
      ...(operations?.flatMap(({ data }) =>
        data ? [element('code', { className: 'data' }, JSON.stringify(data))] : []
      ) ?? []),
      ...column ? [correctionForm(column)] : [],
      element('div', { className: 'actions' },
        button('Discard', () => rejections.discard(id), { ariaLabel: `Discard ${named}`, className: 'danger' })))
  }

  function correctionForm (column: string): HTMLElement {
    const value = element('input', { ariaLabel: `${column}, ${named}`, value: String(failed?.data?.[column] ?? '') })
    const send = element('button', {
      type: 'submit',
      textContent: 'Send again',
      className: 'primary',
      ariaLabel: `Send again ${named}`
    })
    const form = element('form', { className: 'rename' }, value, send)
    form.onsubmit = event => {
      event.preventDefault()
      rejections.resend(id, { [column]: value.value })
    }
    return form
  }
}

function tag (text: string, kind = 'operation'): HTMLElement {
  const node = element('span', { className: 'tag' }, text)
  node.dataset['kind'] = kind
  return node
}

const quiet = (text: string) => element('span', { className: 'quiet' }, text)
const short = (id: string) => id.length > 12 ? `${id.slice(0, 8)}…` : id
const time = (at: Date) => at.toLocaleTimeString('en-GB')
