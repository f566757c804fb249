/** A look at the other side: what MongoDB holds, by the routes in examples/page.ts. */

/** MongoDB's Extended JSON, canonical: a type's name beside each value. */
export type ExtendedJson = string | boolean | null | ExtendedJson[] | { [key: string]: ExtendedJson }

export type ServerDocument = Record<string, ExtendedJson>

export interface Letter {
  _id: string
  created_at: { $date: { $numberLong: string } }
  failed_operation: { error_code: string, message: string }
  operations: Array<{ op: string, table: string, id: string, data: string | null }>
}

export interface ServerState {
  /** Whether the server has a PowerSync Service, which brings down what other devices wrote. */
  hasService: boolean
  /** Whether uploads are made to fail. */
  isBroken: boolean
  todos: ServerDocument[]
  letters: Letter[]
}

export const readServer = (): Promise<ServerState> => request<ServerState>('GET', '/page/state')
export const setFault = (isBroken: boolean): Promise<unknown> => request('PUT', '/page/fault', { isBroken })
export const retryLetter = (id: string): Promise<{ result: { status: string, failed_operation?: Letter['failed_operation'] } | null }> => request('POST', `/page/dead-letters/${id}/retry`)
export const discardLetter = (id: string): Promise<unknown> => request('DELETE', `/page/dead-letters/${id}`)

async function request<Answer> (method: string, url: string, body?: object): Promise<Answer> {
  const response = await fetch(url, {
    method,
    ...body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  })
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status}`)
  return await response.json() as Answer
}
