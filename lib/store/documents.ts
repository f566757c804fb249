import { reading, type mongodb } from '../bson.js'
import { rowOf, type Plan } from '../rules/plan.js'
import type { TransactionScope } from './transaction.js'

/** The documents of plans, as MongoDB has them, by row: one `find` per collection. */
export async function documentsOf (db: mongodb.Db, plans: readonly Plan[], scope: TransactionScope): Promise<Map<string, mongodb.Document>> {
  const documents = new Map<string, mongodb.Document>()
  for (const name of new Set(plans.map(({ collection }) => collection))) {
    const ids = plans.filter(({ collection }) => collection === name).map(({ _id }) => _id)
    const found = await db.collection(name).find({ _id: { $in: ids } } as mongodb.Document, { ...scope, ...reading }).toArray()
    for (const document of found) documents.set(rowOf(name, document._id), document)
  }
  return documents
}
