//! Errors on the wire (RFC 9457).

use crate::wire;

wire! {
    /// One wrong field.
    pub struct FieldError {
        /// Path such as `userId`.
        pub field: String,
        /// What is wrong with it.
        pub message: String,
    }
}

wire! {
    /// `application/problem+json`.
    pub struct Problem {
        /// `about:blank` or a page that explains the code.
        #[serde(rename = "type")]
        pub kind: String,
        /// Short sentence.
        pub title: String,
        /// HTTP status.
        pub status: u16,
        /// Stable word a program can act on.
        pub code: String,
        /// One sentence a person can act on.
        #[cfg_attr(test, ts(optional = nullable))]
        #[serde(skip_serializing_if = "Option::is_none")]
        pub detail: Option<String>,
        /// Wrong fields, for `validation`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub errors: Vec<FieldError>,
        /// To find the log lines.
        pub request_id: String,
    }
}
