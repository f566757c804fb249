/** As much of a view library as this page needs. */

type Properties<Name extends keyof HTMLElementTagNameMap> = Partial<Omit<HTMLElementTagNameMap[Name], 'style'>>

export function element<Name extends keyof HTMLElementTagNameMap> (name: Name, properties: Properties<Name> = {}, ...children: Array<Node | string>): HTMLElementTagNameMap[Name] {
  const node = Object.assign(document.createElement(name), properties)
  node.append(...children)
  return node
}

export function byId<Node extends HTMLElement = HTMLElement> (id: string): Node {
  const node = document.getElementById(id)
  if (!node) throw new Error(`index.html has no #${id}`)
  return node as Node
}

/** Sets text only when it changes, so that screen readers hear a status once. */
export function setText (node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text
  if (node.classList.contains('error') || node.classList.contains('notice')) node.hidden = text === ''
}

/** A row of a list, and how it follows its item. */
export interface View<Item> {
  node: HTMLElement
  update: (item: Item) => void
}

/** Keeps one element per item, so that whoever has the focus in one keeps it. */
export function keyedList<Item> (parent: HTMLElement, key: (item: Item) => string, create: (item: Item) => View<Item>): (items: Item[]) => void {
  const views = new Map<string, View<Item>>()
  return items => {
    const keys = new Set(items.map(key))
    for (const [id, { node }] of views) {
      if (keys.has(id)) continue
      node.remove()
      views.delete(id)
    }
    items.forEach((item, position) => {
      const view = views.get(key(item)) ?? create(item)
      views.set(key(item), view)
      view.update(item)
      if (parent.children[position] !== view.node) parent.insertBefore(view.node, parent.children[position] ?? null)
    })
    const empty = document.getElementById(`${parent.id}-empty`)
    if (empty) empty.hidden = items.length > 0
  }
}
