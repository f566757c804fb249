import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { createGate, createMemory } from '../../lib/uploads/gate.js'

const here = new AbortController().signal
const busy = { code: 'FST_PSM_UNAVAILABLE', statusCode: 503, message: /works on 1 uploads already/ }
const full = { code: 'FST_PSM_UNAVAILABLE', statusCode: 503, message: /no memory left/ }

/** The names of those that are let in, in order. */
function order () {
  const inside: string[] = []
  return { inside, as: (name: string) => () => { inside.push(name) } }
}

t.test('who finds no place waits, first come first served', async t => {
  const gate = createGate({ maxConcurrent: 1, patience: 60_000, memory: createMemory(100) })
  const { inside, as } = order()
  const leave = await gate.enter(1, here)
  const waiting = ['a', 'b'].map(name => gate.enter(1, here).then(next => {
    as(name)()
    next()
  }))
  t.same(gate.health(), { accepting: true, running: 1 })
  leave()
  leave()
  await Promise.all(waiting)
  t.same(inside, ['a', 'b'])
  t.same(gate.health(), { accepting: true, running: 0 }, 'left twice, it counts once')
})

t.test('who has waited long enough is refused, and who has hung up is forgotten', async t => {
  const gate = createGate({ maxConcurrent: 1, patience: 20, memory: createMemory(100) })
  const leave = await gate.enter(1, here)
  await t.rejects(gate.enter(1, here), busy)
  await t.rejects(gate.enter(1, AbortSignal.abort()), busy)
  const client = new AbortController()
  const gone = t.rejects(gate.enter(1, client.signal), busy)
  client.abort()
  await gone
  leave()
  t.same(gate.health(), { accepting: true, running: 0 })
})

t.test('memory is bounded in sum, and what is larger than all of it goes alone', async t => {
  const gate = createGate({ maxConcurrent: 10, patience: 20, memory: createMemory(100) })
  const half = await gate.enter(50, here)
  await t.rejects(gate.enter(51, here), full)
  t.same(gate.health(), { accepting: true, running: 1 }, 'it has no place either')
  half()
  const huge = await gate.enter(1000, here)
  await t.rejects(gate.enter(1, here), full)
  huge()
  const body = await gate.receive(25, here)
  await t.rejects(gate.receive(1, here), full, 'a quarter for bodies')
  body()
  ;(await gate.receive(1000, here))()
})

t.test('behind one that gives up, those that fit are let in', async t => {
  const gate = createGate({ maxConcurrent: 10, patience: 60_000, memory: createMemory(100) })
  const leave = await gate.enter(60, here)
  const client = new AbortController()
  const large = t.rejects(gate.enter(100, client.signal), full)
  const small = gate.enter(1, here)
  client.abort()
  await large
  ;(await small)()
  leave()
})

t.test('gates share the memory of their process, and none keeps another out', async t => {
  const memory = createMemory(100)
  const [busyGate, other] = [1, 2].map(() => createGate({ maxConcurrent: 10, patience: 60_000, memory }))
  const { inside, as } = order()
  const leave = await busyGate!.enter(80, here)
  const behind = [10, 10].map(bytes => busyGate!.enter(bytes, here).then(next => {
    as('busy')()
    return next
  }))
  const small = await other!.enter(12, here)
  const client = new AbortController()
  const tooMuch = t.rejects(other!.enter(1, client.signal), full, 'all together have no more')
  client.abort()
  await tooMuch
  small()
  t.same(inside, [], 'the last eighth is for those that hold nothing')
  const large = other!.enter(30, here).then(next => {
    as('other')()
    next()
  })
  leave()
  for (const next of await Promise.all(behind)) next()
  await large
  t.same(inside, ['other', 'busy', 'busy'])
})

t.test('what waits behind a gate that closes is let in', async t => {
  const memory = createMemory(100)
  const [closing, other] = [1, 2].map(() => createGate({ maxConcurrent: 10, patience: 60_000, memory }))
  const leave = await other!.enter(50, here)
  const refused = t.rejects(closing!.enter(51, here), /shutting down/)
  await turn()
  const behind = other!.enter(1, here)
  await turn()
  const closed = closing!.close()
  ;(await behind)()
  await refused
  await closed
  leave()
})

t.test('a thousand wait, and no more', async t => {
  const gate = createGate({ maxConcurrent: 1, patience: 60_000, memory: createMemory(100) })
  const leave = await gate.enter(1, here)
  const waiting = Array.from({ length: 1000 }, () => gate.enter(1, new AbortController().signal).then(next => next()))
  await t.rejects(gate.enter(1, here), busy)
  leave()
  await Promise.all(waiting)
})

t.test('a gate that closes refuses those that wait and all others, and waits for those that work', async t => {
  const closing = { code: 'FST_PSM_UNAVAILABLE', statusCode: 503, message: /shutting down/ }
  const gate = createGate({ maxConcurrent: 1, patience: 60_000, memory: createMemory(100) })
  const leave = await gate.enter(1, here)
  const waiting = t.rejects(gate.enter(1, here), closing)
  let closed = false
  const closes = gate.close().then(() => { closed = true })
  await waiting
  await t.rejects(gate.enter(1, here), closing)
  await t.rejects(gate.receive(1, here), closing)
  t.throws(() => gate.check(), closing)
  t.equal(closed, false)
  t.same(gate.health(), { accepting: false, running: 1 })
  leave()
  await closes
  await gate.close()
})
