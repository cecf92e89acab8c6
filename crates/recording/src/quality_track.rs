//! One second of one direction of one leg as 40 bytes, and back to figures with units.
//!
//! Never holds a name or address. Figures that do not fit are clamped, never wrapped.
//!
//! Invariant: a row that was decoded encodes to the same bytes.
//!
//! ```text
//! u16 expected received lost late | u8 rtx red lbrr dup | u16 jitter delay_min delay_mean delay_max (0.1 ms) rtt (ms)
//! u16 payload_bytes | u8 voiced dtx level_mean level_max | u8 mos*50 R burst% gap% | u16 flags | u8 path restarts | u32 0
//! ```

/// Bytes of a row.
pub const ROW_BYTES: usize = 40;
/// A level that nobody told.
pub const LEVEL_UNKNOWN: u8 = 255;
/// Steps of the stored opinion score per point.
const MOS_STEPS: f32 = 50.0;

/// One second, in the units of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Packets that should have come.
    pub expected: u16,
    /// Packets that came.
    pub received: u16,
    /// Packets that did not come.
    pub lost: u16,
    /// Packets behind a newer one.
    pub late: u16,
    /// Lost packets that a retransmission brought.
    pub rtx: u8,
    /// Lost packets that redundancy (RFC 2198) brought.
    pub red: u8,
    /// Lost packets that a decoder rebuilds from the next one (in-band FEC); of what a leg heard an estimate.
    pub lbrr: u8,
    /// Packets that came twice.
    pub dup: u8,
    /// Interarrival jitter, 0.1 ms.
    pub jitter: u16,
    /// Least delay above the envelope, 0.1 ms.
    pub delay_min: u16,
    /// Mean of it.
    pub delay_mean: u16,
    /// Largest of it.
    pub delay_max: u16,
    /// Round trip in milliseconds; 0 unmeasured.
    pub rtt: u16,
    /// Payload bytes.
    pub payload_bytes: u16,
    /// Packets with voice.
    pub voiced: u8,
    /// Packets of discontinuous transmission.
    pub dtx: u8,
    /// Mean level, 0 to 127, [`LEVEL_UNKNOWN`].
    pub level_mean: u8,
    /// Largest level, likewise.
    pub level_max: u8,
    /// Opinion score times 50; 0 without one.
    pub mos: u8,
    /// Rating of the E-model, 0 to 100; 0 without one.
    pub rating: u8,
    /// Share of the second that lay in loss bursts, per cent.
    pub burst: u8,
    /// Share of lost packets outside bursts, per cent.
    pub gap: u8,
    /// Conditions, a set of bits; bit 0: the leg was up, from [`FLAGS_SHIFT`] on: what held.
    pub flags: u16,
    /// By which way it came: 0 unknown, 1 straight, 2 to 4 through the relay over UDP, TCP, TLS.
    pub path: u8,
    /// Restarts of the stream in this second.
    pub restarts: u8,
}

/// Bit of [`Row::flags`]: the leg was up and not away.
pub const FLAG_UP: u16 = 1;
/// Where the conditions of a second begin in [`Row::flags`], in the order in which the media engine names them.
pub const FLAGS_SHIFT: u32 = 1;

impl Row {
    /// The row as bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; ROW_BYTES] {
        let mut out = [0; ROW_BYTES];
        let words = [
            (0, self.expected),
            (2, self.received),
            (4, self.lost),
            (6, self.late),
            (12, self.jitter),
            (14, self.delay_min),
            (16, self.delay_mean),
            (18, self.delay_max),
            (20, self.rtt),
            (22, self.payload_bytes),
            (32, self.flags),
        ];
        for (at, word) in words {
            out[at..at + 2].copy_from_slice(&word.to_le_bytes());
        }
        out[8..12].copy_from_slice(&[self.rtx, self.red, self.lbrr, self.dup]);
        out[24..28].copy_from_slice(&[self.voiced, self.dtx, self.level_mean, self.level_max]);
        out[28..32].copy_from_slice(&[self.mos, self.rating, self.burst, self.gap]);
        out[34..36].copy_from_slice(&[self.path, self.restarts]);
        out
    }

    /// The row of these bytes; the last four are for later use and are not kept.
    #[must_use]
    pub const fn decode(bytes: &[u8; ROW_BYTES]) -> Row {
        const fn word(bytes: &[u8; ROW_BYTES], at: usize) -> u16 {
            u16::from_le_bytes([bytes[at], bytes[at + 1]])
        }
        Row {
            expected: word(bytes, 0),
            received: word(bytes, 2),
            lost: word(bytes, 4),
            late: word(bytes, 6),
            rtx: bytes[8],
            red: bytes[9],
            lbrr: bytes[10],
            dup: bytes[11],
            jitter: word(bytes, 12),
            delay_min: word(bytes, 14),
            delay_mean: word(bytes, 16),
            delay_max: word(bytes, 18),
            rtt: word(bytes, 20),
            payload_bytes: word(bytes, 22),
            voiced: bytes[24],
            dtx: bytes[25],
            level_mean: bytes[26],
            level_max: bytes[27],
            mos: bytes[28],
            rating: bytes[29],
            burst: bytes[30],
            gap: bytes[31],
            flags: word(bytes, 32),
            path: bytes[34],
            restarts: bytes[35],
        }
    }

    /// Packets that stayed lost after every repair.
    #[must_use]
    pub fn residual_lost(&self) -> u16 {
        let repaired = u16::from(self.rtx) + u16::from(self.red) + u16::from(self.lbrr);
        self.lost.saturating_sub(repaired)
    }

    /// Jitter in milliseconds.
    #[must_use]
    pub fn jitter_ms(&self) -> f32 {
        f32::from(self.jitter) / 10.0
    }

    /// Opinion score, 1 to 4.5; `None` without one.
    #[must_use]
    pub fn mos(&self) -> Option<f32> {
        (self.mos > 0).then(|| f32::from(self.mos) / MOS_STEPS)
    }

    /// Mean level; 0 silence to 127; `None` when nobody told.
    #[must_use]
    pub fn level(&self) -> Option<u8> {
        (self.level_mean != LEVEL_UNKNOWN).then_some(self.level_mean)
    }
}

/// An opinion score as it is stored.
#[must_use]
pub fn mos_steps(mos: f32) -> u8 {
    // A float that does not fit is clamped by the cast itself; not-a-number becomes 0, which reads as "none".
    (mos * MOS_STEPS).round() as u8
}

/// Microseconds as tenths of a millisecond, clamped.
#[must_use]
pub fn tenths(microseconds: u32) -> u16 {
    u16::try_from(microseconds / 100).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_bytes() {
        let mut bytes = [0_u8; ROW_BYTES];
        for (at, byte) in bytes.iter_mut().enumerate().take(36) {
            *byte = at as u8 * 7 + 1;
        }
        assert_eq!(Row::decode(&bytes).encode(), bytes);
    }

    #[test]
    fn fields_lie_where_the_layout_says() {
        let row = Row {
            lost: 0x0102,
            dup: 9,
            rtt: 0x0304,
            mos: 205,
            restarts: 3,
            ..Row::default()
        };
        let bytes = row.encode();
        assert_eq!((bytes[4], bytes[5]), (2, 1));
        assert_eq!(bytes[11], 9);
        assert_eq!((bytes[20], bytes[21]), (4, 3));
        assert_eq!((bytes[28], bytes[35]), (205, 3));
        assert_eq!(bytes[36..], [0; 4]);
    }

    #[test]
    fn repairs_never_make_more_than_was_lost() {
        let row = Row {
            lost: 3,
            rtx: 2,
            red: 1,
            lbrr: 4,
            ..Row::default()
        };
        assert_eq!(row.residual_lost(), 0);
        assert_eq!(
            Row {
                lost: 9,
                rtx: 2,
                red: 1,
                lbrr: 4,
                ..Row::default()
            }
            .residual_lost(),
            2
        );
    }

    #[test]
    fn figures_are_clamped() {
        assert_eq!(tenths(u32::MAX), u16::MAX);
        assert_eq!(tenths(1_234), 12);
        assert_eq!(mos_steps(4.4), 220);
        assert_eq!(mos_steps(99.0), 255);
        assert_eq!(mos_steps(f32::NAN), 0);
        assert_eq!(
            Row {
                mos: 220,
                ..Row::default()
            }
            .mos(),
            Some(4.4)
        );
        assert_eq!(Row::default().mos(), None);
    }
}
