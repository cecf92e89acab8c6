//! Instants on the wire: RFC 3339, UTC, milliseconds.

use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};
use call_model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};

/// An instant as text, for example `2026-11-24T10:02:03.456Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    test,
    derive(ts_rs::TS),
    ts(export, export_to = "../../../web/shared/gen/", type = "string")
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
pub struct Time(#[cfg_attr(test, ts(type = "string"))] pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole milliseconds: a browser's Date holds no more.
        let nanos = i128::from(self.0.0.div_euclid(1_000)) * 1_000_000;
        let text = OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .map_err(S::Error::custom)?
            .format(&Rfc3339)
            .map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)?;
        let micros = i64::try_from(at.unix_timestamp_nanos() / 1_000).map_err(D::Error::custom)?;
        Ok(Time(Timestamp(micros)))
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Time(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_travels_as_utc_text_with_milliseconds() {
        let at = Time(Timestamp(1_795_514_523_456_789));
        let text = serde_json::to_string(&at).unwrap();
        assert!(text.ends_with(".456Z\""), "{text}");
        let back: Time = serde_json::from_str(&text).unwrap();
        assert_eq!(back.0.0, 1_795_514_523_456_000);
    }
}
