import type { AbstractPowerSyncDatabase, PowerSyncBackendConnector } from '@powersync/common'
import { expect, test } from 'tstyche'
import {
  ConnectorError, createConnector, type ClientDatabase, type ConnectorErrorCode, type FailedOperation
} from '../../lib/client/index.js'

test('the connector is one that the SDK takes, for a database of the SDK', () => {
  expect(
    createConnector({ url: 'https://app.example.com/powersync' })
  ).type.toBeAssignableTo<PowerSyncBackendConnector>()
  expect<AbstractPowerSyncDatabase>().type.toBeAssignableTo<ClientDatabase>()
})

test('its options', () => {
  createConnector({
    url: 'https://app.example.com/powersync',
    headers: async () => new Headers({ authorization: 'Bearer x' }),
    onFatal: ({ failedOperation, requiresClientHandling }) => {
      expect(failedOperation).type.toBe<FailedOperation>()
      return requiresClientHandling ? 'discard' : undefined
    },
  })
  expect(createConnector).type.toBeCallableWith({ url: '/powersync', headers: () => [['x-key', 'x'] as const] })
  expect(createConnector).type.not.toBeCallableWith({})
  expect(createConnector).type.not.toBeCallableWith({ url: '/powersync', onFatal: () => 'ignore' })
  expect(createConnector).type.not.toBeCallableWith({ url: '/powersync', uploadWith: 'cookie' })
})

test('its errors have a code', () => {
  const error: unknown = undefined
  if (error instanceof ConnectorError) {
    expect(error.code).type.toBe<ConnectorErrorCode>()
    expect(error.status).type.toBe<number | undefined>()
  }
})
