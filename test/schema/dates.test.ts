import t from 'tap'
import fc from 'fast-check'
import { execFileSync } from 'node:child_process'
import { parseDate } from '../../lib/client/values.js'

t.test('a date without zone is UTC, whatever time zone the host has', async t => {
  const script = `
    import { parseDate } from '${new URL('../../lib/client/values.ts', import.meta.url)}'
    const texts = ['2024-10-31 10:33:24', '2024-10-31T10:33', '2024-07-01', '2024-03-10T02:30:00', '2024-11-03 01:30:00.5', '1969-12-31 23:59:59']
    console.log(JSON.stringify([new Date(2024, 0, 1).getTime(), ...texts.map(parseDate)]))`
  const under = (TZ: string) => {
    const loader = process.execArgv.filter(argument => argument.startsWith('--import='))
    const output = execFileSync(process.execPath, [...loader, '--input-type=module', '--eval', script], {
      env: { ...process.env, TZ },
      encoding: 'utf8'
    })
    const [midnight, ...times] = JSON.parse(output) as number[]
    return { midnight, times }
  }
  const [utc, newYork, kolkata] = [under('UTC'), under('America/New_York'), under('Asia/Kolkata')]

  t.strictSame(utc.times, [1730370804000, 1730370780000, 1719792000000, 1710037800000, 1730597400500, -1000])
  t.strictSame(newYork.times, utc.times)
  t.strictSame(kolkata.times, utc.times)
  t.equal(new Set([utc, newYork, kolkata].map(({ midnight }) => midnight)).size, 3, 'the zones were in force')
})

t.test('every instant that JavaScript can print is read back', async t => {
  fc.assert(
    fc.property(fc.date({ noInvalidDate: true }), date => parseDate(date.toISOString()) === date.getTime()),
    { numRuns: 1000 }
  )
})

t.test('every day of four centuries has its number', async t => {
  const wrong: number[] = []
  for (let day = Date.UTC(1600, 0, 1); day < Date.UTC(2000, 0, 2); day += 86_400_000) {
    if (parseDate(new Date(day).toISOString().slice(0, 10)) !== day) wrong.push(day)
  }
  t.strictSame(wrong, [])
})

t.test('offsets are subtracted', async t => {
  fc.assert(
    fc.property(
      fc.date({ min: new Date(-1e13), max: new Date(1e13), noInvalidDate: true }),
      fc.integer({ min: -1439, max: 1439 }),
      (date, offset) => {
        const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1)
        const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map(part =>
          String(part).padStart(2, '0')
        )
        return parseDate(`${local}${offset < 0 ? '-' : '+'}${hours}:${minutes}`) === date.getTime()
      }
    )
  )
})

t.test('what is not a date is not a number', async t => {
  fc.assert(fc.property(fc.string(), text => /^[+-]?\d{4}/.test(text) || Number.isNaN(parseDate(text))))
  fc.assert(fc.property(fc.stringMatching(/^[0-9TZ: +.-]{10,30}$/), text => {
    const time = parseDate(text)
    return Number.isNaN(time) || Number.isInteger(time)
  }))
})
