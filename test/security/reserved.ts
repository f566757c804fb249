/** Collections that no client may write, by whatever name. */
import { ignored, mismatch, MARKER, unreadable, type Attack } from './harness.js'
import { mirror } from './host.js'

const names: Record<string, string> = {
  'MongoDB\'s users': 'system.users',
  'MongoDB\'s functions': 'system.js',
  'MongoDB\'s views': 'system.views',
  'MongoDB\'s profile': 'system.profile',
  'MongoDB\'s indexes': 'system.indexes',
  'MongoDB\'s sessions': 'config.system.sessions',
  'a collection of another database': 'admin.system.users',
  'this database by its name': 'test.lists',
  'MongoDB\'s commands': '$cmd',
  'the commands of a collection': 'lists.$cmd',
  'the service\'s checkpoints': '_powersync_checkpoints',
  'the ledger': 'powersync_ledger',
  'the dead letters': 'powersync_dead_letters',
  'the write checkpoints': 'powersync_write_checkpoints',
  'the notes of dead letters': mirror,
  'a collection of the app\'s that is not listed': 'payments',
  'MongoDB\'s name of a table that is listed': 'accounts',
  'a table in other case': 'Lists',
  'a table with a blank': 'lists ',
  'a table with NUL': 'lists\0',
  'a table with NUL inside': 'lists\0payments',
  'a table with half a character': 'lists\ud800',
  'a table in another alphabet': '\u04cfists',
  'a table behind a path': '../lists',
  'a table behind a slash': 'lists/../payments',
  'a table behind a wildcard': '*',
  'no name': '',
  'a blank': ' ',
  __proto__: '__proto__',
  constructor: 'constructor',
  hasOwnProperty: 'hasOwnProperty',
  size: 'size'
}

export const reserved: Attack[] = [
  ...Object.entries(names).map(([name, table]): Attack => ({
    name: `PUT into ${name}`,
    request: { body: { batch: [{ op: 'PUT', table, id: 'attack', data: { name: MARKER, user_id: 'mallory' } }] } },
    refused: mismatch
  })),
  {
    name: 'DELETE from what is not listed',
    request: { body: { batch: [{ op: 'DELETE', table: 'payments', id: 'payment' }] } },
    refused: mismatch
  },
  {
    name: 'PATCH of the dead letters',
    request: {
      body: {
        batch: [{ op: 'PATCH', type: 'powersync_dead_letters', id: 'alice-letter', data: { user_id: 'mallory' } }]
      }
    },
    refused: mismatch
  },
  {
    name: 'DELETE of somebody else\'s rejection',
    request: { body: { batch: [{ op: 'DELETE', type: mirror, id: 'alice-letter' }] } },
    refused: ignored
  },
  {
    name: 'PATCH of somebody else\'s rejection',
    request: { body: { batch: [{ op: 'PATCH', type: mirror, id: 'alice-letter', data: { user_id: 'mallory' } }] } },
    refused: mismatch
  },
  {
    name: 'a reserved table behind good operations',
    request: {
      body: {
        transactions: [
          {
            crud: [
              { op: 'PUT', table: 'lists', id: 'x', data: { name: 'x' } },
              { op: 'DELETE', table: 'system.users', id: 'x' }
            ]
          }
        ]
      }
    },
    refused: mismatch
  },
  {
    name: 'a table of 1 MB',
    request: { body: { batch: [{ op: 'DELETE', table: 't'.repeat(1_000_000), id: 'x' }] } },
    refused: unreadable
  }
]
