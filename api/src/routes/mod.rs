//! The routes, a file per subject. A handler extracts, asks the desk and converts; it decides nothing.

pub(crate) mod auth;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod health;
pub(crate) mod node;
pub(crate) mod offers;
pub(crate) mod preflight;
pub(crate) mod recordings;
pub(crate) mod relay;
pub(crate) mod rtc;
pub(crate) mod settings;
pub(crate) mod staff;
pub(crate) mod whip;

use axum::Json;

use crate::problem::Failure;

/// The header of a request that is to have one effect, as the description has it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by `caller::Key`; this one only describes it")]
pub(crate) struct IdempotencyParam {
    /// 1 to 128 visible ASCII characters. The same request with the same key within 24 hours has no second effect; with
    /// another body it is refused as `idempotency_mismatch`.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 128)]
    idempotency_key: Option<String>,
}

/// What most handlers return.
pub(crate) type Reply<T> = Result<Json<T>, Failure>;
