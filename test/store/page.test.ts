import t from 'tap'
import type { mongodb } from '@fastify/mongodb'
import { ObjectId } from '../../lib/bson.js'
import { Ledger } from '../../lib/store/ledger.js'
import { Page, type Settlement } from '../../lib/store/page.js'

const day = 86_400_000
const start = Date.UTC(2026, 0, 1)
const fingerprint = (number: number) => String(number).padStart(12, '0')
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => fingerprint(from + index))
const settled = (operations: string[], more: Partial<Settlement> = {}): Settlement => ({
  operations,
  upload: () => new Set(operations),
  ...more
})
const reason = { error_code: 'QUOTA', message: 'Too many' }
const empty = new Page(Page.empty)

function verdicts (page: Page, fingerprints: Array<string | undefined>) {
  const known = page.verdicts(fingerprints)
  return fingerprints.map(fingerprint => known.get(fingerprint!))
}

t.test('a page knows what became of each operation, among few and among many', async t => {
  t.same(verdicts(empty, range(0, 2)), [undefined, undefined])
  const page = empty
    .next(settled(range(0, 100)))
    .next(settled(range(100, 102), { rejected: { failed: fingerprint(101), reason } }))
  const rejected = { number: 1, failed: fingerprint(101), reason }
  t.same(verdicts(page, [fingerprint(5), fingerprint(100), undefined, fingerprint(102)]), [
    'applied',
    rejected,
    undefined,
    undefined
  ])
  t.same(verdicts(page, range(90, 110)), [
    ...Array<string>(10).fill('applied'),
    rejected,
    rejected,
    ...Array<undefined>(8).fill(undefined)
  ])
})

t.test('a fingerprint is not found across two others', async t => {
  // Each is followed by six bytes of its own, which may look like a part of a fingerprint.
  const page = empty.next(settled(['\0'.repeat(12), '\0'.repeat(11) + 'a']))
  t.same(verdicts(page, ['\0'.repeat(12), '\0'.repeat(11) + 'a', '\0'.repeat(10) + 'a\0']), [
    'applied',
    'applied',
    undefined
  ])
})

t.test('each page has a version of its own', async t => {
  t.equal(Page.empty.version, null)
  const [one, other] = [empty.next(settled([])), empty.next(settled([]))]
  t.ok(one.content.version instanceof ObjectId)
  t.notSame(one.content.version, other.content.version)
})

t.test('a page keeps the last 2 000 operations, those of the last day, and what the upload contains', async t => {
  const old = empty.next(settled(range(0, 3000)), start)
  const known = (page: Page, ...numbers: number[]) => verdicts(page, numbers.map(fingerprint)).map(Boolean)
  t.same(
    known(old.next(settled(range(3000, 3001)), start + day), 0, 2999),
    [true, true],
    'within a day nothing is forgotten'
  )
  t.same(known(old.next(settled(range(3000, 3001)), start + 2 * day), 0, 1000, 1001, 3000), [false, false, true, true])
  const upload = () => new Set([fingerprint(7), fingerprint(3000)])
  t.same(
    known(old.next({ operations: range(3000, 3001), upload }, start + 2 * day), 6, 7, 8, 1001),
    [false, true, false, true],
    'an operation that is sent again is not forgotten'
  )
  const few = empty.next(settled(range(0, 1999)), start)
  t.same(known(few.next(settled(range(3000, 3001)), start + 1000 * day), 0), [true])
})

t.test('rejections are forgotten with their operations, and their numbers given again', async t => {
  const rejected = { failed: null, reason }
  const page = empty.next(settled(range(0, 1), { rejected }), start).next(settled(range(1, 2), { rejected }), start)
  t.same(page.content.rejections.map(({ number }) => number), [1, 2])
  const later = page.next(settled(range(10, 3000)), start + 2 * day)
  t.same(later.content.rejections, [])
  t.same(
    later
      .next(settled(range(3000, 3001), { rejected }), start + 2 * day)
      .content.rejections.map(({ number }) => number),
    [1]
  )
})

t.test('rejections that no page has room for are forgotten with their operations, the oldest first', async t => {
  let page = empty.next(settled(range(100, 101)))
  for (let number = 0; number < 40; number++) {
    const rejected = { failed: null, reason: { ...reason, details: { why: `${number}`.padEnd(200_000) } } }
    page = page.next(settled(range(number, number + 1), { rejected }))
  }
  const known = verdicts(page, [...range(0, 40), fingerprint(100)]).map(verdict => typeof verdict)
  const forgotten = known.filter(kind => kind === 'undefined')
  t.same(known, [...forgotten, ...Array(40 - forgotten.length).fill('object'), 'string'])
  t.ok(page.bytes < 16_000_000 && forgotten.length === 24, `${forgotten.length} forgotten`)
})

t.test('letters are named while they are open, and numbered in order', async t => {
  const letter = (_id: string) => ({ _id, rows: new Set(['row']) })
  const page = empty.next(settled([], { opened: letter('a') })).next(settled([], { opened: letter('b') }))
  t.equal(page.content.sequence, 2)
  const closed = page.next(settled([], { closed: new Set(['a']) }))
  t.same(closed.content.letters, [letter('b')])
  t.equal(closed.content.sequence, 2, 'a number is given once')
})

t.test('a process remembers pages for an hour, and 32 MiB of them', async t => {
  const { now } = performance
  t.teardown(() => { performance.now = now })
  let time = 0
  performance.now = () => time
  const ledger = new Ledger({ collection: () => ({}) } as unknown as mongodb.Db, { days: 1 })
  const of = (client: string) => ledger.identify({ id: 'user1' }, client)
  const large = new Page({ ...Page.empty, operations: Buffer.alloc(20 * 1024 * 1024) })
  ledger.remember(of('phone'), empty)
  t.equal(ledger.remembered(of('phone')), empty)
  t.equal(ledger.remembered(of('tablet')), undefined)
  time = 3_600_000
  t.equal(ledger.remembered(of('phone')), empty)
  time++
  t.equal(ledger.remembered(of('phone')), undefined)

  ledger.remember(of('phone'), large)
  ledger.remember(of('tablet'), large)
  t.same(
    [ledger.remembered(of('phone')), ledger.remembered(of('tablet')) === large],
    [undefined, true],
    'the oldest goes'
  )
  ledger.forget(of('tablet'))
  ledger.remember(of('phone'), large)
  t.equal(ledger.remembered(of('phone')), large, 'what is forgotten makes room')
})
