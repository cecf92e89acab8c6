//! Text of a WebSocket and bodies of the API: JSON of strangers, read into the types that the product reads.

use serde::de::DeserializeOwned;
use wire::call::CallStart;
use wire::leg::{LegCandidate, LegOffer};
use wire::signal::{ClientMessage, Hello};
use wire::staff::PresenceSet;

/// One message: what is read once reads the same again, and its data either fit a type or do not.
///
/// # Panics
/// When a message changes by being written and read again.
pub fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    typed::<CallStart>(text);
    typed::<PresenceSet>(text);
    let Ok(message) = serde_json::from_str::<ClientMessage>(text) else {
        return;
    };
    let written = serde_json::to_string(&message).expect("plain data can be written");
    let again: ClientMessage = serde_json::from_str(&written).expect("what was written can be read");
    // Not the data: the last digit of a decimal fraction may change on the way.
    assert_eq!(
        (again.v, &again.id, &again.kind),
        (message.v, &message.id, &message.kind)
    );
    let inner = message.data.to_string();
    typed::<Hello>(&inner);
    typed::<CallStart>(&inner);
    typed::<LegOffer>(&inner);
    typed::<LegCandidate>(&inner);
    typed::<PresenceSet>(&inner);
}

fn typed<T: DeserializeOwned>(text: &str) {
    // Either answer is right; only a panic or an endless descent would not be.
    let _ = serde_json::from_str::<T>(text);
}
