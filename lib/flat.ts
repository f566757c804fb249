/** `lists.flat()`, which takes ten times as long. */
export function flat<Item> (lists: ReadonlyArray<readonly Item[]>): readonly Item[] {
  if (lists.length === 1) return lists[0]!
  const all: Item[] = []
  for (const list of lists) for (const item of list) all.push(item)
  return all
}
