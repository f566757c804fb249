/** This package's server, and the PowerSync Service, stop and start again while clients write. */
import { exec } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import t from 'tap'
import { inSync, insert, restartCommand, rows, startServer, twoDevices, until, type Device } from './set-up.js'

async function names (device: Device): Promise<unknown[]> {
  const named = await rows(device, 'SELECT name FROM string_ids WHERE name IS NOT NULL ORDER BY name')
  return named.map(({ name }) => name)
}

async function write (device: Device, user: string, name: string): Promise<void> {
  await insert(device, 'string_ids', { id: randomUUID(), owner_id: user, name })
}

t.test('the server stops and starts again: devices write meanwhile', async t => {
  const first = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  await write(a, user, '1 before')
  await a.drained()
  await inSync(first, user, a, b)

  await first.close()
  await write(a, user, '2 A meanwhile')
  await write(b, user, '3 B meanwhile')
  const failing = ({ database }: Device) => database.currentStatus.uploadError !== undefined
  await until('both devices know that their uploads fail', () => failing(a) && failing(b))
  t.strictSame(await names(a), ['1 before', '2 A meanwhile'], 'A has its own')
  t.strictSame(await names(b), ['1 before', '3 B meanwhile'], 'B has its own')

  const second = await startServer(t)
  await Promise.all([a.drained(), b.drained()])
  await inSync(second, user, a, b)
  const all = ['1 before', '2 A meanwhile', '3 B meanwhile']
  t.strictSame([await names(a), await names(b)], [all, all], 'both have all')
  t.strictSame([a.rejections, b.rejections], [[], []])
})

const skip = restartCommand === undefined && 'needs a command that restarts the PowerSync Service (POWERSYNC_RESTART)'

t.test('the service stops and starts again: uploads go on, and all arrives afterwards', { skip }, async t => {
  const app = await startServer(t)
  const { user, a, b } = await twoDevices(t)
  await write(a, user, '1 before')
  await a.drained()
  await inSync(app, user, a, b)

  let offline = false
  a.database.registerListener({ statusChanged: ({ connected }) => { offline ||= !connected } })
  const restart = promisify(exec)(restartCommand!)
  await until('A has lost its connection', () => offline)
  await write(a, user, '2 A meanwhile')
  await write(b, user, '3 B meanwhile')
  await a.database.execute("UPDATE string_ids SET name = '1 changed meanwhile' WHERE name = '1 before'")
  await Promise.all([restart, a.drained(), b.drained()])
  await inSync(app, user, a, b)
  const all = ['1 changed meanwhile', '2 A meanwhile', '3 B meanwhile']
  t.strictSame([await names(a), await names(b)], [all, all], 'both have all')
  t.strictSame([a.rejections, b.rejections], [[], []])
})
