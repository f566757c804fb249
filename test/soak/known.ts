/** Violations of which the cause is known. Each mark goes with its case; this file with the last of them. */
import type { Violation } from './checker.js'

interface Known { cases: string, kind: Violation['kind'], letter: boolean }

const known: Known[] = [
  { cases: 'A4 A5: a copy that comes second is rejected, and kept in a letter, though the first was applied', kind: 'applied and kept', letter: true },
  { cases: 'A4: and such a letter is run again', kind: 'doubled', letter: true },
  { cases: 'A6 A7 A8: a letter that is run again writes over later changes', kind: 'wrong row', letter: true },
  { cases: 'Design §3 rule 3: once a letter is gone, its transaction sent again is answered with success', kind: 'wrong answer', letter: true }
]

export const isKnown = (violation: Violation): boolean => known.some(({ kind, letter }) => violation.kind === kind && violation.letter === letter)

/** False: A1, an operation that is sent again with its keys in another order is another operation. */
export const otherOrder = false
