//! RTCP (RFC 3550 §6, RFC 3611): what browsers report is read, what we report is written; nothing is passed on.
//!
//! Never allocates, never panics on any input.

mod nack;
mod read;
mod report;
mod xr;

pub use nack::{Nack, Numbers, nack};
pub use read::{Blocks, Bye, Compound, Malformed, PACKETS_MAX, Packet, SenderInfo, Sources, parse};
pub use report::{BLOCKS_MAX, CNAME_BYTES_MAX, NoRoom, REPORT_BYTES_MAX, bye, receiver_report, sender_report};
pub use xr::{Delay, Delays, Extended, ExtendedBlock, ExtendedBlocks, reference_answer, reference_time};

/// One report block (RFC 3550 §6.4.1): how a receiver gets one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Whose stream.
    pub ssrc: u32,
    /// Lost since the block before, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the start; 24 bits, negative when duplicates came.
    pub cumulative_lost: i32,
    /// Highest sequence number, with the count of its wraps in the upper half.
    pub highest: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report that came; 0: none.
    pub last_sr: u32,
    /// Time since then, in 1/65,536 s.
    pub delay_since_sr: u32,
}

/// NTP time (RFC 3550 §4) of a Unix time in nanoseconds: seconds since 1900 in the upper half, fractions below.
#[must_use]
pub fn ntp(unix_ns: u64) -> u64 {
    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
    const SECOND: u64 = 1_000_000_000;
    let fraction = ((unix_ns % SECOND) << 32) / SECOND;
    (unix_ns / SECOND + EPOCH) << 32 | fraction
}

/// The middle 32 bits of an NTP time, as `last_sr` carries them.
#[must_use]
pub fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Longest round trip that is believed: a block whose delay was mangled must not make one of hours.
const ROUND_TRIP_US_MAX: u64 = 60_000_000;

/// Round trip in microseconds from a block about our stream (RFC 3550 §6.4.1): `now` is our NTP time at its arrival,
/// by the clock that stamped our sender report. `None` if the receiver had no report yet or the sum is nonsense.
#[must_use]
pub fn round_trip_us(now: u64, block: &Block) -> Option<u32> {
    if block.last_sr == 0 {
        return None;
    }
    let units = middle(now)
        .wrapping_sub(block.last_sr)
        .wrapping_sub(block.delay_since_sr);
    // A receiver rounds its delay: up to a few units below zero are zero.
    const ROUNDING: u32 = 655;
    if units > u32::MAX - ROUNDING {
        return Some(0);
    }
    let microseconds = (u64::from(units) * 1_000_000) >> 16;
    (microseconds <= ROUND_TRIP_US_MAX).then_some(microseconds as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_counts_from_1900_in_binary_fractions() {
        assert_eq!(ntp(0), 2_208_988_800 << 32);
        assert_eq!(ntp(1_500_000_000), 2_208_988_801 << 32 | 1 << 31);
        assert_eq!(middle(0x1122_3344_5566_7788), 0x3344_5566);
    }

    #[test]
    fn the_round_trip_is_what_is_left_after_the_receivers_delay() {
        // The example of RFC 3550 §6.4.1: 6.125 s.
        let block = Block {
            last_sr: 0xB705_2000,
            delay_since_sr: 0x0005_4000,
            ..Block::default()
        };
        assert_eq!(round_trip_us(0x0000_B710_8000_0000, &block), Some(6_125_000));
        assert_eq!(round_trip_us(1, &Block::default()), None);
        let early = Block {
            last_sr: 1 << 16,
            delay_since_sr: 100,
            ..Block::default()
        };
        assert_eq!(round_trip_us(1 << 32, &early), Some(0));
        let mangled = Block {
            last_sr: 1 << 16,
            delay_since_sr: 1 << 24,
            ..Block::default()
        };
        assert_eq!(round_trip_us(1 << 32, &mangled), None);
    }
}
