import { Option, type Command } from 'commander'
import { applyDifference, compareValidators, type ValidatorDifference, type ValidatorOptions } from '../store/validators.js'
import { configOption, loadConfig } from './config.js'
import { envOption } from './environment.js'
import type { CommandIO } from './io.js'
import { mongoUri, uriOption, withMongo } from './mongo.js'
import { progressOf } from './progress.js'
import { clean, jsonLine, screenOf, type Screen } from './screen.js'

interface Options extends Required<ValidatorOptions> { config?: string, uri?: string, dryRun?: boolean, json?: true }

/** `powersync-mongo apply-validators`: 0 when the database is as it should be, 1 when MongoDB refused. */
export function addApplyValidators (program: Command, io: CommandIO): void {
  program.command('apply-validators')
    .description('make MongoDB enforce your schemas, and list the documents that break them')
    .addOption(configOption)
    .addOption(uriOption)
    .addOption(new Option('--level <name>', 'whether documents that break the rules already have to keep them, too').choices(['strict', 'moderate']).default('strict'))
    .addOption(new Option('--action <name>', 'whether MongoDB refuses a document or only logs it').choices(['error', 'warn']).default('error'))
    .option('--dry-run', 'say what would change, and change nothing')
    .addOption(envOption)
    .option('--json', 'print one { collection, action, changes, breaking, applied } per line')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo apply-validators --dry-run')
    .action(async ({ config, uri, level, action, dryRun = false, json }: Options) => {
      const mongo = mongoUri(uri, io)
      const collections = await loadConfig(config, io.cwd())
      const progress = progressOf(io, 'applying validators')
      const print = json ? inJson : inWords(screenOf(io.stdout, io.env))
      await withMongo(mongo, dryRun ? 'read' : 'dbAdmin', async client => {
        const db = client.db()
        const differences = await compareValidators(db, collections, { level, action })
        progress.start(differences.length)
        for (const difference of differences) {
          if (!dryRun) await applyDifference(db, difference)
          progress.step(() => io.stdout.write(print(difference, dryRun)))
        }
      })
    })
}

function inJson ({ name: collection, action, changes, breaking }: ValidatorDifference, dry: boolean): string {
  return jsonLine({ collection, action, changes, breaking, applied: !dry && action !== 'none' })
}

const words = { create: 'created with its validator', update: 'changed', none: 'as it should be' }

const inWords = ({ paint, wrap }: Screen) => ({ name, action, changes, breaking: { count, ids } }: ValidatorDifference, dry: boolean): string => [
  `${paint('bold', `${name}:`)} ${words[action]}${dry && action !== 'none' ? ' (dry run)' : ''}`,
  ...changes.map(change => paint(change.startsWith('+') ? 'green' : 'red', wrap(`  ${change}`, 4))),
  ...count > 0 ? [paint('yellow', wrap(clean(`  ! ${count} ${count === 1 ? 'document breaks' : 'documents break'} these rules: _id ${ids.join(', ')}${count > ids.length ? ', …' : ''}`), 4))] : []
].map(line => `${line}\n`).join('')
