//! The private cluster of `serve`: first start, second start, a killed parent, a second claimant, an orphan.

#![cfg(test)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use local_postgres::{Cluster, Config, Durability, Error};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("hl-crash-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn config(&self) -> Config {
        Config {
            folder: self.0.clone(),
            durability: Durability::Kept,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A child process that holds the cluster of `folder`, once it runs, and its connection string.
fn holder(folder: &Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_local-postgres-holder"))
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    (child, url.trim().to_owned())
}

/// Whether this machine can run the test; says so when it cannot.
fn is_there(error: &Error) -> bool {
    let missing = matches!(error, Error::BinariesMissing | Error::NoAccount);
    if missing {
        assert_ne!(env::var("HELPLINE_TEST_REQUIRE").as_deref(), Ok("all"), "{error}");
        eprintln!("skipped: {error}");
    }
    !missing
}

async fn started(folder: &Folder) -> Option<Cluster> {
    match Cluster::start(folder.config()).await {
        Ok(cluster) => Some(cluster),
        Err(error) if !is_there(&error) => None,
        Err(error) => panic!("{error}"),
    }
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(&url.parse::<PgConnectOptions>().unwrap()).await
}

async fn rows(url: &str) -> i64 {
    let mut conn = connect(url).await.unwrap();
    sqlx::query_scalar("select count(*) from kept")
        .fetch_one(&mut conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_cluster_keeps_its_rows_over_a_stop_and_asks_for_passwords() {
    let folder = Folder::new("stop");
    let Some(cluster) = started(&folder).await else { return };
    let mut conn = connect(&cluster.owner_url()).await.unwrap();
    sqlx::raw_sql("create table kept (n int); insert into kept values (1)")
        .execute(&mut conn)
        .await
        .unwrap();
    let fsync: String = sqlx::query_scalar("select current_setting('fsync')")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    let tcp: String = sqlx::query_scalar("select current_setting('listen_addresses')")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert_eq!((fsync.as_str(), tcp.as_str()), ("on", ""));
    let without = cluster.app_url().replace("helpline_app:", "helpline_app:x");
    assert!(connect(&without).await.is_err(), "a wrong password is refused");
    connect(&cluster.app_url()).await.unwrap();
    for (path, mode) in [("passwords", 0o600), ("run", 0o700), ("cluster", 0o700)] {
        let found = fs::metadata(folder.0.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    let url = cluster.owner_url();
    cluster.stop().await;
    assert!(connect(&url).await.is_err(), "stopped with its holder");
    let again = started(&folder).await.unwrap();
    assert_eq!(rows(&again.owner_url()).await, 1);
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused() {
    let folder = Folder::new("second");
    let Some(cluster) = started(&folder).await else { return };
    let error = Cluster::start(folder.config()).await.err().unwrap();
    assert!(matches!(error, Error::InUse(_)), "{error}");
    connect(&cluster.owner_url())
        .await
        .expect("the first one is undisturbed");
}

#[tokio::test]
async fn a_killed_parent_is_succeeded_without_loss() {
    let folder = Folder::new("kill");
    let Some(first) = started(&folder).await else { return };
    first.stop().await;
    for round in 1..=3_i64 {
        let (mut child, url) = holder(&folder.0);
        let mut conn = connect(&url).await.unwrap();
        sqlx::raw_sql("create table if not exists kept (n int); insert into kept values (1)")
            .execute(&mut conn)
            .await
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let next = started(&folder).await.unwrap();
        assert_eq!(rows(&next.owner_url()).await, round);
        next.stop().await;
    }
}

/// Process id of the server of `folder`.
fn server(folder: &Folder) -> u32 {
    let text = fs::read_to_string(folder.0.join("cluster/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// Until the process `pid` is dead and waits to be buried.
async fn wait_for_zombie(pid: u32) {
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let dead = async {
        while !stat().contains(") Z ") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), dead)
        .await
        .expect("a killed server dies");
}

#[tokio::test]
async fn a_power_cut_of_server_and_parent_leaves_a_stale_pid_that_does_no_harm() {
    // Whoever loses its parent becomes ours, and we bury nobody: the killed servers stay zombies with their numbers, as
    // they do for a while under an init that is slow.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let folder = Folder::new("power");
    let Some(first) = started(&folder).await else { return };
    first.stop().await;
    let (mut child, url) = holder(&folder.0);
    let mut conn = connect(&url).await.unwrap();
    sqlx::raw_sql("create table kept (n int); insert into kept values (1)")
        .execute(&mut conn)
        .await
        .unwrap();
    // The next start may find it still dying, or already dead.
    kill(server(&folder));
    child.kill().unwrap();
    child.wait().unwrap();
    let next = started(&folder).await.unwrap();
    assert_eq!(rows(&next.owner_url()).await, 1);
    let pid = server(&folder);
    kill(pid);
    wait_for_zombie(pid).await;
    next.stop().await;
    let after = started(&folder).await.unwrap();
    assert_eq!(rows(&after.owner_url()).await, 1);
    after.stop().await;
    // A number that has become somebody else's (ours): it is not killed and does not block the start.
    let pid_file = folder.0.join("cluster/postmaster.pid");
    fs::write(&pid_file, format!("{}\n", std::process::id())).unwrap();
    let last = started(&folder).await.unwrap();
    assert_eq!(rows(&last.owner_url()).await, 1);
}
