/** `fastify-powersync-mongo/client`: runs in browsers, Node.js and React Native, and needs nothing but `fetch`. */
export { createConnector } from './connector.js'
export { ConnectorError } from './errors.js'
export type { ConnectorErrorCode } from './errors.js'
export type {
  ClientDatabase, ClientOperation, ClientTransaction, Connector, ConnectorOptions, Credentials, FatalDecision, Fetch,
  PartlyWrittenTransaction, RejectedTransaction, RequestHeaders
} from './types.js'
export type { FailedOperation, OperationErrorCode } from '../../types/results.js'
