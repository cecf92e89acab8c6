//! `helpline migrate`: the schema, by the role that owns it.

use std::process::ExitCode;

use desk::migrations;

use crate::Fault;
use crate::cli::Migrate;
use crate::settings::Settings;

/// Carries out or reports.
///
/// # Errors
/// No database configured, or what the database says.
pub(crate) async fn run(settings: &Settings, what: &Migrate) -> Result<ExitCode, Fault> {
    let database = &settings.database;
    let url = database.owner_url.as_ref().or(database.url.as_ref()).ok_or_else(|| {
        Fault::Configuration(
            "no database is configured: set DATABASE_URL; the private database of a first run is migrated by `serve`"
                .to_owned(),
        )
    })?;
    let status = match what {
        Migrate::Up => migrations::migrate(url).await,
        Migrate::Status => migrations::status(url).await,
    };
    let status = status.map_err(Fault::other)?;
    for (number, name) in &status.applied {
        println!("{number:04}  {name}  applied");
    }
    for (number, name) in &status.pending {
        println!("{number:04}  {name}  pending");
    }
    Ok(if status.pending.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
