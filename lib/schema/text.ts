/** Without lone surrogates, which have no UTF-8 and which the driver would silently replace by U+FFFD. */
export function isWellFormed (text: string): boolean {
  return (text as string & { isWellFormed (): boolean }).isWellFormed() // Node >= 20; TypeScript has it from ES2024 on
}

/** Length in code points, which is what JSON Schema and MongoDB's `$jsonSchema` count. */
export function codePoints (text: string): number {
  let count = 0
  for (let at = 0; at < text.length; count++) at += text.codePointAt(at)! > 0xffff ? 2 : 1
  return count
}

/** `a, b or c`. */
export function listWords (words: readonly string[]): string {
  const last = words.at(-1) ?? 'nothing'
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`
}
