//! Every message that crosses a process or browser border, and nothing else.
//!
//! Plain data with serde; no decision is made here. The TypeScript types of the web side are generated from these
//! definitions by a test, so the two cannot drift apart. JSON is camelCase; ids are UUID text; instants are RFC 3339 in UTC.
#![forbid(unsafe_code)]

pub mod call;
pub mod leg;
pub mod node;
pub mod offer;
pub mod preflight;
pub mod problem;
pub mod quality;
pub mod recording;
pub mod relay;
pub mod settings;
pub mod signal;
pub mod staff;
pub mod time;

pub use time::Time;

/// Derives what every wire type has: serde in camelCase, the OpenAPI schema, and the TypeScript type in tests.
macro_rules! wire {
    ($(#[$meta:meta])* pub struct $($rest:tt)*) => {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(test, derive(ts_rs::TS), ts(export, export_to = "../../../web/shared/gen/"))]
        #[serde(rename_all = "camelCase")]
        $(#[$meta])*
        pub struct $($rest)*
    };
    ($(#[$meta:meta])* pub enum $($rest:tt)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(test, derive(ts_rs::TS), ts(export, export_to = "../../../web/shared/gen/"))]
        #[serde(rename_all = "snake_case")]
        pub enum $($rest)*
    };
}
pub(crate) use wire;
