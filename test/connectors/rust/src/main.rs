//! A client with one transaction to upload, by the connector of examples/connectors: ends when its queue is empty.
#[path = "../../../../examples/connectors/connector.rs"]
mod connector;

use connector::{Server, Uploader};
use powersync::env::PowerSyncEnvironment;
use powersync::schema::{Column, Schema, Table};
use powersync::{ConnectionPool, PowerSyncDatabase, SyncOptions};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: connector URL")?;
    PowerSyncEnvironment::powersync_auto_extension()?;
    let pool = ConnectionPool::single_connection(rusqlite::Connection::open_in_memory()?);
    let environment = PowerSyncEnvironment::custom(reqwest::Client::new(), pool, PowerSyncEnvironment::tokio());
    let mut schema = Schema::default();
    schema.tables.push(Table::create(
        "products",
        vec![Column::text("name"), Column::integer("stock")],
        |table| table.options.track_previous_values = Some(powersync::schema::TrackPreviousValues::all()),
    ));
    let database = PowerSyncDatabase::new(environment, schema);

    let server = Server::new(&url, || "Session rust".to_owned());
    let mut options = SyncOptions::upload_only(Uploader::new(&server, &database));
    options.with_retry_delay(Duration::from_millis(100));
    {
        let writer = database.writer().await?;
        writer.execute("INSERT INTO products (id, name, stock) VALUES ('p1', 'Äpfel', 10)", [])?;
        writer.execute("UPDATE products SET stock = stock + 5 WHERE id = 'p1'", [])?;
    }
    database.connect(options).await;
    while database.next_crud_transaction().await?.is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    database.disconnect().await;
    println!("done");
    Ok(())
}
