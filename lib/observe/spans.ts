/** Of a span's work; it may have failed, although it gave a result. */
export interface SpanReport { attributes: Record<string, string | number | string[]>, failed: boolean }

/** Spans of a trace. Attributes hold counts and codes, never values, ids or messages of errors. */
export interface Spans {
  run<Result> (name: string, work: () => Promise<Result>, report?: (result: Result) => SpanReport): Promise<Result>
}

export const noSpans: Spans = { run: (_name, work) => work() }

/** Spans of OpenTelemetry if the host has `@opentelemetry/api`, else none. */
export async function loadSpans (load = () => import('@opentelemetry/api')): Promise<Spans> {
  const api = await load().catch(() => undefined)
  if (!api) return noSpans
  const { trace, SpanStatusCode: { ERROR } } = api
  const tracer = trace.getTracer('fastify-powersync-mongo')
  return {
    run: (name, work, report) => tracer.startActiveSpan(name, async span => {
      try {
        const result = await work()
        const { attributes = {}, failed = false } = report?.(result) ?? {}
        span.setAttributes(attributes)
        if (failed) span.setStatus({ code: ERROR })
        return result
      } catch (error) {
        span.setAttributes({ 'error.type': typeOf(error) })
        span.setStatus({ code: ERROR })
        throw error
      } finally {
        span.end()
      }
    })
  }
}

/** The code of a rejection, else MongoDB's own name for its errors, else the class. */
function typeOf (error: unknown): string {
  const { codeName, code, name } = Object(error)
  return String(codeName ?? code ?? name ?? typeof error)
}
