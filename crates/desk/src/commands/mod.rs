//! What somebody asks for, or time and media force: each command is one decision in one transaction.
//!
//! Invariant: `apply` is the only place that interprets effects of `call_model`; commands load, authorise and ask it.

pub(crate) mod absent;
pub(crate) mod accounts;
pub(crate) mod again;
pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod consult;
pub(crate) mod contact;
pub(crate) mod drain;
pub(crate) mod heard;
pub(crate) mod hold;
pub(crate) mod modes;
pub(crate) mod mute;
pub(crate) mod offer_step;
pub(crate) mod once;
mod owner;
pub(crate) mod people;
pub(crate) mod preflight;
mod recorder;
pub(crate) mod relay;
pub(crate) mod rows;
pub(crate) mod settings;
pub(crate) mod shield;
pub(crate) mod start;
pub(crate) mod supervise;
pub(crate) mod takeover;
pub(crate) mod tell;

pub(crate) use apply::{Act, Actor, call_input, offer_input};
