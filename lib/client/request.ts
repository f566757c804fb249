import { ConnectorError } from './errors.js'
import type { Fetch } from './types.js'

export interface JsonRequest {
  method: 'GET' | 'POST'
  url: string
  headers: Record<string, string>
  body?: string
}

export interface JsonResponse {
  /** Whether the status is 2xx. */
  ok: boolean
  status: number
  /** Undefined unless it is ok. */
  body: unknown
}

export interface RequestOptions {
  fetch: Fetch
  /** Milliseconds, up to the end of the answer. */
  timeout: number
  signal: AbortSignal | undefined
}

/**
 * Sends a request and reads the JSON of its answer.
 *
 * Only what React Native has as well: no `AbortSignal.timeout`, no `AbortSignal.any`. Errors of `fetch` are not passed
 * on: one about a header quotes it, one about JSON quotes the body.
 *
 * @throws {ConnectorError} `PSM_NETWORK`, `PSM_TIMEOUT`, `PSM_ABORTED`, or `PSM_ANSWER` when it is not JSON
 */
export async function requestJson ({ method, url, headers, body }: JsonRequest, { fetch, timeout, signal }: RequestOptions): Promise<JsonResponse> {
  const name = `${method} ${url}`
  const aborted = () => new ConnectorError('PSM_ABORTED', `${name}: ended by the signal in the connector's options`)
  if (signal?.aborted) throw aborted()

  const controller = new AbortController()
  let abort!: () => void
  let timer
  const stopped = new Promise<never>((_resolve, reject) => {
    abort = () => reject(aborted())
    timer = setTimeout(() => reject(new ConnectorError('PSM_TIMEOUT', `${name}: no answer within ${timeout} ms`)), timeout)
  })
  signal?.addEventListener('abort', abort)
  try {
    return await Promise.race([exchange(), stopped])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
    controller.abort() // whatever is still open, such as an answer that nobody reads
  }

  async function exchange (): Promise<JsonResponse> {
    const { ok, status, json } = await start()
    if (!ok) return { ok, status, body: undefined }
    try {
      return { ok, status, body: await json() }
    } catch {
      throw new ConnectorError('PSM_ANSWER', `${name}: the answer was cut off or is not JSON`, { status })
    }
  }

  async function start () {
    try {
      const response = await fetch(url, { method, headers, ...body !== undefined && { body }, signal: controller.signal })
      return { ok: response.ok, status: response.status, json: () => response.json() }
    } catch {
      throw new ConnectorError('PSM_NETWORK', `${name}: the server could not be reached`)
    }
  }
}
