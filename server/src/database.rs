//! The database that a command works on: the configured one, or the private one of the data folder.
//!
//! A private server that `helpline serve` already runs is used as it is; otherwise it is started, and ends with us.

use std::path::PathBuf;

use desk::{DeskConfig, Store, migrations};
use local_postgres::{Cluster, Config, Durability, Error, Running};

use crate::Fault;
use crate::settings::Settings;

/// An opened database, and the private server of it if we run one.
pub(crate) struct Database {
    /// The desk's door to it.
    pub(crate) store: Store,
    cluster: Option<Cluster>,
}

/// How to reach it.
struct Place {
    app_url: String,
    owner_url: String,
    cluster: Option<Cluster>,
}

impl Database {
    /// For `serve`: nobody else may run the private server. The schema of a private database is always brought up to
    /// date, that of a configured one with `migrate`.
    ///
    /// # Errors
    /// What keeps the server from starting, the schema from fitting, or us from connecting.
    pub(crate) async fn open(settings: &Settings, migrate: bool) -> Result<Database, Fault> {
        let place = match configured(settings) {
            Some(place) => place,
            None => own(settings).await.map_err(Fault::other)?,
        };
        let migrate = migrate || place.cluster.is_some();
        Database::connect(place, migrate).await
    }

    /// For commands beside the server.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub(crate) async fn beside(settings: &Settings) -> Result<Database, Fault> {
        let place = match configured(settings) {
            Some(place) => place,
            None => match own(settings).await {
                Ok(place) => place,
                Err(Error::InUse(_)) => {
                    let running = Running::find(&folder(settings)).map_err(Fault::other)?;
                    Place {
                        app_url: running.app_url(),
                        owner_url: running.owner_url(),
                        cluster: None,
                    }
                }
                Err(fault) => return Err(Fault::other(fault)),
            },
        };
        let migrate = place.cluster.is_some();
        Database::connect(place, migrate).await
    }

    async fn connect(place: Place, migrate: bool) -> Result<Database, Fault> {
        if migrate {
            let status = migrations::migrate(&place.owner_url).await.map_err(Fault::other)?;
            tracing::info!(migrations = status.applied.len(), "the schema is up to date");
        }
        let config = DeskConfig {
            database_url: place.app_url,
        };
        Ok(Database {
            store: Store::connect(&config).await.map_err(Fault::other)?,
            cluster: place.cluster,
        })
    }

    /// Closes the connections, then stops the private server.
    pub(crate) async fn close(self) {
        self.store.close().await;
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}

fn folder(settings: &Settings) -> PathBuf {
    settings.data_dir.join("postgres")
}

fn configured(settings: &Settings) -> Option<Place> {
    let url = settings.database.url.as_ref()?;
    Some(Place {
        app_url: url.clone(),
        owner_url: settings.database.owner_url.as_ref().unwrap_or(url).clone(),
        cluster: None,
    })
}

async fn own(settings: &Settings) -> Result<Place, Error> {
    let folder = folder(settings);
    tracing::info!(folder = %folder.display(), "no DATABASE_URL: a private PostgreSQL");
    let config = Config {
        folder,
        durability: Durability::Kept,
    };
    let cluster = Cluster::start(config).await?;
    Ok(Place {
        app_url: cluster.app_url(),
        owner_url: cluster.owner_url(),
        cluster: Some(cluster),
    })
}
