//! The one writer of business state: PostgreSQL, the router, the timers, the feed of the browsers.
//!
//! Every change is a decision of pure code (`call_model`) that is locked, applied and told in one transaction. The
//! desk pulls media's reports and never makes media wait; with PostgreSQL away calls go on, and the reports are applied
//! afterwards, once, in order, with their true times.
#![forbid(unsafe_code)]

mod after;
mod alerts;
pub mod auth;
mod beside;
mod caller;
mod commands;
mod estimate;
mod facade;
mod gauges;
mod hub;
mod ice;
pub mod limits;
mod live;
mod metrics;
pub mod migrations;
mod nodes;
mod outbox;
mod permissions;
mod pump;
mod queries;
mod queue_views;
mod refusal;
mod router;
mod run;
mod scores;
mod settings;
mod shared;
mod store;
mod timers;
mod tx;
mod types;
mod unsure;
mod views;

pub use caller::{Caller, Created, CustomerVia};
pub use commands::accounts::{Account, MADE_PASSWORD_BYTES, NewAccount, create_account, list_accounts, reset_password};
pub use commands::agent::AWAY_REASON_CHARS_MAX;
pub use commands::contact::REASON_CHARS_MAX;
pub use commands::drain::{DRAIN_S, DRAIN_S_MAX};
pub use commands::once::{IDEMPOTENCY_KEY_CHARS_MAX, IdempotencyKey};
pub use commands::people::{CALLS_MAX, DemoAccount, STAFF_EMAIL_BYTES_MAX, STAFF_NAME_CHARS_MAX};
pub use commands::preflight::{
    PREFLIGHT_BROWSER_CHARS_MAX, PREFLIGHT_KEPT, PREFLIGHT_LINK_LIFE, PREFLIGHT_LINK_USES_MAX,
    PREFLIGHT_NOTE_CHARS_MAX, PREFLIGHT_REPORT_LIFE, PREFLIGHT_STEPS_MAX, PREFLIGHTS_PER_PAGE_MAX, Tester,
};
pub use commands::relay::{RELAY_ID_CHARS_MAX, RELAY_ROWS_MAX};
pub use commands::settings::Known;
pub use commands::start::{CONSENT_VERSION_CHARS_MAX, CUSTOMER_EMAIL_BYTES_MAX, CUSTOMER_NAME_CHARS_MAX};
pub use facade::{DATABASE_SILENT_MAX, Desk, StartFault};
pub use hub::{Audience, HubEvent, HubFeed, LAG_EVENTS_MAX, Missed};
pub use ice::{ExternalTurn, IceConfig};
pub use live::{LIVE_CALLS_MAX, leg_quality};
pub use nodes::NodeStart;
pub use queries::{CallFilter, PAGE_ROWS_MAX, Playback, Readiness, SEARCH_CHARS_MAX};
pub use refusal::{Code, Refused};
pub use settings::{
    ALERT_AFTER_S, ALERT_AFTER_S_MAX, ALERT_AFTER_S_MIN, ALERT_QUIET_MINUTES, ALERT_QUIET_MINUTES_MAX,
    ALERT_QUIET_MINUTES_MIN,
};
pub use shared::{DeskOptions, NodeEpoch, OnUnavailable, Random, Shielding};
pub use tx::{CONNECTIONS_MAX, DeskConfig, Store};
