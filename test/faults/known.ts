/** What is known to come out wrong: each entry goes with the change that puts it right. */
import { dataCodes } from './fault.js'
import type { Ran } from './matrix.js'
import type { Place } from './server.js'
import type { Violation } from './run.js'

export interface Known {
  id: string
  /** Rows that it is about. */
  concerns: (ran: Ran) => boolean
  /** Whether a row fails in this way, and in no other. */
  fails: (ran: Ran) => boolean
}

/** A rejection stops "transactions"; when they are sent again, those behind it are applied and reported as not attempted. */
const reportedAsNotAttempted: Known = {
  id: 'transactions behind a rejected one',
  concerns: ({ row: { shape } }) => shape.container === 'transactions' && shape.transactions.flat().some(({ fault }) => fault),
  fails: ({ row: { shape }, violations }) => shape.container === 'transactions' && all(violations, ['not attempted'])
}

/** The outcome of a commit is unknown, and the transactions behind the first of it are reported as not attempted. */
const unknownCommit: Known = {
  id: 'a commit that is not known',
  concerns: ran => ran.row.shape.transactions.length > 1 && ran.row.fault.mode === 'on' && ran.row.fault.cause.kind === 'write concern' && met(ran, ['commit']),
  fails: ran => all(ran.violations, ['not attempted']) && met(ran, ['commit'])
}

export const known: Known[] = [
  reportedAsNotAttempted,
  unknownCommit,
  madeFinal('a hook\'s own command', ['hook']),
  madeFinal('a command of the ledger or of the dead letters, a commit, a write concern', ['ledger', 'letters', 'commit', 'data'])
]

/** A code that only data can cause, but not there: it is taken for the data's. */
function madeFinal (id: string, places: Place[]): Known {
  return {
    id,
    concerns: ran => isDataFault(ran) && met(ran, places),
    fails: ran => isDataFault(ran) && met(ran, places) && all(ran.violations, ['made final', 'letter', 'another answer'])
  }
}

function isDataFault ({ row: { fault: { cause } } }: Ran): boolean {
  return cause.kind === 'validator' || ('code' in cause && dataCodes.includes(cause.code) && cause.label !== 'TransientTransactionError')
}

const met = ({ hits }: Ran, places: Place[]): boolean => hits.some(({ place }) => places.includes(place))

const all = (violations: Violation[], kinds: Array<Violation['kind']>): boolean => violations.length > 0 && violations.every(({ kind }) => kinds.includes(kind))
