//! The one writer of business state: PostgreSQL, the router, the timers, the feed of the browsers.
//!
//! Every change is a decision of pure code (`call_model`) that is locked, applied and told in one transaction. The
//! desk pulls media's reports and never makes media wait; with PostgreSQL away calls go on, and the reports are applied
//! afterwards, once, in order, with their true times.
#![forbid(unsafe_code)]

mod after;
pub mod migrations;
mod refusal;
mod store;
mod tx;
mod types;

pub use refusal::{Code, Refused};
pub use tx::{CONNECTIONS_MAX, DeskConfig, Store};
