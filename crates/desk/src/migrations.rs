//! The schema's history, embedded: forward only, and refused when the database is ahead of this program.
//!
//! Invariant: a released file never changes; sqlx compares its checksum with what was applied.

use std::collections::HashMap;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, SqlStr};

/// Where the list of applied migrations lives; `public` keeps only the names that the integration guide knows.
const TABLE: &str = "helpline._sqlx_migrations";

/// Number, name and text of every migration.
const FILES: &[(i64, &str, &str)] = &[
    (1, "roles", include_str!("../../../migrations/0001_roles.sql")),
    (2, "staff", include_str!("../../../migrations/0002_staff.sql")),
    (3, "calls", include_str!("../../../migrations/0003_calls.sql")),
    (4, "recordings", include_str!("../../../migrations/0004_recordings.sql")),
    (5, "operations", include_str!("../../../migrations/0005_operations.sql")),
    (6, "policies", include_str!("../../../migrations/0006_policies.sql")),
    (
        7,
        "third_parties",
        include_str!("../../../migrations/0007_third_parties.sql"),
    ),
    (9, "heard", include_str!("../../../migrations/0009_heard.sql")),
    (
        10,
        "preflights",
        include_str!("../../../migrations/0010_preflights.sql"),
    ),
    (11, "leg_path", include_str!("../../../migrations/0011_leg_path.sql")),
    (
        13,
        "quality_alerts",
        include_str!("../../../migrations/0013_quality_alerts.sql"),
    ),
    (
        16,
        "recording_voices",
        include_str!("../../../migrations/0016_recording_voices.sql"),
    ),
    (
        17,
        "interval_reasons",
        include_str!("../../../migrations/0017_interval_reasons.sql"),
    ),
    (18, "shield", include_str!("../../../migrations/0018_shield.sql")),
    (19, "self_mute", include_str!("../../../migrations/0019_self_mute.sql")),
];

/// Number of the newest migration of this program: the schema that it works with.
#[must_use]
pub fn newest() -> i64 {
    FILES.iter().map(|&(number, ..)| number).max().unwrap_or(0)
}

/// How the database stands to this program's migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Numbers and names of what is applied.
    pub applied: Vec<(i64, String)>,
    /// Numbers and names of what is still to come.
    pub pending: Vec<(i64, String)>,
}

/// Why the schema cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A newer Helpline has been here.
    #[error("the database has migration {0}, which this version does not know: it belongs to a newer Helpline")]
    FromTheFuture(i64),
    /// A migration stopped half way.
    #[error("migration {0} is only partly applied; restore the database or finish it by hand")]
    Dirty(i64),
    /// A migration was changed after it was applied.
    #[error("migration {0} differs from the one that was applied")]
    Changed(i64),
    /// `serve` does not migrate a database that it did not make.
    #[error("{0} migrations are not applied yet; run `helpline migrate up`, or `serve` with --auto-migrate")]
    Pending(usize),
    /// The database failed.
    #[error("the database failed while looking at its migrations: {0}")]
    Database(#[source] sqlx::Error),
    /// A migration failed and was rolled back.
    #[error("migration {number} failed and was rolled back: {source}")]
    Failed {
        /// Which one.
        number: i64,
        /// Why.
        source: sqlx::Error,
    },
}

/// The migrations of this program.
fn migrator() -> Migrator {
    let migrations = FILES
        .iter()
        .map(|&(number, name, text)| {
            Migration::new(
                number,
                name.into(),
                MigrationType::Simple,
                SqlStr::from_static(text),
                false,
            )
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.create_schema("helpline");
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Applies what is missing, as the role that owns the schema.
///
/// # Errors
/// See [`Fault`]; each migration is one transaction, so a failed one leaves nothing behind.
pub async fn migrate(owner_url: &str) -> Result<Status, Fault> {
    let mut conn = options(owner_url)?.connect().await.map_err(Fault::Database)?;
    migrator().run_direct(None, &mut conn, false).await.map_err(fault)?;
    let status = status_of(&mut conn).await?;
    // A later reader needs to see how far the schema is, without being its owner.
    sqlx::raw_sql("grant select on helpline._sqlx_migrations to app_desk")
        .execute(&mut conn)
        .await
        .map_err(Fault::Database)?;
    conn.close().await.map_err(Fault::Database)?;
    Ok(status)
}

/// What is applied and what is not, without changing anything but an empty list of migrations.
///
/// # Errors
/// `FromTheFuture`, `Dirty`, `Changed`, `Database`.
pub async fn status(owner_url: &str) -> Result<Status, Fault> {
    let mut conn = options(owner_url)?.connect().await.map_err(Fault::Database)?;
    let exists: bool = sqlx::query_scalar(TABLE_EXISTS)
        .fetch_one(&mut conn)
        .await
        .map_err(Fault::Database)?;
    if exists {
        status_of(&mut conn).await
    } else {
        Ok(compare(&HashMap::new())?)
    }
}

/// Whether the list of migrations is there.
const TABLE_EXISTS: &str = "select exists (select from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'helpline' and c.relname = '_sqlx_migrations')";

/// Checks, as the program's own role, that the schema is exactly the one this program was written for.
pub(crate) async fn check(conn: &mut sqlx::PgConnection) -> Result<(), Fault> {
    let exists: bool = sqlx::query_scalar(TABLE_EXISTS)
        .fetch_one(&mut *conn)
        .await
        .map_err(Fault::Database)?;
    if !exists {
        return Err(Fault::Pending(FILES.len()));
    }
    let mut tx = conn.begin().await.map_err(Fault::Database)?;
    sqlx::query("select set_config('role', 'app_desk', true)")
        .execute(&mut *tx)
        .await
        .map_err(Fault::Database)?;
    let status = status_of(&mut tx).await?;
    tx.rollback().await.map_err(Fault::Database)?;
    if status.pending.is_empty() {
        Ok(())
    } else {
        Err(Fault::Pending(status.pending.len()))
    }
}

async fn status_of(conn: &mut sqlx::PgConnection) -> Result<Status, Fault> {
    if let Some(number) = conn.dirty_version(TABLE).await.map_err(fault)? {
        return Err(Fault::Dirty(number));
    }
    let applied = conn.list_applied_migrations(TABLE).await.map_err(fault)?;
    compare(
        &applied
            .into_iter()
            .map(|m| (m.version, m.checksum.into_owned()))
            .collect(),
    )
}

/// Sets what is applied against what we have.
fn compare(applied: &HashMap<i64, Vec<u8>>) -> Result<Status, Fault> {
    let ours = migrator();
    if let Some(&number) = applied.keys().filter(|number| !ours.version_exists(**number)).max() {
        return Err(Fault::FromTheFuture(number));
    }
    let mut status = Status {
        applied: Vec::new(),
        pending: Vec::new(),
    };
    for migration in ours.iter() {
        let entry = (migration.version, migration.description.clone().into_owned());
        match applied.get(&migration.version) {
            Some(checksum) if *checksum != *migration.checksum => return Err(Fault::Changed(migration.version)),
            Some(_) => status.applied.push(entry),
            None => status.pending.push(entry),
        }
    }
    Ok(status)
}

fn options(url: &str) -> Result<PgConnectOptions, Fault> {
    Ok(url
        .parse::<PgConnectOptions>()
        .map_err(Fault::Database)?
        .disable_statement_logging())
}

fn fault(error: MigrateError) -> Fault {
    match error {
        MigrateError::VersionMissing(number) => Fault::FromTheFuture(number),
        MigrateError::Dirty(number) => Fault::Dirty(number),
        MigrateError::VersionMismatch(number) => Fault::Changed(number),
        MigrateError::ExecuteMigration(source, number) => Fault::Failed { number, source },
        MigrateError::Execute(source) => Fault::Database(source),
        other => Fault::Database(sqlx::Error::Protocol(other.to_string())),
    }
}
