import { hash } from 'node:crypto'
import { Binary, reading, type mongodb } from '../bson.js'
import type { CommandScope, FailedOperation, User } from '../../types/index.js'
import { expireAfter } from './collections.js'
import { Page, type PageContent } from './page.js'
import type { Statement } from './statements.js'

export interface LedgerOptions {
  /** Days after the last upload of a client database until it is forgotten. */
  days: number
}

/** Which page: of one client database, of one user. */
export interface PageIdentity { _id: string, user_id: string, client_id: string }

/** A page as MongoDB has it. */
interface PageDocument extends PageIdentity {
  version: mongodb.ObjectId
  updated_at: Date
  sequence: number
  operations: mongodb.Binary
  rejections: Array<{ number: number, failed: mongodb.Binary | null, reason: FailedOperation }>
  letters: Array<{ _id: string, rows: string[] | null }>
}

/** Names a client database of a user, whatever its name is made of. */
export const clientKey = (user: User, clientId: string): string =>
  hash('sha256', JSON.stringify([user.id, clientId]), 'base64url')

/** Milliseconds after which a page is read again: far less than what MongoDB's TTL gives it. */
const longestMemory = 3_600_000

/** Bytes of pages that a process remembers. */
const mostMemory = 32 * 1024 * 1024

/**
 * Remembers what became of the operations of each client database, so that retries are idempotent: an operation that is
 * sent again, alone or among others, has no second effect and gets the same answer.
 *
 * One document per user and client, the page. Every commit that settles something replaces it, on condition that it has
 * the version that the process knows: versions are random, so that a page which was deleted and made anew is never
 * taken for the one before. The condition is part of an upsert. If it does not hold, the upsert meets the page's `_id`,
 * MongoDB refuses it, and the upload starts again with a fresh page.
 *
 * A process remembers pages after a majority acknowledged their commit: for a client that comes back to it the ledger
 * needs no command of its own on MongoDB 8, and one on older versions.
 */
export class Ledger {
  static readonly collectionName = 'powersync_ledger'
  /** In the order of their last use. */
  readonly #memory = new Map<string, { page: Page, since: number }>()
  #bytes = 0

  constructor (private readonly db: mongodb.Db, private readonly options: LedgerOptions) {}

  /** Makes the TTL index, by which MongoDB forgets clients that are gone, what `days` says. */
  async createIndexes (): Promise<void> {
    await expireAfter(this.db, Ledger.collectionName, 'updated_at', this.options.days * 86_400)
  }

  identify (user: User, clientId: string): PageIdentity {
    return { _id: clientKey(user, clientId), user_id: user.id, client_id: clientId }
  }

  /** The page as this process remembers it. */
  remembered ({ _id }: PageIdentity): Page | undefined {
    const known = this.#memory.get(_id)
    if (!known) return undefined
    if (performance.now() - known.since <= longestMemory) return known.page
    this.forget({ _id })
    return undefined
  }

  /** The page as MongoDB has it, in the scope's transaction; of a client without one, with its open letters. */
  async read ({ _id }: PageIdentity, scope: CommandScope, openLetters: () => Promise<PageContent>): Promise<Page> {
    const pages = this.db.collection<PageDocument>(Ledger.collectionName, reading)
    const document = await pages.findOne({ _id }, { ...scope })
    return new Page(document ? contentOf(document) : await openLetters())
  }

  /** Only for a page whose commit was acknowledged. */
  remember ({ _id }: PageIdentity, page: Page): void {
    this.forget({ _id })
    this.#memory.set(_id, { page, since: performance.now() })
    this.#bytes += page.bytes
    for (const [oldest] of this.#memory) {
      if (this.#bytes <= mostMemory) break
      this.forget({ _id: oldest })
    }
  }

  forget ({ _id }: Pick<PageIdentity, '_id'>): void {
    const known = this.#memory.get(_id)
    if (!known) return
    this.#bytes -= known.page.bytes
    this.#memory.delete(_id)
  }

  /** Replaces a page by the next. Meets the page's `_id` if MongoDB has another version. */
  statement ({ _id, ...identity }: PageIdentity, before: Page, next: Page): Statement {
    const { version, sequence, operations, rejections, letters } = next.content
    return {
      collection: Ledger.collectionName,
      row: _id,
      filter: { _id, version: before.content.version },
      change: {
        ...identity,
        version,
        updated_at: new Date(),
        sequence,
        operations: new Binary(operations),
        rejections: rejections.map(({ failed, ...rest }) =>
          ({ ...rest, failed: failed && new Binary(Buffer.from(failed, 'latin1')) })),
        letters: letters.map(({ _id, rows }) => ({ _id, rows: rows && [...rows] }))
      },
      upsert: true
    }
  }
}

function contentOf ({ version, sequence, operations, rejections, letters }: PageDocument): PageContent {
  return {
    version,
    sequence,
    operations: Buffer.from(operations.value()),
    rejections: rejections.map(({ failed, ...rest }) =>
      ({ ...rest, failed: failed && Buffer.from(failed.value()).toString('latin1') })),
    letters: letters.map(({ _id, rows }) => ({ _id, rows: rows && new Set(rows) }))
  }
}
