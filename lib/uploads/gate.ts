import { UnavailableError } from '../errors.js'

/** How a server is doing with uploads, for a health route or a load balancer. */
export interface UploadHealth {
  /** False once the server is closing. */
  accepting: boolean
  /** Uploads that are being worked on. */
  running: number
}

export interface Gate {
  /**
   * Lets an upload in; call what it gives when that is answered.
   * @throws {UnavailableError} when the server is closing, or works on as many uploads as it may
   */
  enter (): () => void
  /** Lets nobody in any more. */
  close (): void
  health (): UploadHealth
}

/** Keeps the number of uploads at a time, and with it memory, within bounds. */
export function createGate (maxConcurrent: number): Gate {
  let running = 0
  let accepting = true
  return {
    enter () {
      if (!accepting) throw new UnavailableError('The server is shutting down: send the upload again')
      if (running >= maxConcurrent) throw new UnavailableError(`The server works on ${maxConcurrent} uploads already (option upload.maxConcurrent): send the upload again`)
      running++
      let inside = true
      return () => {
        if (inside) running--
        inside = false
      }
    },
    close () { accepting = false },
    health: () => ({ accepting, running })
  }
}
