//! Holds a private cluster until its standard input closes, and prints its connection string: the process that the
//! crash tests kill. No part of the product.
#![forbid(unsafe_code)]

use std::io::{Read, Write};

use local_postgres::{Cluster, Config, Durability};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("usage: local-postgres-holder FOLDER")?;
    let cluster = Cluster::start(Config {
        folder: folder.into(),
        durability: Durability::Kept,
    })
    .await?;
    writeln!(std::io::stdout(), "{}", cluster.owner_url())?;
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    cluster.stop().await;
    Ok(())
}
