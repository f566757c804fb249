import createError from '@fastify/error'

/**
 * Mistakes in the options stop the start: `FST_PSM_OPTION`.
 * The message names the option, what was found, what was expected and what to do.
 */
export const OptionError = createError<[option: string, problem: string]>('FST_PSM_OPTION', 'fastify-powersync-mongo: option %s %s', 500)

/** A key that cannot be used: unreadable, too small, of a foreign algorithm, or not the other half's pair. */
export const KeyError = createError<[source: string, problem: string]>('FST_PSM_KEY', 'fastify-powersync-mongo: %s %s', 500)
