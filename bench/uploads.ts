/** What is uploaded, in benchmarks and in the test of how many commands it takes. */

export interface UploadShape {
  operations: number
  /** Over which the operations are spread. Default 1. */
  collections?: number
  /** Collections that have deletes too, in every tenth of their operations. Default 0. */
  withDeletes?: number
  /** Client transactions. Default 1. */
  transactions?: number
  /** With it, uploads are deduplicated. */
  clientId?: string
  /** What ids begin with. */
  run?: string
}

export interface UploadedOperation {
  op: 'PUT' | 'PATCH' | 'DELETE'
  type: string
  id: string
  op_id: number
  tx_id: number
  data?: Record<string, unknown>
}

export const tableName = (index: number) => `rows${index}`

/** The body of an upload: each id once; PUT and PATCH in turn, in rows of eight typed fields. */
export function uploadBody ({
  operations,
  collections = 1,
  withDeletes = 0,
  transactions = 1,
  clientId,
  run = 'row'
}: UploadShape): { client_id?: string, batch: UploadedOperation[] } {
  const batch = Array.from({ length: operations }, (_, index): UploadedOperation => {
    const table = index % collections
    const turn = Math.floor(index / collections)
    const common = {
      type: tableName(table),
      id: `${run}-${index}`,
      op_id: index + 1,
      tx_id: Math.floor((index * transactions) / operations)
    }
    if (table < withDeletes && turn % 10 === 0) return { ...common, op: 'DELETE' }
    return { ...common, op: turn % 2 ? 'PUT' : 'PATCH', data: rowOf(index) }
  })
  return { ...clientId !== undefined && { client_id: clientId }, batch }
}

const rowOf = (index: number) => ({
  text: `Text of row ${index}`,
  date: '2025-09-22T14:29:30.123Z',
  flag: index % 2,
  count: index,
  size: index / 3,
  ref: '61d19021a565468600000001',
  state: 'open',
  note: 'a note'
})
