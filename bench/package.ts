/** The package as it is built, which is what is measured. Its types are those of the sources, so that there is one set of them. */
const built = (file: string): Promise<unknown> => import(new URL(`../dist/${file}`, import.meta.url).href)

export const { default: powersyncMongo, bson, collection, generateKeys, MongoDBStorage } = await built('index.js') as typeof import('../index.js')
export const { CollectionRegistry } = await built('lib/collections/registry.js') as typeof import('../lib/collections/registry.js')
export const { decode } = await built('lib/upload/pipeline.js') as typeof import('../lib/upload/pipeline.js')
export const { parseJson } = await built('lib/wire/json.js') as typeof import('../lib/wire/json.js')
export const { readUpload } = await built('lib/wire/read.js') as typeof import('../lib/wire/read.js')
