/**
 * The package as it is built, which is what is measured. Its types are those of the sources, so that there is one set
 * of them.
 */
const built = (file: string): Promise<unknown> => import(new URL(`../dist/${file}`, import.meta.url).href)

export const {
  default: powersyncMongo,
  bson,
  collection,
  generateKeys,
  MongoDBStorage
} = (await built('index.js')) as typeof import('../index.js')
export const { CollectionRegistry } = await built('lib/rules/registry.js') as typeof import('../lib/rules/registry.js')
export const { decodeAll } = await built('lib/rules/hooks.js') as typeof import('../lib/rules/hooks.js')
export const { parseUpload } = await built('lib/wire/parse.js') as typeof import('../lib/wire/parse.js')
export const { readUpload } = await built('lib/wire/read.js') as typeof import('../lib/wire/read.js')
