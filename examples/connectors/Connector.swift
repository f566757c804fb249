// Connects the PowerSync SDK for Swift to fastify-powersync-mongo.
//
// Written against PowerSync 1.14 (opDataTyped). Not compiled and not run by this package's tests: read it before you use it.
//
//     try await database.connect(connector: Connector(url: "https://app.example.com/powersync") {
//         "Bearer \(session.accessToken)"
//     })
import Foundation
import PowerSync

/// `url` is the server's with the plugin's prefix; `authorization` gives what the app itself signs in with.
final class Connector: PowerSyncBackendConnectorProtocol {
    private let url: String
    private let authorization: @Sendable () async throws -> String
    private let tokens = Tokens()

    init(url: String, authorization: @escaping @Sendable () async throws -> String) {
        self.url = url
        self.authorization = authorization
    }

    func fetchCredentials() async throws -> PowerSyncCredentials? {
        let (status, body) = try await send("token", authorization: authorization())
        if status == 401 { return nil } // nobody is signed in
        guard status == 200 else { throw ConnectorError.status(status) }
        let answer = try JSONDecoder().decode(TokenAnswer.self, from: body)
        await tokens.set(answer.token)
        return PowerSyncCredentials(endpoint: answer.powersync_url, token: answer.token)
    }

    /// Whatever fails here is tried again by the SDK, with the same transaction at the head of the queue.
    func uploadData(database: PowerSyncDatabaseProtocol) async throws {
        guard let transaction = try await database.getNextCrudTransaction() else { return }
        if await tokens.current == nil { _ = try await fetchCredentials() }
        guard let token = await tokens.current else { throw ConnectorError.status(401) }
        // With op_id, what the server knows a repeated operation by.
        let clientId = try await database.get(sql: "SELECT powersync_client_id()", parameters: []) { cursor in
            try cursor.getString(index: 0)
        }
        let upload = Upload(client_id: clientId, transactions: [
            .init(transaction_id: transaction.transactionId, crud: transaction.crud.map(Upload.Operation.init))
        ])
        let (status, body) = try await send("upload", authorization: "Bearer \(token)", body: JSONEncoder().encode(upload))
        if status == 401 { await tokens.set(nil) }
        guard status == 200 else { throw ConnectorError.status(status) }
        guard let result = try JSONDecoder().decode(UploadAnswer.self, from: body).results.first else { throw ConnectorError.notStored("nothing") }
        switch result.status {
        case "success": break
        case "fatal_error" where result.requires_client_handling == false:
            // The server keeps it as a dead letter: this is the place to tell the user.
            print("rejected: \(result.failed_operation?.error_code ?? "")")
        default: throw ConnectorError.notStored(result.status)
        }
        try await transaction.complete()
    }

    private func send(_ path: String, authorization: String, body: Data? = nil) async throws -> (Int, Data) {
        var request = URLRequest(url: URL(string: "\(url)/\(path)")!)
        request.timeoutInterval = 30 // above the server's own deadline of 20 s
        request.setValue(authorization, forHTTPHeaderField: "authorization")
        if let body {
            request.httpMethod = "POST"
            request.httpBody = body
            request.setValue("application/json", forHTTPHeaderField: "content-type")
        }
        let (data, response) = try await URLSession.shared.data(for: request)
        return ((response as? HTTPURLResponse)?.statusCode ?? 0, data)
    }
}

enum ConnectorError: Error {
    case status(Int)
    /// The server could not store the transaction now, or leaves it to the app (`upload.requiresClientHandling`).
    case notStored(String)
}

private actor Tokens {
    private(set) var current: String?
    func set(_ token: String?) { current = token }
}

private struct TokenAnswer: Decodable { let token: String, powersync_url: String }

private struct UploadAnswer: Decodable {
    struct Failed: Decodable { let error_code: String }
    struct Result: Decodable { let status: String, requires_client_handling: Bool?, failed_operation: Failed? }
    let results: [Result]
}

private struct Upload: Encodable {
    struct Transaction: Encodable { let transaction_id: Int64?, crud: [Operation] }
    struct Operation: Encodable {
        let op_id: Int64, op: UpdateType, type: String, id: String
        let data: JsonParam?, old: JsonParam?, metadata: String?

        init(_ entry: CrudEntry) {
            op_id = entry.clientId
            op = entry.op
            type = entry.table
            id = entry.id
            // Not opData and previousValues, in which every value is text.
            data = entry.opDataTyped
            old = entry.previousValuesTyped
            metadata = entry.metadata
        }
    }

    let client_id: String, transactions: [Transaction]
}
