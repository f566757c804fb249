import { readdirSync } from 'node:fs'

/** What the tests have to cover: the package's own sources, whichever test runs them. */
const sources = ['index.ts', ...readdirSync('lib', { recursive: true }).filter(file => file.endsWith('.ts')).map(file => `lib/${file}`)]

export default () => sources
