import type { ConnectorErrorCode, Fetch } from '../../types/client.js'
import { ConnectorError } from './errors.js'

const statusCodes: Record<number, ConnectorErrorCode> = { 401: 'PSM_UNAUTHORIZED', 413: 'PSM_TOO_LARGE' }

/**
 * Sends a request, and gives what `read` finds in the JSON of its answer: undefined for that of another server. React
 * Native has no `AbortSignal.timeout` and `any`. Errors of `fetch` are not passed on: they quote headers and bodies.
 */
export async function send<Found> (
  route: `${'GET' | 'POST' | 'PUT'} /${string}`,
  { headers, body, read }: {
    headers: Record<string, string>, body?: object, read: (answer: unknown) => Found | undefined
  },
  { url, fetch, timeout, signal }: { url: string, fetch: Fetch, timeout: number, signal: AbortSignal | undefined }
): Promise<Found> {
  const [method, path] = route.split(' ') as [string, string]
  const fail = (code: ConnectorErrorCode, problem: string, status?: number) =>
    new ConnectorError(code, `${method} ${url}${path}: ${problem}`, { status })
  const attempt = <Result>(work: () => Promise<Result>, ...reason: Parameters<typeof fail>) =>
    Promise.resolve().then(work).catch(() => { throw fail(...reason) })
  const aborted = () => fail('PSM_ABORTED', 'ended by option signal')
  if (signal?.aborted) throw aborted()

  const controller = new AbortController()
  let stop!: (error: ConnectorError) => void
  const stopped = new Promise<never>((_resolve, reject) => { stop = reject })
  const abort = () => stop(aborted())
  const timer = setTimeout(() => stop(fail('PSM_TIMEOUT', `no answer within ${timeout} ms`)), timeout)
  signal?.addEventListener('abort', abort)
  try {
    return await Promise.race([exchange(), stopped])
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
    controller.abort() // whatever is still open, such as an answer that nobody reads
  }

  async function exchange (): Promise<Found> {
    const answer = await attempt(() => fetch(url + path, {
      method,
      headers: { ...headers, ...body && { 'content-type': 'application/json' } },
      ...body && { body: JSON.stringify(body) },
      redirect: 'manual',
      signal: controller.signal
    }), 'PSM_NETWORK', 'the server could not be reached')
    const { ok, status } = answer
    // Following it would show the app's headers to another server. A browser says 0 and hides the target, whose query
    // may hold a secret.
    if (answer.redirected || status === 0 || (status >= 300 && status < 400)) {
      const target = answer.headers?.get('location')?.replace(/[?#].*/s, '')
      const words = `redirected${target ? ` to ${target}` : ''}: let option url name the server itself`
      throw fail('PSM_REDIRECT', words, status)
    }
    if (!ok) {
      const hint = status === 413 ? ' (upload.bodyLimit)' : ''
      throw fail(statusCodes[status] ?? 'PSM_STATUS', `the server answered ${status}${hint}`, status)
    }
    const json = await attempt(() => answer.json(), 'PSM_ANSWER', 'the answer was cut off or is not JSON', status)
    const found = read(json)
    if (found === undefined) throw fail('PSM_ANSWER', 'not an answer of fastify-powersync-mongo', status)
    return found
  }
}
