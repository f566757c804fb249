/** The one of these words that was probably meant: one that begins so, or is a few letters away. */
export function nearest (word: string, words: readonly string[]): string | undefined {
  const near = words
    .map(candidate => ({ candidate, distance: word.length >= 3 && candidate.startsWith(word) ? 1 : distance(word, candidate) }))
    .filter(({ distance }) => distance <= Math.max(1, word.length / 3))
    .sort((a, b) => a.distance - b.distance)
  return near[0]?.candidate
}

/** How many letters have to be added, left out, changed or swapped with their neighbour (optimal string alignment). */
function distance (from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number) => (rows[row] as number[])[column] as number
  for (let row = 1; row <= from.length; row++) {
    const next = [row]
    rows.push(next)
    for (let column = 1; column <= to.length; column++) {
      const [letter, wanted] = [from[row - 1], to[column - 1]]
      const swapped = letter === to[column - 2] && wanted === from[row - 2]
      next.push(Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + Number(letter !== wanted),
        swapped ? at(row - 2, column - 2) + 1 : Infinity
      ))
    }
  }
  return at(from.length, to.length)
}
