import Fastify from 'fastify'
import { expect, test } from 'tstyche'
import type { CrudTransaction, DeadLetter, PowerSync, TransactionResult } from '../../index.js'
import type { PublicJwk } from '../keys.js'
import type { DeadLetterSummary, RetryResult } from '../../types/dead-letters.js'
import type { SignedToken } from '../index.js'

const { powersync } = Fastify()

test('a server has the decorator, and each further registration under its name', () => {
  expect(powersync).type.toBeAssignableTo<PowerSync>()
  expect(powersync['reports']).type.toBe<PowerSync | undefined>()
})

test('tokens and keys', async () => {
  expect(await powersync.signToken({ id: 'ann' })).type.toBe<SignedToken>()
  expect(powersync.signToken).type.not.toBeCallableWith({ name: 'ann' })
  expect(powersync.jwks.keys).type.toBe<readonly PublicJwk[]>()
})

test('uploads: what each transaction came to is told by its status', async () => {
  const transaction: CrudTransaction = { operations: [{ op: 'DELETE', table: 'lists', id: '1', index: 0 }] }
  const [result] = await powersync.upload([transaction], { id: 'ann' })
  expect(result).type.toBe<TransactionResult | undefined>()
  if (result?.status === 'fatal_error') expect(result.failed_operation.error_code).type.toBeAssignableTo<string>()
  if (result?.status === 'retryable_error') expect(result.retry_after_ms).type.toBe<number>()
  expect(powersync.upload).type.not.toBeCallableWith(
    [{ operations: [{ op: 'PATCH', table: 'lists', id: '1', index: 0 }] }],
    { id: 'ann' }
  )
})

test('dead letters', async () => {
  expect(await powersync.deadLetters.summaries({ user: 'ann', limit: 10 })).type.toBe<DeadLetterSummary[]>()
  expect<DeadLetterSummary>().type.not.toHaveProperty('operations')
  expect(await powersync.deadLetters.get('3f2a')).type.toBe<DeadLetter | null>()
  expect(
    await powersync.deadLetters.retry('3f2a', { edit: transaction => ({ ...transaction, operations: [] }) })
  ).type.toBe<RetryResult | null>()
})
