/** What is known to come out wrong: each entry goes with the change that puts it right. */
import { dataCodes, type Fault } from './fault.js'
import type { Ran } from './matrix.js'
import type { Violation } from './run.js'
import type { Place, Sent } from './server.js'

export interface Known {
  id: string
  /** Whether a row fails in this way, and in no other. */
  fails: (ran: Ran) => boolean
}

export const known: Known[] = [
  {
    id: 'A12: transactions behind a rejected one are applied when it is sent again, and reported as not attempted',
    fails: ({ row: { shape }, violations }) => shape.container === 'transactions' && only(violations, 'not attempted')
  },
  {
    id: 'rule 6: transactions behind a commit with an unknown outcome are reported as not attempted',
    fails: ({ row: { shape }, hits, violations }) => (shape.container !== 'transactions' || met(hits, 'commit')) && only(violations, 'not attempted')
  },
  {
    id: 'D1: a fault of a hook\'s own command is taken for one of the data',
    fails: ({ row: { fault }, hits, violations }) => isDataFault(fault) && met(hits, 'hook') && only(violations, 'made final')
  },
  {
    id: 'D3: a fault of the ledger or of a commit is taken for one of the data',
    fails: ({ row: { fault }, hits, violations }) => isDataFault(fault) && met(hits, 'ledger', 'letters', 'commit') && only(violations, 'made final', 'another answer')
  },
  {
    id: 'D3: the code of a write concern is taken for a fault of the data, which are stored',
    fails: ({ row: { fault }, violations }) => fault.cause.kind === 'write concern' && isDataFault(fault) && only(violations, 'letter')
  }
]

const isDataFault = ({ cause }: Fault): boolean =>
  cause.kind === 'validator' || ('code' in cause && dataCodes.includes(cause.code) && cause.label !== 'TransientTransactionError')

const met = (hits: Sent[], ...places: Place[]): boolean => hits.some(({ place }) => places.includes(place))

const only = (violations: Violation[], ...kinds: Array<Violation['kind']>): boolean => violations.length > 0 && violations.every(({ kind }) => kinds.includes(kind))
