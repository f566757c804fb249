/** `fastify-powersync-mongo/client`: runs in browsers, Node.js and React Native, and needs nothing but `fetch`. */
export { createConnector } from './connector.js'
export { createRejections, rejectionColumns } from './rejections.js'
export { createValidators } from './validate.js'
export { ConnectorError } from './errors.js'
export type {
  Correction, LocalTransaction, RejectedOperation, Rejection, Rejections, RejectionsDatabase, RejectionsOptions
} from '../../types/rejections.js'
export type {
  ClientDatabase, ClientOperation, ClientTransaction, Connector, ConnectorErrorCode, ConnectorErrorDetails,
  ConnectorOptions, Credentials, FatalDecision, Fetch, FetchedAnswer, RejectedTransaction, RequestHeaders
} from '../../types/client.js'
export type { FailedOperation, OperationErrorCode } from '../../types/results.js'
export type { OperationToCheck, TableDescription, Verdict } from '../../types/validators.js'
