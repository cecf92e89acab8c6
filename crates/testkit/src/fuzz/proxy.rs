//! The header of a proxy in front of a connection.

use turn_relay::core::proxy::{Front, HEADER_BYTES_MAX, look};

/// Any bytes: what is said of them agrees with what was said when fewer of them had come.
///
/// # Panics
/// When a header would take a byte of what follows, or more than its limit; when the answer depends on how it was split.
pub fn proxy(data: &[u8]) {
    let said = look(data);
    let header = match said {
        Front::More => {
            assert!(data.len() < HEADER_BYTES_MAX);
            data.len()
        }
        Front::Whole { len, client } => {
            assert!(len <= data.len().min(HEADER_BYTES_MAX));
            assert!(
                client.is_none_or(|client| !client.ip().is_unspecified() && client.ip() == client.ip().to_canonical())
            );
            assert_eq!(look(&data[..len]), said, "what follows means nothing");
            len
        }
        Front::Wrong(_) => {
            for n in 0..data.len().min(HEADER_BYTES_MAX) {
                assert!(
                    !matches!(look(&data[..n]), Front::Whole { .. }),
                    "whole, and wrong later"
                );
            }
            0
        }
    };
    for n in 0..header {
        assert_eq!(look(&data[..n]), Front::More, "{n} of {header}");
    }
}
