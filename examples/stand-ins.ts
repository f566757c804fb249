/**
 * What production.ts finds in production, on this machine and made up for one run: an identity provider, MongoDB, a key
 * pair. For trying it out only: the provider signs in whoever asks.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { generateKeys } from 'fastify-powersync-mongo'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { developmentMongoDB } from './mongodb.js'

/** Sets the environment variables of production.ts that are not set. */
export async function standIn (): Promise<void> {
  const mongo = await developmentMongoDB({ database: 'production' })
  const issuer = await startIssuer('https://api.example.com')
  Object.assign(process.env, {
    ISSUER: issuer,
    AUDIENCE: 'https://api.example.com',
    APP_ORIGIN: 'https://app.example.com',
    MONGO_URI: mongo.uri,
    // The emulator has no validators.
    ...mongo.kind === 'emulator' && { VALIDATORS: 'off' },
    POWERSYNC_URL: 'http://localhost:8080',
    POWERSYNC_PRIVATE_KEY: (await generateKeys()).privateKeyBase64,
    ...process.env
  })
  const server = `http://127.0.0.1:${process.env['PORT'] ?? 3000}`
  console.log(`
  Not production: users, MongoDB and keys are made up for this run.

  MongoDB     ${mongo.description}
  Issuer      ${issuer}

  Sign in, get a token for PowerSync with what that gives, and write:

curl '${issuer}/sign-in?user=anna'
curl ${server}/powersync/token -H 'authorization: Bearer <access_token>'
curl ${server}/powersync/upload -H 'authorization: Bearer <token>' -H 'content-type: application/json' -d '{"batch":[{"op":"PUT","table":"lists","id":"61d19021-0565-4686-acc4-3ea4f8c48839","data":{"name":"Groceries"}}]}'
`)
}

/**
 * An OpenID provider as far as servers see one: its configuration, its keys, and tokens, which it gives to everybody
 * under every name.
 *
 * @returns its URL, which its tokens have as `iss`
 */
async function startIssuer (audience: string): Promise<string> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const key = { ...await exportJWK(publicKey), kid: 'stand-in', alg: 'ES256', use: 'sig' }
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(String(request.url), issuer)
    const answers: Record<string, () => unknown> = {
      '/.well-known/openid-configuration': () => ({ issuer, jwks_uri: `${issuer}/jwks` }),
      '/jwks': () => ({ keys: [key] }),
      '/sign-in': async () => ({
        access_token: await new SignJWT()
          .setProtectedHeader({ alg: 'ES256', kid: key.kid })
          .setIssuer(issuer)
          .setAudience(audience)
          .setSubject(searchParams.get('user') ?? 'anna')
          .setIssuedAt()
          .setExpirationTime('1h')
          .sign(privateKey)
      })
    }
    const answer = answers[pathname]
    response
      .writeHead(answer ? 200 : 404, { 'content-type': 'application/json' })
      .end(JSON.stringify((await answer?.()) ?? {}))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // It ends with the server that it stands in for.
  server.unref()
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return issuer
}
