/**
 * On AWS Lambda, behind an HTTP API (API Gateway v2) or a function URL: the handler's name is `lambda.handler`.
 * All that is made before the first request is kept between invocations: keys, compiled schemas, the connection.
 *
 * Bundle it with esbuild, or deploy it with its node_modules. It needs MONGO_URI, POWERSYNC_URL and
 * POWERSYNC_PRIVATE_KEY; by hand it answers one request, to see whether they are right:
 *
 *     npx tsx lambda.ts
 */
import awsLambdaFastify from '@fastify/aws-lambda'
import Fastify from 'fastify'
import powersyncMongo, { bson, collection, Type, type User } from 'fastify-powersync-mongo'
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const app = Fastify({ logger: { level: 'warn' } })

app.register(powersyncMongo, {
  prefix: '/powersync',
  mongo: {
    url: process.env['MONGO_URI'] ?? '',
    // A function works on one request at a time, and there may be many functions.
    maxPoolSize: 2,
    // Its connections do not outlive a frozen function for long.
    maxIdleTimeMS: 60_000
  },
  authenticate: request => userOf(request.headers.authorization),
  // A synchronous invocation carries 6 MB at most.
  upload: { bodyLimit: 6 * 1024 * 1024 },
  collections: {
    todos: collection({
      schema: Type.Object({
        description: Type.String(),
        completed: Type.Optional(bson.Boolean()),
        owner_id: Type.String()
      }),
      owner: 'owner_id'
    })
  }
})

export const handler = awsLambdaFastify(app, {
  // Answers as soon as there is an answer: the connection stays open for the next.
  callbackWaitsForEmptyEventLoop: false,
  decorateRequest: false
})

// Connects while the function starts, when Lambda gives it more of a processor.
await app.ready()

/** Stands in for your sessions or your identity provider: see docs/authentication.md. */
function userOf (authorization: string | undefined): User | null {
  const [, name] = /^Session (\w+)$/.exec(authorization ?? '') ?? []
  return name ? { id: name } : null
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { statusCode, body } = await app.inject('/powersync/jwks')
  console.log(statusCode, body)
  await app.close()
}
