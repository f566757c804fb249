// Connects the PowerSync SDK for .NET to fastify-powersync-mongo.
//
// Written against PowerSync.Common as of 2026-08. Not compiled and not run by this package's tests: read it before you use it.
//
//     await database.Connect(new Connector("https://app.example.com/powersync", () => $"Bearer {session.AccessToken}"));
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;
using PowerSync.Common.Client;
using PowerSync.Common.Client.Connection;
using PowerSync.Common.DB.Crud;

/// <param name="url">the server's URL with the plugin's prefix</param>
/// <param name="authorization">what the app itself signs in with</param>
public class Connector(string url, Func<string> authorization) : IPowerSyncBackendConnector
{
    // Above the server's own deadline of 20 s.
    private readonly HttpClient http = new() { Timeout = TimeSpan.FromSeconds(30) };
    private string? token;

    public async Task<PowerSyncCredentials?> FetchCredentials()
    {
        var (status, answer) = await Send(HttpMethod.Get, "token", authorization());
        if (status == HttpStatusCode.Unauthorized) return null; // nobody is signed in
        if (status != HttpStatusCode.OK) throw new Exception($"GET /token: {status}");
        token = (string)answer["token"]!;
        return new PowerSyncCredentials((string)answer["powersync_url"]!, token);
    }

    /// <summary>Whatever fails here is tried again by the SDK, with the same transaction at the head of the queue.</summary>
    public async Task UploadData(IPowerSyncDatabase database)
    {
        var transaction = await database.GetNextCrudTransaction();
        if (transaction == null) return;
        if (token == null) await FetchCredentials();
        if (token == null) throw new Exception("Nobody is signed in");
        var upload = new JObject
        {
            // With op_id, what the server knows a repeated operation by.
            ["client_id"] = await database.GetClientId(),
            ["transactions"] = new JArray(new JObject
            {
                ["transaction_id"] = transaction.TransactionId,
                ["crud"] = new JArray(transaction.Crud.Select(ToWire)),
            }),
        };
        var (status, answer) = await Send(HttpMethod.Post, "upload", $"Bearer {token}", upload);
        if (status == HttpStatusCode.Unauthorized) token = null;
        if (status != HttpStatusCode.OK) throw new Exception($"POST /upload: {status}");
        var result = answer["results"]!.Single();
        switch ((string)result["status"]!)
        {
            case "success": break;
            case "fatal_error" when !(bool)result["requires_client_handling"]!:
                // The server keeps it as a dead letter: this is the place to tell the user.
                Console.WriteLine($"rejected: {result["failed_operation"]!["error_code"]}");
                break;
            case var outcome: throw new Exception($"The server answered {outcome}");
        }
        await transaction.Complete();
    }

    private async Task<(HttpStatusCode, JObject)> Send(HttpMethod method, string path, string authorization, JObject? body = null)
    {
        using var request = new HttpRequestMessage(method, $"{url}/{path}");
        request.Headers.Authorization = AuthenticationHeaderValue.Parse(authorization);
        if (body != null) request.Content = new StringContent(body.ToString(Formatting.None), Encoding.UTF8, "application/json");
        using var response = await http.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        return (response.StatusCode, response.IsSuccessStatusCode ? JObject.Parse(text) : new JObject());
    }

    // By hand: the SDK's own CrudEntry would be written with capitals, and its operation as a number.
    private static JObject ToWire(CrudEntry entry) => new()
    {
        ["op_id"] = entry.ClientId,
        ["op"] = entry.Op.ToString(),
        ["type"] = entry.Table,
        ["id"] = entry.Id,
        ["data"] = entry.OpData == null ? null : JObject.FromObject(entry.OpData),
        ["old"] = entry.PreviousValues == null ? null : JObject.FromObject(entry.PreviousValues),
        ["metadata"] = entry.Metadata,
    };
}
