import { createRequire } from 'node:module'
import { dirname } from 'node:path'

const require = createRequire(import.meta.url)

/** The folder of this package, from its sources and from `dist`. */
export const packageFolder = dirname(require.resolve('fastify-powersync-mongo/package.json'))

export const { version } = require('fastify-powersync-mongo/package.json') as { version: string }
