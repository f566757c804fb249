import { ConnectorError } from './errors.js'
import type { Fetch, FetchedAnswer } from './types.js'

export interface JsonRequest {
  method: 'GET' | 'POST' | 'PUT'
  url: string
  headers: Record<string, string>
  body: object | undefined
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
 * @throws {ConnectorError} `PSM_NETWORK`, `PSM_TIMEOUT`, `PSM_ABORTED`, `PSM_REDIRECT`, or `PSM_ANSWER` when it is not
 * JSON
 */
export async function requestJson (
  { method, url, headers, body }: JsonRequest,
  { fetch, timeout, signal }: RequestOptions
): Promise<JsonResponse> {
  const name = `${method} ${url}`
  const aborted = () => new ConnectorError('PSM_ABORTED', `${name}: ended by option signal`)
  if (signal?.aborted) throw aborted()

  const controller = new AbortController()
  let abort!: () => void
  let timer
  const stopped = new Promise<never>((_resolve, reject) => {
    abort = () => reject(aborted())
    timer = setTimeout(
      () => reject(new ConnectorError('PSM_TIMEOUT', `${name}: no answer within ${timeout} ms`)),
      timeout
    )
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
    const answer = await start()
    const { ok, status } = answer
    if (isRedirect(answer)) throw redirectError(name, answer)
    try {
      return { ok, status, body: ok ? await answer.json() : undefined }
    } catch {
      throw new ConnectorError('PSM_ANSWER', `${name}: the answer was cut off or is not JSON`, { status })
    }
  }

  async function start () {
    try {
      return await fetch(url, {
        method,
        headers,
        ...(body && { body: JSON.stringify(body) }),
        redirect: 'manual',
        signal: controller.signal
      })
    } catch {
      throw new ConnectorError('PSM_NETWORK', `${name}: the server could not be reached`)
    }
  }
}

/** Browsers answer with status 0 and keep the target to themselves. */
const isRedirect = ({ status, redirected }: FetchedAnswer) =>
  redirected || status === 0 || (status >= 300 && status < 400)

/**
 * Following it would show the app's headers to another server, and make a GET of a POST. The target's query may hold a
 * secret.
 */
function redirectError (name: string, { status, headers }: FetchedAnswer): ConnectorError {
  const target = headers?.get('location')?.replace(/[?#].*/s, '')
  return new ConnectorError(
    'PSM_REDIRECT',
    `${name}: redirected${target ? ` to ${target}` : ''}: let option url name the server itself`,
    { status }
  )
}
