//! Identifiers of the business: opaque 128-bit values, drawn at the edge and handed in.
//!
//! Two kinds of id never mix by accident: each has a type of its own. Their bits are those of a UUID, so the
//! database and the wire can show them in the usual form without a table of translations.

/// Declares one id type with its documentation.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u128);
    };
}

id! {
    /// One call, from the customer's click to its terminal state (`voice_calls.id`). Media calls the same value a room.
    CallId
}
id! {
    /// One reservation of an agent for a contact (`offers.id`).
    OfferId
}
id! {
    /// One member of the staff (`staff.id`).
    StaffId
}
id! {
    /// One participant's place in a call (`call_legs.id`); it outlives its transport.
    LegId
}
id! {
    /// One stay of a contact in a queue (`call_queue.id`).
    SegmentId
}
id! {
    /// One recording (`recordings.id`).
    RecordingId
}
id! {
    /// One team of staff (`teams.id`).
    TeamId
}

/// The subject of a verified customer token: opaque text of 1 to 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(String);

/// Longest accepted user id in bytes: identity providers stay far below; an index key must not grow without bound.
pub const USER_ID_BYTES_MAX: usize = 128;

impl UserId {
    /// Wraps a subject; `None` when it is empty, longer than [`USER_ID_BYTES_MAX`] or holds control characters.
    pub fn new(subject: impl Into<String>) -> Option<Self> {
        let subject = subject.into();
        let sound = !subject.is_empty() && subject.len() <= USER_ID_BYTES_MAX && !subject.chars().any(char::is_control);
        sound.then_some(Self(subject))
    }

    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_taken_up_to_its_limit_and_not_beyond() {
        assert!(UserId::new("a".repeat(USER_ID_BYTES_MAX)).is_some());
        assert!(UserId::new("a".repeat(USER_ID_BYTES_MAX + 1)).is_none());
        assert!(UserId::new("").is_none());
        assert!(UserId::new("a\nb").is_none());
    }
}
