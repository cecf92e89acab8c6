//! A private PostgreSQL cluster for a first run and for tests.
//!
//! `helpline serve` without a `DATABASE_URL` keeps one below its data folder; the tests keep one per process and
//! clone a fresh database from a migrated template for each test. The server never runs as root, never listens on
//! TCP, and never outlives the process that started it for longer than a shutdown takes: a small watchdog shell
//! holds the other end of a pipe and stops the server when that pipe closes, `kill -9` included.
//!
//! Invariant: at most one process uses a cluster folder at a time (an advisory lock on its `lock` file), so whatever
//! is still running below it when that lock has been taken is an orphan and may be stopped.
#![forbid(unsafe_code)]

mod account;
mod binaries;
mod cluster;
mod error;
mod process;
mod running;
mod server;
pub mod testing;

pub use cluster::{Cluster, Config, Durability};
pub use error::Error;
pub use running::Running;

/// Role that owns the schema and runs migrations.
pub const OWNER_ROLE: &str = "helpline_owner";
/// Role the program logs in as; it has no rights of its own.
pub const APP_ROLE: &str = "helpline_app";
/// The database of a first run.
pub const DATABASE: &str = "helpline";
