/** How long the tests search that make their inputs or faults at random: TEST_SIZE=full is what `.ci/run` sets. */
export const fullSize = process.env['TEST_SIZE'] === 'full'
