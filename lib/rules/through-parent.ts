import type { ThroughParent } from '../../types/collections.js'

/**
 * An `owner` for rows that inherit their parent's owner: the parent that a row is in and the one that it goes to must
 * both be there and be the user's, by the `owner` of their table, which may be `throughParent` again.
 *
 * Parents are read in the MongoDB transaction that writes the row. They may come later in the same client transaction,
 * or be deleted by it. A PATCH or DELETE of a row that is not there changes nothing and succeeds, as in any table.
 *
 * @param table of the parents, one of `collections`
 * @param field that holds the parent's id
 * @example
 * collection({
 *   schema: Type.Object({ list_id: Type.String(), text: Type.String() }),
 *   owner: throughParent('lists', 'list_id')
 * })
 */
export function throughParent<const Field extends string> (table: string, field: Field): ThroughParent<Field> {
  return Object.freeze(new ThroughParentRule(table, field))
}

/** A class of its own: the result of an owner function cannot be taken for fields with these names. */
class ThroughParentRule<Field extends string> implements ThroughParent<Field> {
  constructor (readonly parent: string, readonly field: Field) {}
}
