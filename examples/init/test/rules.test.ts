import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { app } from '../app.js'

after(() => app.close())

const row = { name: 'text', owner_id: 'ada' }

test('a user changes rows of their own and no others', async () => {
  await app.ready()
  const id = randomUUID()
  const upload = async (user = '', op = 'PUT') => {
    const { token } = await app.powersync.signToken({ id: user })
    const response = await app.inject({
      method: 'POST',
      url: '/powersync/upload',
      headers: { authorization: `Bearer ${token}` },
      payload: { batch: [{ op, table: 'lists', id, data: row }] }
    })
    return response.json().results[0].status
  }
  assert.equal(await upload('ada'), 'success')
  assert.equal(await upload('bob', 'PATCH'), 'fatal_error')
})
