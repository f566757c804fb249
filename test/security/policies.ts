/**
 * Mallory against what an app says in `writable`, `operations`, `authorizeTransfer`, and in an `owner` that is more
 * than a field.
 */
import {
  ignored, invalid, MARKER, mismatch, unauthorized, type Attack, type AttackRequest, type Host, type Refusal
} from './harness.js'
import { issued } from './issuers.js'

const put = (table: string, id: string, data: object) => ({ op: 'PUT', table, id, data })
const patch = (table: string, id: string, data: object) => ({ op: 'PATCH', table, id, data })
const remove = (table: string, id: string) => ({ op: 'DELETE', table, id })
const batch = (...operations: object[]): AttackRequest => ({ body: { batch: operations } })

type Row = [name: string, request: AttackRequest, refused: Refusal]

/** Articles: whoever is no editor may write the title. */
const writable: Row[] = [
  [
    'PATCH of a field that only others may write',
    batch(patch('articles', 'mallory-article', { price: 0 })),
    unauthorized
  ],
  ['PATCH of such a field to what it is', batch(patch('articles', 'mallory-article', { price: 100 })), unauthorized],
  ['PATCH of such a field to null', batch(patch('articles', 'mallory-article', { price: null })), unauthorized],
  [
    'PATCH of such a field behind one of one\'s own',
    batch(patch('articles', 'mallory-article', { title: MARKER, published: 1 })),
    unauthorized
  ],
  [
    'PATCH of such a field behind good operations',
    batch(patch('articles', 'mallory-article', { title: MARKER }), patch('articles', 'mallory-article', { price: 0 })),
    unauthorized
  ],
  [
    'PUT of such a field in a row of one\'s own',
    batch(put('articles', 'mallory-article', { title: 'mine', price: 0 })),
    unauthorized
  ],
  ['PUT of such a field in a new row', batch(put('articles', 'new', { title: MARKER, published: true })), unauthorized],
  [
    'PUT of such a field under another name for the data',
    { body: { operations: [{ op: 'PUT', type: 'articles', id: 'new', opData: { title: MARKER, price: 1 } }] } },
    unauthorized
  ],
  [
    'PUT without such a field, to have it forgotten',
    batch(put('articles', 'mallory-article', { title: 'mine' })),
    ignored
  ],
  [
    'PUT of null for such a field, to have it forgotten',
    batch(put('articles', 'mallory-article', { title: 'mine', price: null, published: null })),
    ignored
  ],
  ['PATCH of such a field in a row of Alice\'s', batch(patch('articles', 'alice-article', { price: 0 })), unauthorized],
  [
    'PATCH of a field of one\'s own in a row of Alice\'s',
    batch(patch('articles', 'alice-article', { title: MARKER })),
    ignored
  ],
  ['PATCH of such a field in other case', batch(patch('articles', 'mallory-article', { Price: 0 })), mismatch],
  ['PATCH of the author', batch(patch('articles', 'mallory-article', { author_id: 'alice' })), unauthorized],
  [
    'PATCH of such a field by who says to be an editor',
    {
      body: { user: { id: 'editor' }, ...(batch(patch('articles', 'mallory-article', { price: 0 })).body as object) }
    },
    unauthorized
  ]
]

/** Logs can be put, once; nothing is sent to the archive. */
const operations: Row[] = [
  ['PATCH where only PUT is allowed', batch(patch('logs', 'mallory-log', { text: MARKER })), unauthorized],
  ['DELETE where only PUT is allowed', batch(remove('logs', 'mallory-log')), unauthorized],
  ['PUT over a row of one\'s own that cannot change', batch(put('logs', 'mallory-log', { text: MARKER })), ignored],
  ['PUT over a row of Alice\'s that cannot change', batch(put('logs', 'alice-log', { text: MARKER })), unauthorized],
  [
    'DELETE, then PUT, of a row that cannot change',
    batch(remove('logs', 'mallory-log'), put('logs', 'mallory-log', { text: MARKER })),
    unauthorized
  ],
  [
    'two PUTs over a row that cannot change',
    batch(put('logs', 'mallory-log', { text: MARKER }), put('logs', 'mallory-log', { text: MARKER })),
    ignored
  ],
  ['PUT where nothing is allowed', batch(put('archive', 'new', { text: MARKER })), unauthorized],
  ['PATCH where nothing is allowed', batch(patch('archive', 'archived', { text: MARKER })), unauthorized],
  ['DELETE where nothing is allowed', batch(remove('archive', 'archived')), unauthorized]
]

/** Gifts can be given, to Bob alone. */
const transfers: Row[] = [
  [
    'a row given to whom it may not be given',
    batch(patch('gifts', 'mallory-gift', { owner_id: 'alice' })),
    unauthorized
  ],
  ['a row given to nobody', batch(patch('gifts', 'mallory-gift', { owner_id: null })), invalid],
  ['a row given to two', batch(patch('gifts', 'mallory-gift', { owner_id: ['bob', 'alice'] })), invalid],
  ['a row of Alice\'s given to Bob', batch(patch('gifts', 'alice-gift', { owner_id: 'bob' })), ignored],
  ['a row of Alice\'s taken', batch(patch('gifts', 'alice-gift', { owner_id: 'mallory' })), ignored],
  [
    'a row of Alice\'s taken by PUT',
    batch(put('gifts', 'alice-gift', { name: MARKER, owner_id: 'mallory' })),
    unauthorized
  ],
  ['a row given to Bob by PUT', batch(put('gifts', 'mallory-gift', { name: 'mine', owner_id: 'bob' })), ignored],
  [
    'a row given to Bob, and then to Alice',
    batch(patch('gifts', 'mallory-gift', { owner_id: 'bob' }), patch('gifts', 'mallory-gift', { owner_id: 'alice' })),
    unauthorized
  ]
]

/** Notices belong to whom a function says: all to the administrator, none to guests. */
const functions: Row[] = [
  [
    'PUT over Alice\'s row where a function says whose it is',
    batch(put('notices', 'alice-notice', { text: MARKER })),
    unauthorized
  ],
  [
    'PATCH of Alice\'s row where a function says whose it is',
    batch(patch('notices', 'alice-notice', { text: MARKER })),
    ignored
  ],
  ['DELETE of Alice\'s row where a function says whose it is', batch(remove('notices', 'alice-notice')), ignored],
  [
    'PATCH that gives a row away where a function says whose it is',
    batch(patch('notices', 'mallory-notice', { owner_id: 'alice' })),
    unauthorized
  ],
  ['PUT into a tenant\'s table by who has no tenant', batch(put('invoices', 'new', { total: 1 })), unauthorized],
  [
    'PUT over a tenant\'s row by who has no tenant',
    batch(put('invoices', 'acme-invoice', { total: 1, org_id: 'acme' })),
    unauthorized
  ],
  [
    'PATCH of a tenant\'s row by who has no tenant',
    batch(patch('invoices', 'acme-invoice', { total: 1 })),
    unauthorized
  ],
  ['DELETE of a tenant\'s row by who has no tenant', batch(remove('invoices', 'acme-invoice')), unauthorized]
]

/** With a good token of the identity provider, whose claims are the user's properties. */
const claims: Array<[name: string, claims: object, operation: object, refused: Refusal]> = [
  ['a tenant that is an operator', { org: { $ne: null } }, remove('invoices', 'acme-invoice'), unauthorized],
  [
    'a tenant that is an expression',
    { org: { $in: ['acme'] } },
    patch('invoices', 'acme-invoice', { total: 1 }),
    unauthorized
  ],
  ['several tenants', { org: ['acme', 'evil'] }, patch('invoices', 'acme-invoice', { total: 1 }), unauthorized],
  ['a tenant that is null', { org: null }, remove('invoices', 'no-invoice'), unauthorized],
  ['a tenant that is true', { org: true }, remove('invoices', 'acme-invoice'), unauthorized],
  ['another tenant (PATCH)', { org: 'evil' }, patch('invoices', 'acme-invoice', { total: 1 }), ignored],
  ['another tenant (DELETE)', { org: 'evil' }, remove('invoices', 'acme-invoice'), ignored],
  ['another tenant (PUT)', { org: 'evil' }, put('invoices', 'acme-invoice', { total: 1 }), unauthorized],
  [
    'another tenant, into which a row is moved',
    { org: 'evil' },
    patch('invoices', 'evil-invoice', { org_id: 'acme' }),
    unauthorized
  ],
  ['a guest, who has no rows', { role: 'guest' }, put('notices', 'new', { text: MARKER }), unauthorized],
  ['an id beside the sub', { id: 'admin' }, patch('notices', 'alice-notice', { text: MARKER }), ignored],
  [
    'an id beside the sub, of an editor',
    { id: 'editor' },
    patch('articles', 'mallory-article', { price: 0 }),
    unauthorized
  ]
]

export const policies: Attack[] = [
  ...[...writable, ...operations, ...transfers, ...functions].map(([name, request, refused]): Attack => ({
    name,
    request,
    refused
  })),
  ...claims.map(([name, extra, operation, refused]): Attack => ({
    name: `a user with ${name}`,
    request: ({ issuer }: Host) => ({ token: issued(issuer, { sub: 'mallory', ...extra }), ...batch(operation) }),
    refused
  }))
]
