import { createConnector } from 'fastify-powersync-mongo/client'

/** Your app's own. */
const session = { accessToken: '' }

/** For database.connect(connector). */
export const connector = createConnector({
  url: 'http://localhost:3000/powersync',
  headers: () => ({ authorization: `Bearer ${session.accessToken}` })
})
