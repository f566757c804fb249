/**
 * Ends with 1 and a line for each reason why this must not be published yet: npm run release:check
 *
 * npm runs it before `npm publish`. It reads package.json and CHANGELOG.md of the folder that it is run in.
 */
import { readFile } from 'node:fs/promises'

const { version, repository, homepage, bugs } = JSON.parse(await readFile('package.json', 'utf8'))
const changelog = await readFile('CHANGELOG.md', 'utf8')
const faults = []

const addresses = { 'repository.url': repository?.url?.replace(/^git\+/, ''), homepage, 'bugs.url': bugs?.url }
for (const [name, address] of Object.entries(addresses)) {
  if (!URL.canParse(address)) faults.push(`package.json: ${name} is missing, or not an address`)
  else if (new URL(address).hostname.endsWith('.invalid')) faults.push(`package.json: ${name} is a placeholder: ${address}`)
}

const sections = changelog.split(/^(?=## )/m).slice(1)
const unreleased = sections[0]?.startsWith('## [Unreleased]') ? sections.shift() : ''
const [, latest, date = '', changes = ''] = /^## \[(.*?)\](?: - (.*))?\n([^]*)/.exec(sections[0] ?? '') ?? []
if (latest !== version) faults.push(`CHANGELOG.md: its latest version is ${latest}, that of package.json ${version}`)
if (!/^\d{4}-\d\d-\d\d$/.test(date)) faults.push('CHANGELOG.md: its latest version has no date such as 2026-01-15')
if (!/^- /m.test(changes)) faults.push('CHANGELOG.md: it does not say what its latest version changes')
if (/^- /m.test(unreleased)) faults.push('CHANGELOG.md: there are changes under Unreleased, which this version would bring')

const { GITHUB_REF_TYPE: kind, GITHUB_REF_NAME: tag } = process.env
if (kind === 'tag' && tag !== `v${version}`) faults.push(`The tag is ${tag}, and not v${version}`)

for (const fault of faults) console.error(fault)
if (faults.length > 0) process.exitCode = 1
else console.log(`${version} may be published.`)
