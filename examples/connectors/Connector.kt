/**
 * Connects the PowerSync SDK for Kotlin to fastify-powersync-mongo.
 *
 * Compiled against com.powersync:core 1.14.1 for the JVM, and not run. Needs kotlinx-serialization-json, and java.net.http,
 * which Android does not have: there, and in Kotlin Multiplatform, send the same requests with Ktor.
 *
 *     database.connect(Connector("https://app.example.com/powersync") { "Bearer ${session.accessToken}" })
 */
import com.powersync.PowerSyncDatabase
import com.powersync.connectors.PowerSyncBackendConnector
import com.powersync.connectors.PowerSyncCredentials
import com.powersync.db.crud.CrudEntry
import com.powersync.db.crud.SqliteRow
import com.powersync.db.getString
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.time.Duration
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.buildJsonArray
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray
import kotlinx.serialization.json.addJsonObject

/**
 * @param url the server's URL with the plugin's prefix
 * @param authorization what the app itself signs in with
 */
class Connector(
    private val url: String,
    private val authorization: suspend () -> String,
) : PowerSyncBackendConnector() {
    private val http = HttpClient.newHttpClient()

    override suspend fun fetchCredentials(): PowerSyncCredentials? {
        val (status, body) = send(request("token", authorization()).GET())
        if (status == 401) return null // nobody is signed in
        check(status == 200) { "GET /token: $status" }
        val credentials = Json.parseToJsonElement(body).jsonObject
        return PowerSyncCredentials(
            endpoint = credentials.getValue("powersync_url").jsonPrimitive.content,
            token = credentials.getValue("token").jsonPrimitive.content,
        )
    }

    /** Whatever fails here is tried again by the SDK, with the same transaction at the head of the queue. */
    override suspend fun uploadData(database: PowerSyncDatabase) {
        val transaction = database.getNextCrudTransaction() ?: return
        val credentials = checkNotNull(getCredentialsCached()) { "Nobody is signed in" }
        // With op_id, what the server knows a repeated operation by.
        val clientId = database.get("SELECT powersync_client_id() AS id") { it.getString("id") }
        val upload = buildJsonObject {
            put("client_id", clientId)
            putJsonArray("transactions") {
                addJsonObject {
                    put("transaction_id", transaction.transactionId)
                    put("crud", buildJsonArray { transaction.crud.forEach { add(toWire(it)) } })
                }
            }
        }
        val (status, body) = send(
            request("upload", "Bearer ${credentials.token}")
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(upload.toString())),
        )
        if (status == 401) invalidateCredentials()
        check(status == 200) { "POST /upload: $status" }
        val result = Json.parseToJsonElement(body).jsonObject.getValue("results").jsonArray.single().jsonObject
        when (val outcome = result.getValue("status").jsonPrimitive.content) {
            "success" -> {}
            "fatal_error" -> {
                check(!result.getValue("requires_client_handling").jsonPrimitive.boolean) { "The server leaves a rejected transaction to the app" }
                // The server keeps it as a dead letter: this is the place to tell the user.
                println("rejected: ${result.getValue("failed_operation").jsonObject["error_code"]}")
            }
            else -> error("The server answered $outcome")
        }
        transaction.complete(null)
    }

    private fun request(path: String, authorization: String): HttpRequest.Builder =
        HttpRequest.newBuilder(URI("${url.trimEnd('/')}/$path"))
            .header("authorization", authorization)
            .timeout(Duration.ofSeconds(30)) // above the server's own deadline of 20 s

    private suspend fun send(request: HttpRequest.Builder): Pair<Int, String> = withContext(Dispatchers.IO) {
        val response = http.send(request.build(), HttpResponse.BodyHandlers.ofString())
        response.statusCode() to response.body()
    }
}

private fun toWire(entry: CrudEntry): JsonObject = buildJsonObject {
    put("op_id", entry.clientId)
    put("op", entry.op.toJson())
    put("type", entry.table)
    put("id", entry.id)
    put("data", valuesOf(entry.opData))
    put("old", valuesOf(entry.previousValues))
    put("metadata", entry.metadata)
}

/** Not opData itself, in which every value is text. */
private fun valuesOf(row: SqliteRow?): JsonElement = row?.jsonValues ?: JsonNull
