/** Going online and offline; and the connector, which is this package's, with a look at what goes through it. */
import { createConnector, type Fetch } from 'fastify-powersync-mongo/client'
import { database, rememberAnswers, user, type Answer } from './database.js'
import { readServer } from './server.js'

const events = new EventTarget()

/** Calls back after each answer of the server to an upload. */
export const onAnswer = (listener: () => void): void => events.addEventListener('answer', listener)

/** Calls back with each transaction that the server refused for good. */
export const onRejected = (listener: (code: string, message: string) => void): void => events.addEventListener('rejected', event => {
  const { error_code: code, message } = (event as CustomEvent<{ error_code: string, message: string }>).detail
  listener(code, message)
})

const connector = createConnector({
  url: '/powersync',
  fetchCredentials: async () => {
    // The server of this example takes everybody's word for who they are.
    const response = await fetch(`/powersync/token?user_id=${user}`)
    if (!response.ok) throw new Error(`/powersync/token: ${response.status}`)
    const { token, powersync_url: url, expires_at: end } = await response.json() as Record<'token' | 'powersync_url' | 'expires_at', string>
    const { hasService } = await readServer()
    return { endpoint: hasService ? url : `${location.origin}/page/service`, token, expiresAt: new Date(end) }
  },
  fetch: observed((url, init) => fetch(url, init)),
  onFatal: ({ failedOperation }) => { events.dispatchEvent(new CustomEvent('rejected', { detail: failedOperation })) }
})

/** Whether the user works offline; the same in all tabs, and after a reload. */
export const isOffline = (): boolean => localStorage.getItem('offline') === 'yes'

export async function setOffline (offline: boolean): Promise<void> {
  localStorage.setItem('offline', offline ? 'yes' : 'no')
  await connectOrNot()
}

/** Connecting starts to upload at once. It waits for the server, so nobody should wait for it. */
export async function connectOrNot (): Promise<void> {
  if (isOffline()) await database.disconnect()
  else await database.connect(connector, { retryDelayMs: 2000, crudUploadThrottleMs: 200 })
}

interface Operation { op: string, type: string, id: string }
interface Result { status: string, message?: string, failed_operation?: { error_code: string, message: string } }

/** Keeps what the server answers to uploads for the page to show. */
function observed (next: Fetch): Fetch {
  return async (url, init) => {
    const { transactions } = JSON.parse(init.body ?? '{}') as { transactions?: Array<{ crud: Operation[] }> }
    if (!transactions) return await next(url, init)
    const at = new Date().toISOString()
    const remember = async (httpStatus: number, results: Result[]) => {
      await rememberAnswers(transactions.map(({ crud }, position) => toAnswer(at, httpStatus, results[position], crud)))
      events.dispatchEvent(new Event('answer'))
    }
    try {
      const { ok, status, ...response } = await json(next, url, init)
      await remember(status, response.body.results ?? [])
      return { ok, status, json: async () => response.body }
    } catch (error) {
      await remember(0, [])
      throw error
    }
  }
}

async function json (next: Fetch, ...[url, init]: Parameters<Fetch>) {
  const response = await next(url, init)
  return { ok: response.ok, status: response.status, body: await response.json() as { results?: Result[] } }
}

function toAnswer (at: string, httpStatus: number, result: Result | undefined, crud: Operation[]): Omit<Answer, 'id'> {
  return {
    at,
    http_status: httpStatus,
    status: result?.status ?? (httpStatus ? 'error' : 'no answer'),
    code: result?.failed_operation?.error_code ?? null,
    message: result?.failed_operation?.message ?? result?.message ?? null,
    operations: crud.map(({ op, type, id }) => ({ op, table: type, id }))
  }
}
