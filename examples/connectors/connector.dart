/// Connects the PowerSync SDK for Dart and Flutter to fastify-powersync-mongo.
///
/// Written against powersync 2.x. Not compiled and not run by this package's tests: read it before you use it.
/// Needs package:http.
///
///     await database.connect(connector: Connector('https://app.example.com/powersync', () async => 'Bearer ${session.accessToken}'));
library;

import 'dart:convert';

import 'package:http/http.dart' as http;
import 'package:powersync/powersync.dart';

class Connector extends PowerSyncBackendConnector {
  /// The server's URL with the plugin's prefix.
  final String url;

  /// What the app itself signs in with.
  final Future<String> Function() authorization;

  Connector(this.url, this.authorization);

  /// Above the server's own deadline of 20 s.
  static const _timeout = Duration(seconds: 30);

  @override
  Future<PowerSyncCredentials?> fetchCredentials() async {
    final response = await http.get(Uri.parse('$url/token'), headers: {'authorization': await authorization()}).timeout(_timeout);
    if (response.statusCode == 401) return null; // nobody is signed in
    if (response.statusCode != 200) throw Exception('GET /token: ${response.statusCode}');
    final answer = jsonDecode(response.body) as Map<String, dynamic>;
    return PowerSyncCredentials(endpoint: answer['powersync_url'] as String, token: answer['token'] as String);
  }

  /// Whatever fails here is tried again by the SDK, with the same transaction at the head of the queue.
  @override
  Future<void> uploadData(PowerSyncDatabase database) async {
    final transaction = await database.getNextCrudTransaction();
    if (transaction == null) return;
    final credentials = await getCredentialsCached();
    if (credentials == null) throw Exception('Nobody is signed in');
    final response = await http
        .post(Uri.parse('$url/upload'),
            headers: {'authorization': 'Bearer ${credentials.token}', 'content-type': 'application/json'},
            body: jsonEncode({
              // With op_id, which toJson() has, what the server knows a repeated operation by.
              'client_id': await database.getClientId(),
              'transactions': [
                {'transaction_id': transaction.transactionId, 'crud': transaction.crud.map((entry) => entry.toJson()).toList()}
              ]
            }))
        .timeout(_timeout);
    if (response.statusCode == 401) invalidateCredentials();
    if (response.statusCode != 200) throw Exception('POST /upload: ${response.statusCode}');
    final result = (jsonDecode(response.body)['results'] as List).single as Map<String, dynamic>;
    switch (result['status']) {
      case 'success':
        break;
      case 'fatal_error' when result['requires_client_handling'] == false:
        // The server keeps it as a dead letter: this is the place to tell the user.
        print('rejected: ${result['failed_operation']['error_code']}');
      default:
        throw Exception('The server answered ${result['status']}');
    }
    await transaction.complete();
  }
}
