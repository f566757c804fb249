/** A look at the other side: what MongoDB holds, by the routes in examples/page.ts. */

/** MongoDB's Extended JSON, canonical: a type's name beside each value. */
export type ExtendedJson = string | boolean | null | ExtendedJson[] | { [key: string]: ExtendedJson }

export type ServerDocument = Record<string, ExtendedJson>

interface Letter {
  _id: string
  client_id: string
  created_at: { $date: { $numberLong: string } }
  failed_operation: { error_code: string, message: string }
  operations: Array<{ op: string, table: string, id: string, data: string | null }>
}

export interface ServerState {
  /** Whether the server has a PowerSync Service; else it stands in for one. */
  hasService: boolean
  /** Whether uploads are made to fail. */
  isBroken: boolean
  /** By table. */
  documents: Record<string, ServerDocument[]>
  letters: Letter[]
}

export const readServer = (): Promise<ServerState> => request<ServerState>('GET', '/page/state')
export const setFault = (isBroken: boolean): Promise<unknown> => request('PUT', '/page/fault', { isBroken })

async function request<Answer> (method: string, url: string, body?: object): Promise<Answer> {
  const response = await fetch(url, {
    method,
    ...body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  })
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status}`)
  return await response.json() as Answer
}

const names: Record<string, string> = {
  $numberInt: 'int',
  $numberLong: 'long',
  $numberDouble: 'double',
  $numberDecimal: 'decimal',
  $oid: 'objectId'
}

/** A value of a document, and its BSON type. */
export function describe (value: ExtendedJson | undefined): { text: string, type: string } {
  if (value === undefined) return { text: '–', type: '' }
  if (value === null) return { text: 'null', type: '' }
  if (typeof value === 'string') return { text: value, type: 'string' }
  if (typeof value === 'boolean') return { text: String(value), type: 'bool' }
  if (Array.isArray(value)) return { text: JSON.stringify(value), type: 'array' }
  const [[key, inner] = ['', '']] = Object.entries(value)
  if (key === '$date') {
    return { text: new Date(Number((inner as { $numberLong: string }).$numberLong)).toISOString(), type: 'date' }
  }
  const type = names[key]
  return type ? { text: String(inner), type } : { text: JSON.stringify(value), type: 'object' }
}
