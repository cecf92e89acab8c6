//! Keys pressed during a call (telephone events, RFC 4733): that one was pressed, and never which.
//!
//! An event is repeated in every packet until the key is let go, its last packet three times, and a long one goes on
//! under new timestamps; here all of that is one press. The digit is looked at, told nobody and kept nowhere: who types a
//! card number types it to a machine, not to us.
//!
//! Invariant: a press is told once, however often it is sent and in whatever order its packets come.

use crate::gate::{Gate, Rate};
use crate::limits::{KEYS_BURST_MAX, KEYS_PER_S_MAX};

const TOLD: Rate = Rate::new(KEYS_PER_S_MAX, KEYS_BURST_MAX);
/// Highest event code that is a key: 0 to 9, star, hash, A to D (RFC 4733 §3.2). What is above is tones of a line.
const KEY_MAX: u8 = 15;
/// Bytes of one event: code, end and volume, duration (RFC 4733 §2.3).
const EVENT_BYTES: usize = 4;
/// Samples that the end of one part of a long press and the start of the next may be apart: a frame of 60 ms.
const PART_GAP_SAMPLES: u32 = 2_880;

/// What is known of the keys of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    /// Timestamp of the newest event, and how long it had lasted, 48 kHz.
    last: Option<(u32, u32)>,
    gate: Gate,
}

impl Keys {
    /// Takes one packet; `payload` without padding. True when it tells of a press that is new and may be told.
    pub(crate) fn press(&mut self, now: u64, timestamp: u32, marker: bool, payload: &[u8]) -> bool {
        let Some(&[code, _, d0, d1]) = payload.first_chunk::<EVENT_BYTES>() else {
            return false;
        };
        if code > KEY_MAX {
            return false;
        }
        let duration = u32::from(u16::from_be_bytes([d0, d1]));
        if let Some((began, lasted)) = &mut self.last {
            let since = timestamp.wrapping_sub(*began);
            if since == 0 {
                *lasted = duration.max(*lasted);
                return false;
            }
            // A timestamp behind the newest is a packet that was overtaken.
            if since > u32::MAX / 2 {
                return false;
            }
            // RFC 4733 §2.5.1.3: what lasts longer than the field can say goes on without a marker where it stopped.
            if !marker && since <= lasted.saturating_add(PART_GAP_SAMPLES) && *lasted > u32::from(u16::MAX / 2) {
                self.last = Some((timestamp, duration));
                return false;
            }
        }
        self.last = Some((timestamp, duration));
        self.gate.pass(now, 1, TOLD)
    }

    /// Another stream begins, with timestamps of its own.
    pub(crate) fn restart(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SECOND;

    /// Code, duration.
    fn event(code: u8, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [code, 10, high, low]
    }

    #[test]
    fn a_press_is_told_once_however_often_it_is_sent() {
        let mut keys = Keys::default();
        assert!(keys.press(0, 1_000, true, &event(5, 960)));
        for duration in [1_920, 2_880, 2_880, 2_880] {
            assert!(!keys.press(0, 1_000, false, &event(5, duration)));
        }
        assert!(keys.press(0, 9_000, true, &event(5, 960)), "the same key again");
        assert!(!keys.press(0, 1_000, false, &event(5, 2_880)), "overtaken");
        assert!(
            keys.press(0, 20_000, false, &event(5, 960)),
            "its first packet was lost"
        );
        keys.restart();
        assert!(keys.press(0, 20_000, true, &event(5, 960)), "another stream");
    }

    #[test]
    fn a_long_press_is_one_and_two_quick_ones_are_two() {
        let mut keys = Keys::default();
        assert!(keys.press(0, u32::MAX - 100, true, &event(1, u16::MAX)));
        let second = (u32::MAX - 100).wrapping_add(u32::from(u16::MAX));
        assert!(!keys.press(0, second, false, &event(1, 960)), "it goes on");
        assert!(!keys.press(0, second, false, &event(1, 40_000)));
        let third = second.wrapping_add(40_000);
        assert!(keys.press(0, third, true, &event(1, 960)), "a marker is a new press");
        assert!(
            keys.press(0, third.wrapping_add(1_000), false, &event(2, 960)),
            "too short to go on"
        );
    }

    #[test]
    fn what_is_no_key_or_no_event_is_told_nobody() {
        let mut keys = Keys::default();
        assert!(!keys.press(0, 1, true, &event(KEY_MAX + 1, 960)), "a hook flash");
        assert!(!keys.press(0, 2, true, &[5, 10, 3]));
        assert!(!keys.press(0, 3, true, &[]));
        assert!(keys.press(0, 4, true, &event(KEY_MAX, 960)));
    }

    #[test]
    fn so_many_are_told_at_once_and_then_one_a_second() {
        let mut keys = Keys::default();
        let mut press = |now, n: u32| keys.press(now, n * 10_000, true, &event(0, 960));
        let told = (1..=KEYS_BURST_MAX + 5).filter(|n| press(0, *n)).count();
        assert_eq!(told, KEYS_BURST_MAX as usize);
        assert!(!press(SECOND - 1, 100));
        assert!(press(SECOND, 101));
        assert!(!press(SECOND, 102));
    }
}
