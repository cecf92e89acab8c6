//! What a datagram is, by its first bytes (RFC 7983 §7, RFC 5761 §4).
//!
//! Never looks behind the second byte: what claims to be RTP may be anything.

/// The protocols that share the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// First byte 0 to 3.
    Stun,
    /// First byte 20 to 63.
    Dtls,
    /// First byte 128 to 191, second not an RTCP type.
    Rtp,
    /// First byte 128 to 191, second 192 to 223.
    Rtcp,
    /// Nothing that belongs here.
    Other,
}

/// Sorts one datagram.
#[inline]
#[must_use]
pub fn protocol(datagram: &[u8]) -> Protocol {
    match datagram {
        [128..=191, 192..=223, ..] => Protocol::Rtcp,
        [128..=191, _, ..] => Protocol::Rtp,
        [0..=3, ..] => Protocol::Stun,
        [20..=63, ..] => Protocol::Dtls,
        _ => Protocol::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_goes_where_rfc_7983_says() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => Protocol::Stun,
                20..=63 => Protocol::Dtls,
                128..=191 => Protocol::Rtp,
                _ => Protocol::Other,
            };
            assert_eq!(protocol(&[first, 0]), expected, "{first}");
        }
        assert_eq!(protocol(&[]), Protocol::Other);
        assert_eq!(protocol(&[128]), Protocol::Other);
    }

    #[test]
    fn a_second_byte_of_192_to_223_is_rtcp() {
        for second in 0..=255u8 {
            let expected = if (192..=223).contains(&second) {
                Protocol::Rtcp
            } else {
                Protocol::Rtp
            };
            assert_eq!(protocol(&[0x80, second]), expected, "{second}");
        }
    }
}
