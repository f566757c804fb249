/** The list of todos: tick, rename, delete, and choose one to compare. */
import { deleteTodo, renameTodo, tickTodo, type Todo } from './database.js'
import { byId, element, keyedList, type View } from './dom.js'

export type Place = 'waiting' | 'stored' | 'refused' | 'here only'

export interface ListedTodo extends Todo {
  place: Place
  isChosen: boolean
}

export function todoList (choose: (id: string) => void): (todos: ListedTodo[]) => void {
  return keyedList(byId('todos'), ({ id }) => id, todo => todoView(todo.id, choose))
}

function todoView (id: string, choose: (id: string) => void): View<ListedTodo> {
  const box = element('input', { type: 'checkbox', id: `done-${id}`, onchange: () => tickTodo(id, box.checked) })
  const label = element('label', { htmlFor: box.id })
  const place = element('span', { className: 'place' })
  const rename = element('button', { type: 'button', textContent: 'Rename', onclick: () => edit(true) })
  const compare = element('button', { type: 'button', textContent: 'Compare', onclick: () => choose(id) })
  const remove = element('button', { type: 'button', textContent: 'Delete', className: 'danger', onclick: () => deleteTodo(id) })
  const name = element('input', { required: true, maxLength: 2000, ariaLabel: 'New name' })
  const form = element('form', { className: 'rename', hidden: true }, name,
    element('button', { type: 'submit', textContent: 'Save', className: 'primary' }),
    element('button', { type: 'button', textContent: 'Cancel', onclick: () => edit(false) }))
  const line = element('div', { className: 'line' }, box, label, place)
  const actions = element('div', { className: 'actions' }, rename, compare, remove)
  const node = element('li', {}, line, form, actions)

  form.onsubmit = event => {
    event.preventDefault()
    renameTodo(id, name.value.trim())
    edit(false)
  }
  form.onkeydown = event => { if (event.key === 'Escape') edit(false) }

  function edit (isEdited: boolean): void {
    form.hidden = !isEdited
    line.hidden = actions.hidden = isEdited
    if (isEdited) {
      name.value = label.textContent
      name.select()
    } else rename.focus()
  }

  return {
    node,
    update ({ description, completed, place: where, isChosen }) {
      const text = description.trim() || '(no words)'
      if (label.textContent !== text) label.textContent = text
      box.checked = completed === 1
      node.classList.toggle('done', completed === 1)
      place.textContent = where
      place.dataset['place'] = where
      compare.ariaPressed = String(isChosen)
      for (const [button, verb] of [[rename, 'Rename'], [compare, 'Compare'], [remove, 'Delete']] as const) button.ariaLabel = `${verb} ${text}`
    }
  }
}
