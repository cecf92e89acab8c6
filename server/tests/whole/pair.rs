//! Two voices in one call, and what their recording holds.

use std::io::Cursor;
use std::time::{Duration, Instant};

use ogg::PacketReader;
use recording::opus_packet::split_self_delimited;
use testkit::calls::{Agent, Desk, Joined, Log, Voice, client, spurt};
use uuid::Uuid;
use wire::recording::{Recording, RecordingState};

use crate::binary::{now, until};

/// What the customer's packets carry, and the agent's.
pub(crate) const SALTS: [u8; 2] = [0xC5, 0xA6];
/// Longest time from an answer to sound.
const SOUND_LIMIT: Duration = Duration::from_secs(15);
/// Longest time for a recording to be finished.
const STORED_LIMIT: Duration = Duration::from_secs(30);
/// First byte of every packet of the voices (RFC 6716 §3.1): hybrid, full band, 20 ms, mono, one frame.
const TOC: u8 = 0x78;

/// Where a packet of the voices carries its number, big endian.
pub(crate) const NUMBER: std::ops::Range<usize> = 1..9;

/// A call with two voices.
pub(crate) struct Pair {
    /// The call.
    pub(crate) call: Uuid,
    /// The customer's voice, the agent's.
    pub(crate) voices: [Voice; 2],
}

impl Pair {
    /// A call of `user`, answered by `agent`, both attached. `seed` makes the clients' numbers.
    pub(crate) async fn join(desk: &Desk, agent: &Agent, user: &str, seed: u32) -> Pair {
        let joined = ring(desk, agent, user).await;
        let customer = attach(desk, &joined.customer.grant, seed * 2, SALTS[0]).await;
        let agent = attach(desk, &joined.agent.grant, seed * 2 + 1, SALTS[1]).await;
        Pair {
            call: joined.call,
            voices: [customer, agent],
        }
    }

    /// Waits until both hear the other; the moment at which the second of them first did.
    pub(crate) async fn sound(&self) -> Instant {
        until("sound in both directions", SOUND_LIMIT, async || {
            self.voices.iter().all(|voice| voice.heard() > 0).then_some(())
        })
        .await;
        let first = |voice: &Voice| voice.log().heard[0].at;
        first(&self.voices[0]).max(first(&self.voices[1]))
    }

    /// Both fall silent: what the customer and the agent said and heard.
    pub(crate) fn stop(self) -> [Log; 2] {
        self.voices.map(|voice| voice.stop().expect("a voice that spoke"))
    }
}

/// A call that `agent` has answered, nobody attached.
pub(crate) async fn ring(desk: &Desk, agent: &Agent, user: &str) -> Joined {
    desk.go_online(agent).await.expect("online");
    desk.start(user).await.expect("a call");
    desk.answer(agent).await.expect("answered")
}

/// A voice on the leg of `grant`.
pub(crate) async fn attach(desk: &Desk, grant: &str, seed: u32, salt: u8) -> Voice {
    let mut peer = client(seed).expect("a certificate");
    let answer = desk.attach(grant, peer.offer()).await.expect("attached");
    peer.answer(now(), &answer).expect("a usable answer");
    Voice::start(peer, spurt(salt)).expect("a socket")
}

/// The one recording of the call, once it is stored.
pub(crate) async fn stored(desk: &Desk, call: Uuid) -> Recording {
    until("the recording is stored", STORED_LIMIT, async || {
        let mut all = desk.recordings(call).await.expect("recordings").recordings;
        assert!(all.len() < 2, "one recording per call: {all:?}");
        let one = all.pop()?;
        assert_ne!(one.state, RecordingState::Failed, "{one:?}");
        (one.state == RecordingState::Stored).then_some(one)
    })
    .await
}

/// The numbers of the packets of `salt` in one lane of a recording (0 left, the customer's), in their order.
///
/// Each is compared byte by byte with what was sent.
pub(crate) fn lane(master: &[u8], lane: usize, sent: &Log) -> Vec<u64> {
    let mut reader = PacketReader::new(Cursor::new(master));
    let mut numbers = Vec::new();
    // OpusHead and OpusTags come first (RFC 7845 §3).
    let mut at = 0;
    while let Some(packet) = reader.read_packet().expect("whole pages") {
        at += 1;
        if at <= 2 {
            continue;
        }
        let (left, right) = split_self_delimited(&packet.data).expect("two streams");
        let mine: &[u8] = if lane == 0 { &left } else { right };
        if mine.first() != Some(&TOC) || mine.len() <= NUMBER.end {
            continue;
        }
        let number = u64::from_be_bytes(mine[NUMBER].try_into().expect("eight bytes"));
        assert_eq!(
            mine, sent.sent[number as usize].payload,
            "packet {number} is not as it was sent"
        );
        numbers.push(number);
    }
    numbers
}

/// Checks that the numbers are a run without a hole.
pub(crate) fn run(numbers: &[u64]) {
    for pair in numbers.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "a hole in the recording");
    }
}
