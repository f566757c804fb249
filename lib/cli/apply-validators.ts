import { Option, type Command } from 'commander'
import {
  applyDifference, compareValidators, type ValidatorDifference, type ValidatorOptions
} from '../store/validators.js'
import { configOption, envOption, loadApp, uriOption, withMongo } from './config.js'
import { clean, jsonLine, linesOf, progressOf, screenOf, type CommandIO, type Screen } from './terminal.js'

interface Options extends Required<ValidatorOptions> { config?: string, uri?: string, dryRun?: boolean, json?: true }

const levelOption = new Option('--level <name>', 'moderate exempts documents that violate the schema already')
const actionOption = new Option('--action <name>', 'reject invalid documents, or only log them')

export function addApplyValidators (program: Command, io: CommandIO): void {
  program.command('apply-validators')
    .description('make MongoDB enforce your schemas, and list the documents that violate them')
    .addOption(configOption).addOption(uriOption)
    .addOption(levelOption.choices(['strict', 'moderate']).default('strict'))
    .addOption(actionOption.choices(['error', 'warn']).default('error'))
    .option('--dry-run', 'print the changes without making them')
    .addOption(envOption)
    .option('--json', 'print one { collection, action, changes, breaking, applied } per line')
    .addHelpText('after', '\nExample:\n  npx powersync-mongo apply-validators --dry-run')
    .action(async ({ config, uri, level, action, dryRun = false, json }: Options) => {
      const { collections } = await loadApp(config, io.cwd())
      const progress = progressOf(io, 'applying validators')
      const screen = screenOf(io.stdout, io.env)
      await withMongo(uri, dryRun ? 'read' : 'dbAdmin', io, async client => {
        const differences = await compareValidators(client.db(), collections, { level, action })
        progress.start(differences.length)
        for (const difference of differences) {
          if (!dryRun) await applyDifference(client.db(), difference)
          const { name: collection, action, changes, breaking } = difference
          progress.step(() => io.stdout.write(json
            ? jsonLine({ collection, action, changes, breaking, applied: !dryRun && action !== 'none' })
            : describe(difference, dryRun, screen)))
        }
      })
    })
}

const words = { create: 'created with its validator', update: 'changed', none: 'up to date' }

function describe ({ name, action, changes, breaking }: ValidatorDifference, dryRun: boolean, { paint, wrap }: Screen) {
  const { count, ids } = breaking
  const documents = count === 1 ? 'document violates' : 'documents violate'
  const warning = `  ! ${count} ${documents} this schema: _id ${ids.join(', ')}${count > ids.length ? ', …' : ''}`
  return linesOf([
    `${paint('bold', `${name}:`)} ${words[action]}${dryRun && action !== 'none' ? ' (dry run)' : ''}`,
    ...changes.map(change => paint(change.startsWith('+') ? 'green' : 'red', wrap(`  ${change}`, 4))),
    ...count > 0 ? [paint('yellow', wrap(clean(warning), 4))] : []
  ])
}
