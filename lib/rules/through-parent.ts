import type { AuthorizeHook } from '../../types/hooks.js'
import type { FieldHolding } from '../../types/operations.js'
import type { mongodb } from '../bson.js'

/** What a field can hold the id of a parent as. */
export type ParentId = string | number | bigint | mongodb.ObjectId | mongodb.UUID

/** Which row is the parent, and which field names it. */
export interface ThroughParentOptions<Row> {
  /** Table of the parents, one of `collections`: its `owner` says whose they are, or, where its own `authorize` is `throughParent`, its parents' does. */
  table: string
  /** The field that has the parent's id. */
  field: FieldHolding<Row, ParentId>
  /**
   * What becomes of a PATCH or DELETE of a row that is not there. `refuse`, the default: what becomes of one on somebody
   * else's row, so that nobody can tell which it was. `allow`: it changes nothing and succeeds, as without `throughParent`.
   */
  missing?: 'refuse' | 'allow' | undefined
  /** Asked about what the parents allow. */
  authorize?: AuthorizeHook<Row> | undefined
}

/**
 * An `authorize` for rows that belong to whoever their parent belongs to: the parent that the row is in and the one that
 * it goes to both have to be the user's, and there. Parents come in one `find` for all operations of an upload, the rows
 * themselves in another. Whatever is refused is refused alike.
 *
 * Parents are read in the MongoDB transaction: if one goes to another owner meanwhile, the outcome is that of an upload
 * which came before.
 *
 * @example
 * collection({ schema: Type.Object({ list_id: Type.String(), text: Type.String() }), authorize: throughParent({ table: 'lists', field: 'list_id' }) })
 */
export function throughParent<Row> ({ table, field, missing = 'refuse', authorize }: ThroughParentOptions<Row>): AuthorizeHook<Row> {
  const hook: AuthorizeHook<Row> = async (operation, context) => {
    const before = await context.existing()
    if (before ? !await context.owns(table, before[field]) : operation.op !== 'PUT' && missing === 'refuse') return false
    const to = operation.data?.[field]
    if ((operation.op === 'PUT' || to !== undefined) && !await context.owns(table, to)) return false
    return authorize ? await authorize(operation, context) : true
  }
  return Object.assign(hook, { parent: { table, field } })
}
