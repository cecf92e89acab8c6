//! How ids and instants travel to and from PostgreSQL.

use call_model::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef};
use sqlx::types::time::OffsetDateTime;
use sqlx::{Decode, Encode, Postgres, Type};

/// Microseconds between 1970 and 2000, the epoch of PostgreSQL's binary `timestamptz`.
const EPOCH_2000_US: i64 = 946_684_800_000_000;

/// A `timestamptz` as the business has it. The infinities saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At(pub(crate) Timestamp);

impl Type<Postgres> for At {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for At {
    fn array_type_info() -> PgTypeInfo {
        <OffsetDateTime as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for At {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let us = self.0.0.saturating_sub(EPOCH_2000_US);
        <i64 as Encode<Postgres>>::encode_by_ref(&us, buf)
    }
}

impl Decode<'_, Postgres> for At {
    /// Only the binary form, which prepared statements always use.
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let us = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(At(Timestamp(us.saturating_add(EPOCH_2000_US))))
    }
}

impl From<Timestamp> for At {
    fn from(at: Timestamp) -> Self {
        At(at)
    }
}
