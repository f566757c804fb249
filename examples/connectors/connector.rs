//! Connects the PowerSync SDK for Rust to fastify-powersync-mongo.
//!
//! Compiled against powersync 0.2.0 (features `tokio`, `reqwest`), and run against the server with a lost answer.
//! Needs async-trait, reqwest (feature `json`), serde (feature `derive`) and serde_json. The SDK needs rustc 1.96.
//!
//! ```ignore
//! let server = Server::new("https://app.example.com/powersync", || format!("Bearer {}", session.access_token()));
//! let uploader = Uploader::new(&server, &database);
//! database.connect(SyncOptions::new("https://your-instance.powersync.example", server, uploader)).await;
//! ```
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use powersync::error::PowerSyncError;
use powersync::{Authenticator, CrudTransaction, MutationUploader, PowerSyncDatabase};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// The server, and the token that it gave.
#[derive(Clone)]
pub struct Server {
    url: String,
    authorization: Arc<dyn Fn() -> String + Send + Sync>,
    http: Client,
    token: Arc<Mutex<Option<Arc<String>>>>,
}

impl Server {
    /// `url` ends with the plugin's prefix; `authorization` gives what the app itself signs in with.
    pub fn new(url: &str, authorization: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            authorization: Arc::new(authorization),
            http: Client::new(),
            token: Arc::default(),
        }
    }

    async fn send(request: RequestBuilder) -> Result<Response, PowerSyncError> {
        // Above the server's own deadline of 20 s.
        Ok(request.timeout(std::time::Duration::from_secs(30)).send().await?)
    }

    /// The token that is known, until somebody refuses it.
    async fn token(&self) -> Result<Arc<String>, PowerSyncError> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
        }
        if let Some(token) = self.token.lock().unwrap().clone() {
            return Ok(token);
        }
        let request = self.http.get(format!("{}/token", self.url)).header("authorization", (self.authorization)());
        let answer: Answer = Self::send(request).await?.error_for_status()?.json().await?;
        let token = Arc::new(answer.token);
        *self.token.lock().unwrap() = Some(token.clone());
        Ok(token)
    }
}

#[async_trait]
impl Authenticator for Server {
    async fn resolve_credentials(&self) -> Result<Arc<String>, PowerSyncError> {
        self.token().await
    }

    fn invalidate_credentials(&self) {
        *self.token.lock().unwrap() = None;
    }
}

/// Uploads one client transaction after the other.
pub struct Uploader {
    server: Server,
    database: PowerSyncDatabase,
}

/// Of one transaction.
#[derive(Debug, Deserialize)]
struct Outcome {
    status: String,
    #[serde(default)]
    requires_client_handling: bool,
    #[serde(default)]
    failed_operation: Value,
}

impl Uploader {
    pub fn new(server: &Server, database: &PowerSyncDatabase) -> Self {
        Self { server: server.clone(), database: database.clone() }
    }

    async fn post(&self, transaction: &CrudTransaction<'_>) -> Result<Outcome, PowerSyncError> {
        #[derive(Deserialize)]
        struct Answer {
            results: [Outcome; 1],
        }
        let request = self
            .server
            .http
            .post(format!("{}/upload", self.server.url))
            .bearer_auth(self.server.token().await?)
            .json(&json!({ "client_id": self.client_id().await?, "transactions": [to_wire(transaction)] }));
        let response = Server::send(request).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.server.invalidate_credentials();
        }
        let Answer { results: [outcome] } = response.error_for_status()?.json().await?;
        Ok(outcome)
    }

    /// Names this client database: with `op_id`, what the server knows a repeated operation by.
    async fn client_id(&self) -> Result<String, PowerSyncError> {
        let reader = self.database.reader().await?;
        Ok(reader.query_row("SELECT powersync_client_id()", [], |row| row.get(0))?)
    }
}

#[async_trait]
impl MutationUploader for Uploader {
    /// Whatever fails here is tried again by the SDK, with the same transaction at the head of the queue.
    async fn upload(&self) -> Result<(), PowerSyncError> {
        while let Some(transaction) = self.database.next_crud_transaction().await? {
            let outcome = self.post(&transaction).await?;
            match outcome.status.as_str() {
                "success" => {}
                // The server keeps it as a dead letter: this is the place to tell the user.
                "fatal_error" if !outcome.requires_client_handling => eprintln!("rejected: {}", outcome.failed_operation["error_code"]),
                _ => return Err(PowerSyncError::upload_error(NotStored(outcome.status))),
            }
            transaction.complete().await?;
        }
        Ok(())
    }
}

fn to_wire(transaction: &CrudTransaction) -> Value {
    let crud: Vec<Value> = transaction
        .crud
        .iter()
        .map(|entry| {
            json!({
                "op_id": entry.client_id,
                "op": entry.update_type,
                "type": entry.table,
                "id": entry.id,
                "data": entry.data,
                "old": entry.previous_values,
                "metadata": entry.metadata,
            })
        })
        .collect();
    json!({ "transaction_id": transaction.id, "crud": crud })
}

/// The server could not store the transaction now, or leaves it to the app (`upload.requiresClientHandling`).
#[derive(Debug)]
struct NotStored(String);

impl std::fmt::Display for NotStored {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the server answered {}", self.0)
    }
}

impl std::error::Error for NotStored {}
