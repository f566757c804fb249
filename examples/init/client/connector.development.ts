import { createConnector } from 'fastify-powersync-mongo/client'

const userId = 'ada'

/** For database.connect(connector). Once your app signs in, its `headers` take the place of `fetch`. */
export const connector = createConnector({
  url: 'http://localhost:3000/powersync',
  // developmentAuth() takes the user from the query.
  fetch: (url, init) => fetch(`${String(url)}?user_id=${userId}`, init)
})
