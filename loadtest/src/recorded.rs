//! Whether what was recorded is what was sent: every packet of the measured time, in its own channel, byte for byte.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use ogg::PacketReader;
use recording::opus_packet::split_self_delimited;
use serde_json::{Value, json};
use testkit::calls::Desk;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;
use wire::recording::RecordingState;

use crate::faults::Faults;
use crate::generator::Ledger;
use crate::making::Call;
use crate::payload::{COMFORT_BYTES, genuine};
use crate::progress::Progress;
use crate::{Fault, clock};

/// Recordings that are fetched and read at the same time.
const WIDTH: usize = 4;
/// Longest wait for one recording to be stored, once the server has no unfinished ones.
const STORED_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(250);
/// Headers of an Ogg Opus stream: OpusHead and OpusTags (RFC 7845 §3).
const HEADERS: usize = 2;
/// The second and third byte of the recorder's own silence; the first is the TOC.
const SILENCE: [u8; 2] = [0xFF, 0xFE];
const LANES: [&str; 2] = ["customer", "agent"];

/// What the recordings hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
    /// Recordings that were read.
    pub(crate) recordings: u64,
    /// Packets that left for the server in a measured window.
    pub(crate) expected: u64,
    /// Of these, those that are in the recording as they were sent.
    pub(crate) found: u64,
    /// The first thing that is not as it ought to be.
    pub(crate) first_difference: Option<String>,
}

impl Check {
    pub(crate) fn ratio(&self) -> f64 {
        self.found as f64 / self.expected.max(1) as f64
    }

    pub(crate) fn add(&mut self, other: Check) {
        self.recordings += other.recordings;
        self.expected += other.expected;
        self.found += other.found;
        if self.first_difference.is_none() {
            self.first_difference = other.first_difference;
        }
    }

    pub(crate) fn figures(&self) -> Value {
        json!({
            "recordings": self.recordings,
            "packets_expected": self.expected,
            "packets_found": self.found,
            "recorded_ratio": self.ratio(),
            "first_difference": self.first_difference,
        })
    }

    fn differs(&mut self, what: impl FnOnce() -> String) {
        if self.first_difference.is_none() {
            self.first_difference = Some(what());
        }
    }
}

/// Fetches the recordings of `calls` and compares them with what their legs sent. One that cannot be had is noted; what
/// it ought to hold is missing.
pub(crate) async fn check(
    desk: &Desk,
    calls: &[Call],
    ledgers: Vec<Ledger>,
    seed: u64,
    trouble: &mut Faults,
) -> Result<Check, Fault> {
    let mut ledgers: HashMap<u32, Ledger> = ledgers.into_iter().map(|ledger| (ledger.leg, ledger)).collect();
    let turns = Arc::new(Semaphore::new(WIDTH));
    let mut reading = JoinSet::new();
    for call in calls.iter().copied() {
        let (Some(customer), Some(agent)) = (ledgers.remove(&call.legs[0]), ledgers.remove(&call.legs[1])) else {
            return Err("a leg has no ledger".into());
        };
        let (desk, turns) = (desk.clone(), Arc::clone(&turns));
        reading.spawn(async move {
            let _turn = turns.acquire_owned().await?;
            let ledgers = [customer, agent];
            Ok::<_, Fault>(or_missing(one(&desk, call.id, &ledgers, seed).await, &ledgers))
        });
    }
    let progress = Progress::start("recordings compared", calls.len() as u64);
    let mut sum = Check::default();
    while let Some(read) = reading.join_next().await {
        let (check, fault) = read??;
        sum.add(check);
        if let Some(fault) = fault {
            trouble.note(&fault.to_string());
        }
        progress.at(sum.recordings);
    }
    Ok(sum)
}

/// One call's recording.
pub(crate) async fn one(desk: &Desk, call: Uuid, ledgers: &[Ledger; 2], seed: u64) -> Result<Check, Fault> {
    let end = clock::now() + STORED_LIMIT;
    let recording = loop {
        let recordings = desk.recordings(call).await?.recordings;
        if let Some(done) = recordings.into_iter().find(|one| one.state == RecordingState::Stored) {
            break done;
        }
        if clock::now() >= end {
            let mut missing = expected(ledgers);
            missing.first_difference = Some(format!("call {call}: no recording was stored"));
            return Ok(missing);
        }
        tokio::time::sleep(LOOK).await;
    };
    let master = desk.audio(recording.recording_id).await?;
    let lanes = if recording.customer_left { [0, 1] } else { [1, 0] };
    let mut check = compare(&master, ledgers, lanes, seed)?;
    check.recordings = 1;
    check.first_difference = check.first_difference.map(|what| format!("call {call}, {what}"));
    Ok(check)
}

/// What was found in a recording; of one that cannot be had, that everything is missing, and why.
pub(crate) fn or_missing(read: Result<Check, Fault>, ledgers: &[Ledger; 2]) -> (Check, Option<Fault>) {
    match read {
        Ok(check) => (check, None),
        Err(fault) => (expected(ledgers), Some(fault)),
    }
}

fn expected(ledgers: &[Ledger; 2]) -> Check {
    let counted = |ledger: &Ledger| ledger.spans.iter().filter(|span| **span > 0).count() as u64;
    Check {
        expected: ledgers.iter().map(counted).sum(),
        ..Check::default()
    }
}

/// Compares a two-channel master with both ledgers; `lanes` says whose is left, whose right.
fn compare(master: &[u8], ledgers: &[Ledger; 2], lanes: [usize; 2], seed: u64) -> Result<Check, Fault> {
    let mut check = expected(ledgers);
    let mut seen = [0, 1].map(|side: usize| vec![false; ledgers[side].spans.len()]);
    let mut reader = PacketReader::new(Cursor::new(master));
    let mut at = 0;
    while let Some(packet) = reader.read_packet()? {
        at += 1;
        if at <= HEADERS {
            continue;
        }
        let (left, right) = split_self_delimited(&packet.data)?;
        for (side, payload) in lanes.into_iter().zip([&left[..], right]) {
            let comfort = payload.len() <= COMFORT_BYTES || payload.get(1..) == Some(&SILENCE);
            if comfort {
                continue;
            }
            let ledger = &ledgers[side];
            match genuine(payload, seed) {
                None => check.differs(|| format!("{}: frame {at} is nothing that was sent", LANES[side])),
                Some(label) if label.leg != ledger.leg => {
                    check.differs(|| format!("{}: frame {at} is another leg's", LANES[side]));
                }
                Some(label) => match seen[side].get_mut(label.number as usize) {
                    Some(seen) if !*seen => *seen = true,
                    Some(_) => check.differs(|| format!("{}: packet {} twice", LANES[side], label.number)),
                    None => check.differs(|| format!("{}: packet {} never left", LANES[side], label.number)),
                },
            }
        }
    }
    for (side, ledger) in ledgers.iter().enumerate() {
        for (number, (span, seen)) in ledger.spans.iter().zip(&seen[side]).enumerate() {
            if *span > 0 && *seen {
                check.found += 1;
            } else if *span > 0 {
                check.differs(|| format!("{}: packet {number} is missing", LANES[side]));
            }
        }
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use recording::ogg::{Sides, Writer};
    use recording::opus_packet::parse;

    use super::*;
    use crate::payload::{BYTES_MAX, Label, TOC_20_MS, write};

    const SEED: u64 = 5;
    const PACKETS: u32 = 100;

    fn packet(leg: u32, number: u32) -> Vec<u8> {
        let label = Label {
            span: 1,
            leg,
            number,
            sent_ns: u64::from(number) * 20_000_000,
        };
        let mut buffer = [0; BYTES_MAX];
        let len = write(&mut buffer, TOC_20_MS, label, SEED);
        buffer[..len].to_vec()
    }

    /// A master whose frame `n` of a side is what `change` makes of that side's packet `n`.
    fn master(change: impl Fn(usize, u32, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
        let mut writer = Writer::new(Sides::Two, 1, &[], 1 << 16);
        for number in 0..PACKETS {
            let left = change(0, number, packet(0, number));
            let right = change(1, number, packet(1, number));
            writer.packet(960, |body| {
                parse(&left).expect("an Opus packet").self_delimit(body);
                body.extend_from_slice(&right);
            });
        }
        writer.finish(u64::from(PACKETS) * 960)
    }

    fn judged(change: impl Fn(usize, u32, Vec<u8>) -> Vec<u8>) -> Check {
        let ledgers = [0, 1].map(|leg| Ledger {
            leg,
            spans: (0..PACKETS).map(|number| u8::from(number >= 10)).collect(),
        });
        compare(&master(change), &ledgers, [0, 1], SEED).expect("a whole file")
    }

    #[tokio::test]
    async fn a_recording_that_cannot_be_had_lacks_everything() {
        let ledgers = [0, 1].map(|leg| Ledger {
            leg,
            spans: vec![1; 50],
        });
        // Nobody is there: the port was given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let desk = Desk::new(&format!("http://{port}"), "none").unwrap();
        let (check, fault) = or_missing(one(&desk, Uuid::nil(), &ledgers, SEED).await, &ledgers);
        assert!(fault.is_some());
        assert_eq!((check.recordings, check.expected, check.found), (0, 100, 0));
        let mut sum = judged(|_, _, packet| packet);
        sum.add(check);
        assert_eq!(sum.ratio(), 180.0 / 280.0);
    }

    #[test]
    fn a_faithful_recording_has_every_packet() {
        let check = judged(|_, _, packet| packet);
        assert_eq!((check.expected, check.found, check.first_difference), (180, 180, None));
    }

    #[test]
    fn what_was_sent_outside_the_window_may_be_missing_and_inside_not() {
        let silence = vec![0xF8, 0xFF, 0xFE];
        let check = judged(|_, n, packet| if n == 3 { silence.clone() } else { packet });
        assert_eq!((check.found, check.first_difference), (180, None));
        let check = judged(|side, n, packet| if side == 1 && n == 40 { silence.clone() } else { packet });
        assert_eq!(check.found, 179);
        assert_eq!(check.first_difference.as_deref(), Some("agent: packet 40 is missing"));
    }

    #[test]
    fn one_changed_byte_swapped_sides_and_a_repeated_packet_are_found() {
        let check = judged(|side, n, mut packet| {
            packet[30] ^= u8::from(side == 0 && n == 50);
            packet
        });
        assert_eq!(check.found, 179);
        assert!(
            check
                .first_difference
                .expect("it differs")
                .starts_with("customer: frame")
        );
        let check = judged(|side, n, _| packet(1 - side as u32, n));
        assert_eq!(check.found, 0);
        assert!(check.first_difference.expect("it differs").contains("another leg's"));
        let check = judged(|side, n, own| if n == 60 { packet(side as u32, 59) } else { own });
        assert_eq!(check.found, 178);
        assert_eq!(check.first_difference.as_deref(), Some("customer: packet 59 twice"));
    }
}
