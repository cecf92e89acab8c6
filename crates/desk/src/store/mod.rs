//! All SQL, a file per group of tables, a function per statement.
//!
//! Every statement is a lower-case constant; a test prepares each one it finds in these sources against the migrated
//! schema. No function here decides anything: rows in, rows out.

pub(crate) mod alerts;
pub(crate) mod calls;
pub(crate) mod due;
pub(crate) mod events;
pub(crate) mod heard;
pub(crate) mod hub;
pub(crate) mod idempotency;
pub(crate) mod legs;
pub(crate) mod nodes;
pub(crate) mod offers;
pub(crate) mod preflights;
pub(crate) mod quality;
pub(crate) mod queues;
pub(crate) mod recordings;
pub(crate) mod reports;
pub(crate) mod routing;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod staff;
pub(crate) mod voices;
