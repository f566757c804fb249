import type { Readable } from 'node:stream'
import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify'
import { MediaTypeError, TooLargeError } from '../errors.js'
import { countUnits } from './parse.js'

export interface BodyLimits {
  /** The largest body, in bytes. */
  bytes: number
  /** What the answer says of a larger one. */
  tooLarge: string
  /** The most units of JSON in it, and what the answer says of more. */
  units?: { most: number, tooMany: (units: number) => string }
  /** Room for a body of so many bytes, and what gives it back. */
  room?: (bytes: number) => Promise<() => void>
}

export interface Body {
  bytes: Buffer
  /** How much JSON that is: see `countUnits`. */
  units: number
  /** Gives back the room that it takes. */
  release: () => void
}

/** Bytes that need no room: so much of each connection is in memory anyway. */
const free = 64 * 1024

/** Times its limit that a body may have and is still read to its end, so that its client gets the answer. */
const patience = 8

/** Milliseconds in which a body has to arrive. Fastify's own limit, `requestTimeout`, is off by default. */
const timeout = 60_000

/**
 * Leaves bodies to `readBody`, so that neither a host's parsers nor Fastify's, which quote the body in errors, come in
 * between.
 */
export function passBodies (scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  // By its name the usual type is found without parsing the header.
  scope.addContentTypeParser(['application/json', '*'], (_request, payload, done) => {
    // A hook reads along.
    if (payload.readableFlowing) payload.pause()
    done(null, payload)
  })
}

/** A body that does not come to its end, wanted or not, would keep its connection for ever. */
export function limitTime ({ raw, log }: FastifyRequest, milliseconds = timeout): void {
  const timer = setTimeout(() => {
    log.warn({ milliseconds }, 'the body of a request did not arrive in time: its connection is closed')
    raw.destroy()
  }, milliseconds).unref()
  for (const event of ['end', 'close']) raw.once(event, () => clearTimeout(timer))
}

/**
 * The body of a request, as it was sent.
 *
 * What is too large is read to its end and dropped, since most clients look at the answer only when they have sent all;
 * without bounds it is not: its connection closes when it has eight times the limit, or has taken a minute.
 *
 * @throws {MediaTypeError} for another content type than JSON, or one that is encoded
 * @throws {TooLargeError} for more than a limit
 * @throws {Error} if somebody else has read it, or the client has hung up
 */
export async function readBody (request: FastifyRequest, limits: BodyLimits): Promise<Body> {
  const { raw } = request
  const payload = request.body as Readable | undefined
  if (!payload) return { bytes: Buffer.alloc(0), units: 0, release: () => {} }
  if (payload.readableEnded) throw new Error(alreadyRead)
  const isCut = () => raw.destroyed && !raw.readableEnded
  if (isCut()) throw goneError()
  // A stream that decodes the body does not learn that its client has hung up.
  raw.once('close', () => { if (isCut()) payload.destroy() })
  // A hook preParsing of the host that gives another stream has decoded it, as @fastify/compress does.
  const asSent = payload === request.raw
  checkMediaType(request, asSent)
  return await collect(payload, asSent ? Number(request.headers['content-length'] ?? NaN) : NaN, limits)
}

const alreadyRead = 'The body was read before its route got it: keep middleware that parses bodies, such as ' +
  'express.json(), away from this route'

const goneError = () => Object.assign(new Error('The client went away'), { statusCode: 400 })

function checkMediaType (
  { headers: { 'content-type': type = 'none', 'content-encoding': encoding = 'identity' } }: FastifyRequest,
  asSent: boolean
): void {
  if (!/^application\/json\s*(?:;|$)/i.test(type)) {
    throw new MediaTypeError(`The content type: expected application/json, found ${type}`)
  }
  if (asSent && !/^(?:identity)?$/i.test(encoding)) {
    throw new MediaTypeError(`The content encoding: expected none, found ${encoding}, which this server does not decode`)
  }
}

/** @param announced NaN when the client does not say how long the body is */
function collect (
  payload: Readable,
  announced: number,
  { bytes: limit, tooLarge, units: density, room }: BodyLimits
): Promise<Body> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = []
    let size = 0
    let units = 0
    let release = () => {}
    let reserved = room === undefined
    /** Why the rest is dropped. */
    let problem: Error | undefined = announced > limit ? new TooLargeError(tooLarge) : undefined

    const drop = (error: Error) => {
      problem = error
      chunks = []
      release()
    }
    payload.on('data', (data: Buffer | string) => {
      // A host's preParsing hook may give text.
      const chunk = typeof data === 'string' ? Buffer.from(data) : data
      size += chunk.length
      if (problem) {
        if (size > limit * patience) reject(problem)
        return
      }
      units += countUnits(chunk)
      if (size > limit) return drop(new TooLargeError(tooLarge))
      if (density && units > density.most) return drop(new TooLargeError(density.tooMany(units)))
      chunks.push(chunk)
      if (reserved || size <= free) return
      reserved = true
      payload.pause()
      room!(Number.isNaN(announced) ? limit : announced).then(given => {
        if (problem) given()
        else release = given
      }, (error: Error) => {
        drop(error)
        reject(error)
      }).finally(() => payload.resume())
    })
    payload.once('end', () => problem ? reject(problem) : resolve({ bytes: Buffer.concat(chunks), units, release }))
    for (const event of ['error', 'close']) {
      payload.once(event, (cause?: Error) => {
        if (payload.readableEnded) return
        const error = cause ?? goneError()
        drop(error)
        // As Fastify does: it is the client's fault, unless whoever decodes the body says otherwise.
        reject(Object.assign(error, { statusCode: (error as FastifyError).statusCode ?? 400 }))
      })
    }
    // Whoever decodes it may have paused it.
    payload.resume()
    if (announced > limit * patience) reject(problem)
  })
}
