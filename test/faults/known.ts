/** What is known to come out wrong: each entry goes with the change that puts it right. */
import type { Ran } from './matrix.js'

export interface Known {
  id: string
  /** Whether a row fails in this way, and in no other. */
  fails: (ran: Ran) => boolean
}

export const known: Known[] = []
