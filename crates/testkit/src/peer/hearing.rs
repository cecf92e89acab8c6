//! What a peer tells about the voice it hears: a receiver report every few seconds, as browsers send them.
//!
//! One stream at a time: when another SSRC arrives, counting begins anew. It reports as a receiver (RR) though it also
//! speaks, because its timestamps go by packets and not by the clock that a sender report would tie them to.

use std::time::{Duration, Instant};

use media_core::rtcp::{self, Block, Packet, SenderInfo};
use media_core::rtp::Header;
use media_core::srtp::{Keys, RTCP_OVERHEAD_MAX};

/// Mean time between two reports: what browsers take for audio. Each pause is 0.5 to 1.5 of it (RFC 3550 §6.2).
const PAUSE_MEAN: Duration = Duration::from_secs(5);
/// Media time of one second.
const CLOCK_HZ: u64 = 48_000;
/// Name in the reports' SDES.
const CNAME: &str = "peer";

/// The stream that is heard, as RFC 3550 §6.4.1 counts it.
#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    first: u32,
    highest: u32,
    received: u32,
    /// Arrival less timestamp of the latest packet, media time.
    transit: u32,
    /// Jitter times 16 (RFC 3550 appendix A.8).
    jitter: u32,
    /// Expected and received when the report before was made.
    before: (u32, u32),
}

impl Stream {
    fn new(header: &Header, arrived: u32) -> Stream {
        let sequence = u32::from(header.sequence);
        Stream {
            ssrc: header.ssrc,
            first: sequence,
            highest: sequence,
            received: 1,
            transit: arrived.wrapping_sub(header.timestamp),
            jitter: 0,
            before: (0, 0),
        }
    }

    fn add(&mut self, header: &Header, arrived: u32) {
        let ahead = header.sequence.wrapping_sub(self.highest as u16) as i16;
        if ahead > 0 {
            self.highest = self.highest.wrapping_add(u32::from(ahead.unsigned_abs()));
        }
        self.received = self.received.wrapping_add(1);
        let transit = arrived.wrapping_sub(header.timestamp);
        let moved = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        self.jitter = self.jitter + moved - ((self.jitter + 8) >> 4);
    }

    fn block(&mut self) -> Block {
        let expected = self.highest.wrapping_sub(self.first).wrapping_add(1);
        let (asked, came) = (
            expected.wrapping_sub(self.before.0),
            self.received.wrapping_sub(self.before.1),
        );
        self.before = (expected, self.received);
        let lost = asked.saturating_sub(came);
        Block {
            ssrc: self.ssrc,
            fraction_lost: (u64::from(lost) * 256 / u64::from(asked.max(1))).min(255) as u8,
            cumulative_lost: expected.wrapping_sub(self.received) as i32,
            highest: self.highest,
            jitter: self.jitter >> 4,
            last_sr: 0,
            delay_since_sr: 0,
        }
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Hearing {
    origin: Instant,
    next: Instant,
    random: u64,
    stream: Option<Stream>,
    /// Middle of the NTP time of the last sender report, and when it came.
    sender: Option<(u32, Instant)>,
}

impl Hearing {
    /// Begins now; the first report comes after half a pause.
    pub(super) fn new(now: Instant, random: u64) -> Hearing {
        Hearing {
            origin: now,
            next: now + PAUSE_MEAN / 2,
            random,
            stream: None,
            sender: None,
        }
    }

    pub(super) fn wake_at(&self) -> Instant {
        self.next
    }

    pub(super) fn heard(&mut self, now: Instant, header: &Header) {
        let arrived = (now.saturating_duration_since(self.origin).as_micros() as u64 * CLOCK_HZ / 1_000_000) as u32;
        match &mut self.stream {
            Some(stream) if stream.ssrc == header.ssrc => stream.add(header, arrived),
            stream => *stream = Some(Stream::new(header, arrived)),
        }
    }

    /// Takes a sealed compound of the server.
    pub(super) fn report(&mut self, now: Instant, keys: &mut Keys, datagram: &mut [u8]) {
        let Ok(len) = keys.inbound.open_rtcp(datagram) else {
            return;
        };
        let Ok(compound) = rtcp::parse(&datagram[..len]) else {
            return;
        };
        for packet in compound {
            if let Packet::SenderReport(SenderInfo { ntp, .. }, _) = packet {
                self.sender = Some((rtcp::middle(ntp), now));
            }
        }
    }

    /// The next report, sealed, if it is due.
    pub(super) fn due(&mut self, now: Instant, ssrc: u32, keys: &mut Keys) -> Option<Vec<u8>> {
        if now < self.next {
            return None;
        }
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // The upper bits of a congruential generator are its good ones.
        let share = (self.random >> 40) as f64 / f64::from(1_u32 << 24);
        self.next = now + PAUSE_MEAN.mul_f64(0.5 + share);
        let block = self.stream.as_mut().map(Stream::block).map(|block| {
            let (last_sr, delay) = self.sender.map_or((0, Duration::ZERO), |(middle, at)| {
                (middle, now.saturating_duration_since(at))
            });
            Block {
                last_sr,
                delay_since_sr: (delay.as_micros() as u64 * 65_536 / 1_000_000) as u32,
                ..block
            }
        });
        let mut buffer = [0; 256];
        let len = rtcp::receiver_report(&mut buffer, ssrc, block.as_slice(), CNAME).ok()?;
        let mut packet = buffer[..len].to_vec();
        packet.resize(len + RTCP_OVERHEAD_MAX, 0);
        let sealed = keys.outbound.seal_rtcp(&mut packet, len).ok()?;
        packet.truncate(sealed);
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use media_core::srtp::{Profile, Role};

    use super::*;

    fn header(sequence: u16, timestamp: u32) -> Header {
        let mut packet = [0; 12];
        packet[0] = 0x80;
        packet[1] = 111;
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..].copy_from_slice(&7_u32.to_be_bytes());
        Header::parse(&packet).expect("a plain header")
    }

    #[test]
    fn loss_is_counted_since_the_report_before_and_in_all_over_a_wrap() {
        let mut stream = Stream::new(&header(65_534, 0), 0);
        for (sequence, packets) in [(65_535, 1_u32), (1, 3), (3, 5)] {
            stream.add(&header(sequence, packets * 960), packets * 960);
        }
        let block = stream.block();
        assert_eq!((block.highest, block.cumulative_lost), (65_536 + 3, 2));
        assert_eq!((block.fraction_lost, block.jitter), (85, 0), "2 of 6");
        stream.add(&header(4, 6 * 960), 6 * 960);
        stream.add(&header(2, 4 * 960), 4 * 960 + 1_600);
        let block = stream.block();
        assert_eq!(
            (block.fraction_lost, block.cumulative_lost),
            (0, 1),
            "a late one is no loss"
        );
        assert_eq!(block.jitter, 100, "1,600 / 16");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the first instant; all others are counted from it"
    )]
    fn reports_come_every_2_5_to_7_5_seconds_and_not_in_step() {
        let start = Instant::now();
        let pauses = |random: u64| {
            let mut hearing = Hearing::new(start, random);
            let profile = Profile::AeadAes128Gcm;
            let material = vec![7; profile.keying_material_len()];
            let mut keys = Keys::derive(profile, &material, Role::Client).expect("the length is the profile's");
            let mut pauses = Vec::new();
            for _ in 0..50 {
                let at = hearing.wake_at();
                assert!(hearing.due(at - Duration::from_nanos(1), 1, &mut keys).is_none());
                assert!(hearing.due(at, 1, &mut keys).is_some());
                pauses.push((hearing.wake_at() - at).as_millis());
            }
            pauses
        };
        let (one, other) = (pauses(1), pauses(2));
        assert!(one.iter().all(|ms| (2_500..=7_500).contains(ms)), "{one:?}");
        assert_ne!(one, other);
    }
}
