/** As much of a view library as this page needs. */

type Properties<Name extends keyof HTMLElementTagNameMap> = Partial<Omit<HTMLElementTagNameMap[Name], 'style'>>

export function element<Name extends keyof HTMLElementTagNameMap> (
  name: Name,
  properties: Properties<Name> = {},
  ...children: Array<Node | string>
): HTMLElementTagNameMap[Name] {
  const node = Object.assign(document.createElement(name), properties)
  node.append(...children)
  return node
}

export const button = (
  textContent: string,
  onclick: () => unknown,
  properties: Properties<'button'> = {}
): HTMLButtonElement => element('button', { type: 'button', textContent, onclick, ...properties })

export function byId<Node extends HTMLElement = HTMLElement> (id: string): Node {
  const node = document.getElementById(id)
  if (!node) throw new Error(`index.html has no #${id}`)
  return node as Node
}

/** Sets text only when it changes, so that screen readers hear a status once. An empty error or notice is hidden. */
export function setText (node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text
  if (node.matches('.error, .notice')) node.hidden = text === ''
}

/** Rows of a table, the first of them its head, the first cell of each its name. */
export function table (head: string[], rows: Array<Array<Node | string>>): HTMLElement {
  return element('table', {},
    element('thead', {}, element('tr', {}, ...head.map(text => element('th', { scope: 'col' }, text)))),
    element(
      'tbody',
      {},
      ...rows.map(([name = '', ...cells]) =>
        element('tr', {}, element('th', { scope: 'row' }, name), ...cells.map(cell => element('td', {}, cell)))
      )
    ))
}

/** A row of a list, and how it follows its item. */
export interface View<Item> {
  node: HTMLElement
  update?: (item: Item) => void
}

/**
 * Keeps one element per item, so that the focus stays where it is. When the item with the focus goes, the focus moves
 * to the same button of the next, else to `otherwise`. The element behind the list shows when it is empty.
 */
export function keyedList<Item> (
  parent: HTMLElement,
  key: (item: Item) => string,
  create: (item: Item) => View<Item>,
  otherwise?: HTMLElement
): (items: Item[]) => void {
  const views = new Map<string, View<Item>>()
  return items => {
    const keys = new Set(items.map(key))
    let focus: { position: number, control: number } | undefined
    for (const [id, { node }] of views) {
      if (keys.has(id)) continue
      if (node.contains(document.activeElement)) {
        focus = {
          position: [...parent.children].indexOf(node),
          control: controls(node).indexOf(document.activeElement as HTMLElement)
        }
      }
      node.remove()
      views.delete(id)
    }
    items.forEach((item, position) => {
      const view = views.get(key(item)) ?? create(item)
      views.set(key(item), view)
      view.update?.(item)
      if (parent.children[position] !== view.node) parent.insertBefore(view.node, parent.children[position] ?? null)
    })
    if (parent.nextElementSibling?.matches('.empty')) {
      ;(parent.nextElementSibling as HTMLElement).hidden = items.length > 0
    }
    if (!focus) return
    const next = parent.children[focus.position] ?? parent.lastElementChild
    const target = next ? controls(next)[focus.control] : otherwise
    target?.focus()
  }
}

const controls = (node: Element) => [...node.querySelectorAll<HTMLElement>('button, input')]
