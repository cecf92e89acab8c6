//! Databases for tests: one scratch cluster per process, one fresh database per test, cloned from a template.
//!
//! A machine without PostgreSQL skips such a test and says why; with `HELPLINE_TEST_REQUIRE=all` that is a failure.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tokio::sync::{Mutex, OnceCell};

use crate::{APP_ROLE, Cluster, Config, Durability, Error, OWNER_ROLE};

/// The cluster of this process; it ends and is removed with the process, by its watchdog.
static CLUSTER: OnceCell<Option<Cluster>> = OnceCell::const_new();

/// Names of the templates that are ready; the lock also keeps two tests from preparing the same one.
static TEMPLATES: Mutex<Option<HashMap<String, ()>>> = Mutex::const_new(None);

/// Numbers the databases and clusters of this process.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// One database that belongs to one test.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name in the cluster.
    pub name: String,
    /// Connection string of the program's own role. Tests use this one, or row level security is not tested.
    pub app_url: String,
    /// Connection string of the role that owns the schema.
    pub owner_url: String,
    /// Connection string of the superuser, for looking at what nobody else may see.
    pub superuser_url: String,
}

/// A fresh copy of the template `template`, which `prepare` fills on first use, given the owner's connection string.
///
/// `None`, after a printed reason, when PostgreSQL is not installed.
///
/// # Panics
/// When the cluster cannot be started, or a tool is missing and `HELPLINE_TEST_REQUIRE=all` is set.
pub async fn database<F, P>(template: &str, prepare: F) -> Option<Database>
where
    F: FnOnce(String) -> P,
    P: Future<Output = ()>,
{
    let cluster = CLUSTER.get_or_init(scratch).await.as_ref()?;
    let mut admin = connect(&cluster.superuser_url("postgres")).await;
    {
        let mut ready = TEMPLATES.lock().await;
        let ready = ready.get_or_insert_default();
        if !ready.contains_key(template) {
            create(&mut admin, template, "template1").await;
            prepare(cluster.url(OWNER_ROLE, "", template)).await;
            ready.insert(template.to_owned(), ());
        }
    }
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    create(&mut admin, &name, template).await;
    admin.close().await.expect("the scratch cluster answers");
    Some(Database {
        app_url: cluster.url(APP_ROLE, "", &name),
        owner_url: cluster.url(OWNER_ROLE, "", &name),
        superuser_url: cluster.superuser_url(&name),
        name,
    })
}

/// A scratch cluster of its own, for a test that stops the server. `None` as with [`database`].
pub async fn scratch() -> Option<Cluster> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("hl-pg-{}-{number}", process::id()));
    match Cluster::start(Config {
        folder,
        durability: Durability::Scratch,
    })
    .await
    {
        Ok(cluster) => Some(cluster),
        Err(error @ (Error::BinariesMissing | Error::NoAccount)) => {
            assert!(!is_everything_required(), "HELPLINE_TEST_REQUIRE=all: {error}");
            // A test's own output; there is no log yet.
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("the scratch cluster did not start: {error}"),
    }
}

/// Whether a missing tool is a failure.
fn is_everything_required() -> bool {
    env::var("HELPLINE_TEST_REQUIRE").is_ok_and(|value| value == "all")
}

async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("our own connection string parses");
    options
        .disable_statement_logging()
        .connect()
        .await
        .expect("the scratch cluster answers")
}

async fn create(admin: &mut PgConnection, name: &str, template: &str) {
    let sql = format!("create database {name} owner {OWNER_ROLE} template {template}");
    // Both names are the tests' own.
    admin
        .execute(AssertSqlSafe(sql))
        .await
        .expect("a database can be cloned");
}
