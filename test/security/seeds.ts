/** What the attacked database holds: rows of two users in each collection, and what no client may see or touch. */
import fastifyMongodb, { type mongodb } from '@fastify/mongodb'
import { mirror } from './host.js'

const { Binary, Int32, Long, ObjectId, UUID } = fastifyMongodb.mongodb

/** In Alice's rows: it must be in no log line and no answer. */
export const ALICE_SECRET = 'ALICES-SECRET-93ac'

export const aliceUuid = '0a9b8c7d-6e5f-4a3b-8c1d-aabbccddeeff'
export const malloryUuid = '5e0c8f4a-93f5-4d0c-9b0e-1f2e3d4c5b6a'
export const aliceObjectId = 'abcdefabcdefabcdefabcdef'
export const malloryObjectId = '0123456789abcdef01234567'

/** When all of it was made. */
export const at = new Date('2025-01-01T00:00:00Z')
const list = (owner: string, note: string) => ({
  _id: `${owner}-list`,
  owner_id: owner,
  name: 'List',
  note,
  done: false,
  due: null,
  settings: { theme: 'dark', level: 1, tags: [] },
  extra: null,
  labels: null,
  created_at: at,
  verified: false
})

export const seeds: Record<string, mongodb.Document[]> = {
  lists: [
    list('alice', ALICE_SECRET),
    list('mallory', 'mine'),
    { ...list('alice', ALICE_SECRET), _id: 'caf\u00e9' },
    { ...list('alice', ALICE_SECRET), _id: '\u212a' }
  ],
  todos: [
    { _id: 'alice-todo', list_id: 'alice-list', text: ALICE_SECRET },
    { _id: 'mallory-todo', list_id: 'mallory-list', text: 'mine' }
  ],
  notes: [
    { _id: new UUID(aliceUuid), owner: 'alice', text: ALICE_SECRET, revoked_at: at },
    { _id: new UUID(malloryUuid), owner: 'mallory', text: 'mine', revoked_at: at }
  ],
  photos: [
    {
      _id: new ObjectId(aliceObjectId),
      owner_id: 'alice',
      title: ALICE_SECRET,
      data: new Binary(Buffer.from('alice'))
    },
    { _id: new ObjectId(malloryObjectId), owner_id: 'mallory', title: 'mine', data: null }
  ],
  counters: [
    { _id: new Int32(1), owner_id: 'alice', int: 1 },
    { _id: new Int32(2), owner_id: 'mallory', int: 2 },
    { _id: Long.fromString('9007199254740993'), owner_id: 'alice', int: 3 }
  ],
  documents: [
    { _id: 'alice-document', owner_id: 'alice', secret: ALICE_SECRET },
    { _id: 'mallory-document', owner_id: 'mallory', own: 1 }
  ],
  contacts: [
    { _id: 'alice-contact', owner_id: 'alice', email: 'alice@example.com' },
    { _id: 'mallory-contact', owner_id: 'mallory', email: 'mallory@example.com' }
  ],
  drafts: [{ _id: 'mallory-draft', owner_id: 'mallory', text: 'mine', publish_as: null }],
  events: [{ _id: 'event', name: 'signed up' }],
  accounts: [
    { _id: 'alice-account', owner_id: 'alice', name: ALICE_SECRET },
    { _id: 'mallory-account', owner_id: 'mallory', name: 'mine' }
  ],
  articles: ['alice', 'mallory'].map(author => ({
    _id: `${author}-article`,
    author_id: author,
    title: author === 'alice' ? ALICE_SECRET : 'mine',
    price: 100,
    published: false
  })),
  logs: [
    { _id: 'alice-log', owner_id: 'alice', text: ALICE_SECRET },
    { _id: 'mallory-log', owner_id: 'mallory', text: 'mine' }
  ],
  archive: [{ _id: 'archived', text: ALICE_SECRET }],
  gifts: [
    { _id: 'alice-gift', owner_id: 'alice', name: ALICE_SECRET },
    { _id: 'mallory-gift', owner_id: 'mallory', name: 'mine' }
  ],
  invoices: [
    { _id: 'acme-invoice', org_id: 'acme', total: 100 },
    { _id: 'evil-invoice', org_id: 'evil', total: 1 },
    { _id: 'no-invoice', org_id: null, total: 0 }
  ],
  notices: [
    { _id: 'alice-notice', owner_id: 'alice', text: ALICE_SECRET },
    { _id: 'mallory-notice', owner_id: 'mallory', text: 'mine' }
  ],
  payments: [{ _id: 'payment', amount: 100, card: ALICE_SECRET }],
  _powersync_checkpoints: [{ _id: '_standalone_checkpoint', i: 1 }],
  powersync_ledger: [
    {
      _id: 'alice-page',
      user_id: 'alice',
      client_id: 'alice-phone',
      updated_at: new Date(),
      operations: { 1: 'hash' }
    }
  ],
  powersync_dead_letters: [{ _id: 'alice-letter', user_id: 'alice', created_at: at, operations: [] }],
  powersync_write_checkpoints: [
    { _id: 'alice-checkpoint', user_id: 'alice', client_id: 'alice-phone', checkpoint: Long.ONE }
  ],
  [mirror]: [{ _id: 'alice-letter', user_id: 'alice', created_at: at, message: ALICE_SECRET }]
}

/** Collections that are looked at: those, and some that attackers are after. */
export const collectionNames = [...Object.keys(seeds), 'people', 'flaky', 'users', 'admin']
