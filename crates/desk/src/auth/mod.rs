//! Who is it: tokens of customers, sessions and passwords of staff, service keys, tickets.
//!
//! Never decides what somebody may do; it says who he is, or `unauthenticated`, and never why a credential was refused.

pub mod customers;
pub mod demo;
pub mod jwks;
pub mod jws;
pub mod passwords;
pub mod service_keys;
mod sessions;
pub mod tickets;
pub mod token;

pub(crate) use sessions::refused as password_refused;
pub(crate) use sessions::staff_changed;
pub use sessions::{Auth, AuthConfig, SESSION_IDLE, SESSION_LIFE, SESSIONS_KEPT_MAX, STAFF_CHANGED, Seen};

/// Where a request really comes from. Whoever knows the proxies before us finds it out and lets it travel with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub std::net::IpAddr);
