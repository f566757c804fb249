/** What validating and converting rows costs, beside what parsing them costs. */
import { Type } from '@sinclair/typebox'
import { bson, collection } from 'fastify-powersync-mongo'
import { compileCollection, DecodeFault } from '../dist/lib/collections/decoder.js'
import { measure, print, type Measurement } from './support.js'

const rows = 1000

export function decode (): Measurement[] {
  const definition = collection({
    schema: Type.Object({
      text: Type.String({ maxLength: 200 }),
      date: bson.Date(),
      flag: bson.Boolean(),
      count: bson.Int32(),
      size: bson.Double(),
      ref: bson.ObjectId(),
      state: Type.Union([Type.Literal('open'), Type.Literal('done')]),
      note: Type.Optional(Type.String())
    })
  })
  const body = JSON.stringify({
    batch: Array.from({ length: rows }, (_, index) => ({
      op: 'PUT',
      type: 'rows',
      id: `row${index}`,
      op_id: index,
      tx_id: 1,
      data: {
        text: `Text of row ${index}`, date: '2025-09-22T14:29:30.123Z', flag: index % 2, count: index, size: index / 3, ref: '61d19021a565468600000001', state: 'open', note: 'a note'
      }
    }))
  })
  const { batch } = JSON.parse(body) as { batch: { data: Record<string, unknown> }[] }
  const compiled = compileCollection('rows', definition)
  const measurements = measure({
    'JSON.parse of the body': () => JSON.parse(body),
    'decoding of its rows': () => {
      for (const { data } of batch) if (compiled.put(data) instanceof DecodeFault) throw new Error('a row was refused')
    }
  })
  print(`decode: ${rows} rows with eight typed fields, ${Math.round(body.length / 1024)} KiB`, measurements)
  const [parse, rowsDecoded] = measurements as [Measurement, Measurement]
  console.log(`  decoding takes ${rowsDecoded.median <= parse.median + 1 ? 'at most' : 'MORE than'} as long as JSON.parse and 1 ms`)
  return measurements
}
