/** The candidate that a misspelt word probably means: it differs in a few letters, or begins with the word. */
export function nearest (word: string, candidates: readonly string[]): string | undefined {
  const [near] = candidates
    .map(candidate => ({ candidate, distance: distanceOf(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)
  return near && near.distance <= Math.max(1, word.length / 3) ? near.candidate : undefined
}

export const didYouMean = (near: string | undefined): string => near === undefined ? '' : `; did you mean ${near}?`

/** The optimal string alignment distance: letters to insert, delete, replace or swap with their neighbour. */
function distanceOf (from: string, to: string): number {
  if (from.length >= 3 && to.startsWith(from)) return 1
  let [before, last]: number[][] = [[], Array.from({ length: to.length + 1 }, (_, column) => column)]
  for (let row = 1; row <= from.length; row++) {
    const next = [row]
    for (let column = 1; column <= to.length; column++) {
      const replaced = last![column - 1]! + Number(from[row - 1] !== to[column - 1])
      const isSwapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      const swapped = isSwapped ? before![column - 2]! + 1 : Infinity
      next.push(Math.min(last![column]! + 1, next[column - 1]! + 1, replaced, swapped))
    }
    [before, last] = [last, next]
  }
  return last![to.length]!
}
