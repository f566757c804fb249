/** Faults that the database itself makes: `configureFailPoint`, as in MongoDB's own tests of drivers. */
import fastifyMongodb from '@fastify/mongodb'
import type { Test } from 'tap'

export interface FailPoint {
  /** Names of the commands that fail: of all clients of the server, but of those only with `appName`. */
  failCommands: string[]
  appName?: string
  /** How many of them fail. Default: all, until it is switched off. */
  times?: number
  /** Refuses the command. */
  errorCode?: number
  /** All that the error has; MongoDB gives its own where they are left out. */
  errorLabels?: string[]
  /** Carries the command out, and then says that this is not known to be durable. */
  writeConcernError?: { code: number, errmsg: string }
  /** Closes the connection and leaves the command. */
  closeConnection?: boolean
  /** Waits before the command is carried out. */
  blockTimeMS?: number
}

/** The server's fail point, of which it has one: switched off when `t` ends. */
export function failPoints (t: Pick<Test, 'teardown'>, uri: string) {
  const client = new fastifyMongodb.mongodb.MongoClient(uri)
  let active = false
  const configure = async (mode: string | object, data = {}) => {
    await client.db('admin').command({ configureFailPoint: 'failCommand', mode, data })
    active = mode !== 'off'
  }
  t.teardown(async () => {
    if (active) await configure('off')
    await client.close()
  })
  return {
    /** In the place of what was on before. */
    on: ({ times, ...data }: FailPoint) =>
      configure(times === undefined ? 'alwaysOn' : { times }, {
        ...data,
        blockConnection: data.blockTimeMS !== undefined
      }),
    off: () => configure('off')
  }
}
