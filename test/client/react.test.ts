/** The hook, in a component, on the real SDK. */
import { createElement } from 'react'
import { act, create, type ReactTestRenderer } from 'react-test-renderer'
import t from 'tap'
import { rejectionColumns } from '../../lib/client/index.js'
import { useRejections, type RejectionsState } from '../../lib/client/react.js'
import { openClient, sdkMissing } from '../e2e/client.js'

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true })

t.test('a component has the rejections, follows them, and settles them', { skip: await sdkMissing() }, async t => {
  const { Schema, Table, column } = await import('@powersync/node')
  const { database } = await openClient(t, {
    backend: '',
    session: '',
    appSchema: new Schema({ rejections: new Table(rejectionColumns(column)), todos: new Table({ text: column.text }) })
  })
  const note = {
    created_at: '2026-01-01T00:00:00Z',
    error_code: 'INVALID_DATA',
    message: 'no',
    operation_index: 0,
    operations: '[{"op":"PUT","table":"todos","id":"a","data":{"text":"too long"}}]'
  }
  for (const id of ['first', 'second']) {
    await database.execute('INSERT INTO ps_data__rejections (id, data) VALUES (?, ?)', [id, JSON.stringify(note)])
  }

  const seen: RejectionsState[] = []
  let look = () => {}
  /** Waits for the component to show so many, or an error. */
  const until = (isSo: (state: RejectionsState) => boolean) => act(() => new Promise<void>(resolve => {
    look = () => { if (isSo(seen.at(-1)!)) resolve() }
    look()
  }))
  const Inbox = ({ table }: { table?: string }) => {
    seen.push(useRejections(database, { table }))
    look()
    return null
  }
  let rendered!: ReactTestRenderer
  act(() => { rendered = create(createElement(Inbox)) })
  t.match(seen[0], { rejections: [], error: undefined })
  await until(({ rejections }) => rejections.length === 2)
  const { resend, discard } = seen.at(-1)!
  await act(async () => { await resend('first', { text: 'ok' }) })
  await until(({ rejections }) => rejections.length === 1)
  t.match(seen.at(-1)?.rejections, [{ id: 'second' }])
  await act(async () => { await discard('second') })
  await until(({ rejections }) => rejections.length === 0)
  t.match((await database.getAll('SELECT id, text FROM todos')), [{ id: 'a', text: 'ok' }])
  t.equal(seen.at(-1)?.discard, discard, 'its functions stay the same')

  await database.execute('INSERT INTO ps_data__rejections (id, data) VALUES (?, ?)', ['third', JSON.stringify(note)])
  await until(({ rejections }) => rejections.length === 1)
  act(() => rendered.update(createElement(Inbox, { table: 'no_such_table' })))
  t.same(seen.at(-1)?.rejections, [], 'those of another table are gone at once')
  await until(({ error }) => error !== undefined)
  t.match(seen.at(-1), { error: /no such table/ })
  act(() => rendered.unmount())
})
