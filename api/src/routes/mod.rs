//! The routes, a file per subject. A handler extracts, asks the desk and converts; it decides nothing.

pub(crate) mod auth;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod health;
pub(crate) mod offers;
pub(crate) mod recordings;
pub(crate) mod rtc;
pub(crate) mod staff;

use axum::Json;

use crate::problem::Failure;

/// What most handlers return.
pub(crate) type Reply<T> = Result<Json<T>, Failure>;
