import { applyDifference, compareValidators, type ValidatorDifference } from '../store/validators.js'
import { command } from './command.js'
import { configOptions, loadConfig } from './config.js'
import { environmentOptions } from './environment.js'
import { mongoOptions, mongoUri, withMongo } from './mongo.js'
import { progressOf } from './progress.js'
import { jsonLine, screenOf, type Screen } from './screen.js'

/** `powersync-mongo apply-validators`: 0 when the database is as it should be, 1 when MongoDB refused. */
export const applyValidatorsCommand = command({
  summary: 'make MongoDB enforce your schemas',
  about: 'Makes MongoDB enforce your schemas: creates or changes the $jsonSchema validator of each collection, and says what changes. ' +
    'What is as it should be stays untouched.',
  options: {
    ...configOptions,
    ...mongoOptions,
    level: { type: 'string', value: '<name>', choices: ['strict', 'moderate'], default: 'strict', help: 'whether documents that break the rules already have to keep them, too' },
    action: { type: 'string', value: '<name>', choices: ['error', 'warn'], default: 'error', help: 'whether MongoDB refuses a document or only logs it' },
    'dry-run': { type: 'boolean', help: 'say what would change, and change nothing' },
    ...environmentOptions,
    json: { type: 'boolean', help: 'print one { collection, action, changes, applied } per line' }
  },
  example: 'apply-validators --dry-run',

  async run ({ config, uri, level, action, 'dry-run': dry, json }, io) {
    const mongo = mongoUri(uri, io)
    const collections = await loadConfig(config, io.cwd())
    const progress = progressOf(io, 'applying validators')
    const print = json ? inJson : inWords(screenOf(io.stdout, io.env))
    return await withMongo(mongo, dry ? 'read' : 'dbAdmin', async client => {
      const db = client.db()
      const differences = await compareValidators(db, collections, { level, action })
      progress.start(differences.length)
      for (const difference of differences) {
        if (!dry) await applyDifference(db, difference)
        progress.step(() => io.stdout.write(print(difference, dry)))
      }
      return 0
    })
  }
})

function inJson ({ name: collection, action, changes }: ValidatorDifference, dry: boolean): string {
  return jsonLine({ collection, action, changes, applied: !dry && action !== 'none' })
}

const words = { create: 'created with its validator', update: 'changed', none: 'as it should be' }

const inWords = ({ paint, wrap }: Screen) => ({ name, action, changes }: ValidatorDifference, dry: boolean): string => {
  const lines = [
    `${paint('bold', `${name}:`)} ${words[action]}${dry && action !== 'none' ? ' (dry run)' : ''}`,
    ...changes.map(change => paint(change.startsWith('+') ? 'green' : 'red', wrap(`  ${change}`, 4)))
  ]
  return `${lines.join('\n')}\n`
}
