/** A value of a span's attribute. */
type AttributeValue = string | number | string[]

/** What a span says when its work is done. */
export interface SpanReport {
  attributes: Record<string, AttributeValue>
  /** Whether the work failed, though it gave a result. */
  failed: boolean
}

/** Spans of a trace. Attributes hold counts and codes only: never a value, an id, or the message of an error, which may quote them. */
export interface Spans {
  /** Runs `work` within a span, as the child of the one that is active. */
  run<Result> (name: string, work: () => Promise<Result>, report?: (result: Result) => SpanReport): Promise<Result>
}

export const noSpans: Spans = { run: (_name, work) => work() }

/** What is used of `@opentelemetry/api`. Its own types are not there where it is not installed. */
interface OpenTelemetry {
  trace: { getTracer (name: string): { startActiveSpan<Result> (name: string, work: (span: Span) => Result): Result } }
  SpanStatusCode: { ERROR: number }
}

interface Span {
  setAttributes (attributes: SpanReport['attributes']): unknown
  setAttribute (name: string, value: AttributeValue): unknown
  setStatus (status: { code: number }): unknown
  end (): void
}

/**
 * Spans of OpenTelemetry if the host has `@opentelemetry/api`, else none.
 * @param load gives that package
 */
export async function loadSpans (load: () => Promise<OpenTelemetry> = () => import('@opentelemetry/api')): Promise<Spans> {
  let api
  try {
    api = await load()
  } catch {
    return noSpans
  }
  const { trace, SpanStatusCode } = api
  const tracer = trace.getTracer('fastify-powersync-mongo')
  return {
    run: (name, work, report) => tracer.startActiveSpan(name, async span => {
      try {
        const result = await work()
        const { attributes = {}, failed = false } = report?.(result) ?? {}
        span.setAttributes(attributes)
        if (failed) span.setStatus({ code: SpanStatusCode.ERROR })
        span.end()
        return result
      } catch (error) {
        span.setAttribute('error.type', typeOf(error))
        span.setStatus({ code: SpanStatusCode.ERROR })
        span.end()
        throw error
      }
    })
  }
}

/** The code of a rejection, MongoDB's own name for its errors, else the class. */
function typeOf (error: unknown): string {
  const { codeName, code, name } = Object(error) as { codeName?: unknown, code?: unknown, name?: unknown }
  return String(codeName ?? code ?? name ?? typeof error)
}
