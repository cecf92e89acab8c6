//! The world around one shard: virtual time, the network between it and its clients, the handshake helper.
//!
//! Everything happens in one queue ordered by time, and by birth where times are equal. Neither the order nor any
//! draw depends on a key or on the machine, so a seed repeats a run; only the bytes of handshakes differ.
//!
//! Invariant: after every call of the shard its transmissions, jobs, events and counter rows are taken and judged.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::sync::Arc;

use media_core::command::{Command, Refused, Report};
use media_core::dtls::Certificate;
use media_core::event::{Event, Kind};
use media_core::limits::{ARENA_BUFFERS_MAX, BATCH_MAX, HEADROOM_BYTES, MS, SECOND, SLOT_BYTES};
use media_core::music::Music;
use media_core::origin::Destination;
use media_core::shard::{Config, Job, Shard, Slot};
use media_core::tap::{Flags, Record, TapSink};
use media_core::{LegId, TransportId, rtp};
use rustc_hash::FxHashMap;

use crate::chance::Chance;
use crate::figures::Figures;
use crate::helper::Helper;
use crate::judge::Judge;
use crate::media::{self, TONE, TUNE, Under};
use crate::peer::{Clock, Peer};
use crate::relay;
use crate::story::{Act, Call};

/// Where the clock begins: not 0, for nothing real begins there.
const BEGIN: u64 = 1_000 * SECOND;
/// Between two looks at the shard's timers, as its thread has it.
const TICK: u64 = 10 * MS;
/// Between two looks for legs that should have ended.
const LOOK: u64 = SECOND;
/// Certificates of clients: making one costs as much as a handshake.
const CERTIFICATES: usize = 8;
/// Frames of the tone that tells of supervisors: long enough to meet words, plans and ends.
const TONE_FRAMES: usize = 10;

/// What a client does by itself, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    Check,
    Speak,
    Report,
    Handshake,
}

/// A datagram on its way to the shard.
pub(crate) struct Inbound {
    pub(crate) from: SocketAddr,
    /// Through the relay: the leg that the way was opened for. `None` on the wire, whatever the sender claims to be.
    pub(crate) behind: Option<LegId>,
    pub(crate) bytes: Vec<u8>,
    /// For a check with the right password: of which transport.
    pub(crate) proof: Option<TransportId>,
}

impl Inbound {
    /// Where an answer goes.
    fn back(&self) -> Destination {
        match self.behind {
            Some(leg) => Destination::Relay(relay::relayed(self.from, leg).path),
            None => Destination::Wire(self.from.into()),
        }
    }

    /// The judge's name of where it comes from.
    fn name(&self) -> SocketAddr {
        relay::name(self.back())
    }
}

/// What happens.
pub(crate) enum What {
    Arrives(Inbound),
    /// At a client. `transport`: whose it was when it was sent; `under`: what was in force then.
    Reaches {
        to: SocketAddr,
        transport: TransportId,
        under: Under,
        bytes: Vec<u8>,
    },
    Does {
        peer: usize,
        transport: TransportId,
        habit: Habit,
    },
    HelperSays(TransportId, Report),
    HelperWakes(TransportId),
    Acts {
        call: usize,
        act: Act,
    },
}

struct Entry {
    at: u64,
    born: u64,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.at, self.born) == (other.at, other.born)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at, self.born).cmp(&(other.at, other.born))
    }
}

/// Records of one datagram: whose, source and number, whether it was rebuilt, speaker.
#[derive(Default)]
struct Tape(Vec<(u32, (u32, u32), bool, u32)>);

impl TapSink for Tape {
    fn push(&mut self, record: Record<'_>) -> bool {
        let header = rtp::Header::parse(record.packet).expect("the tap gets whole packets");
        let payload = &record.packet[header.payload(record.packet).expect("padding that fits")];
        let primary = media_core::red::primary(payload);
        let word = media::read(payload).or_else(|| media::read(&payload[primary?.at..]));
        let speaker = word.expect("the tap gets words").speaker;
        let rebuilt = record.flags.contains(Flags::RED);
        self.0
            .push((record.leg.0, (header.ssrc, record.ext_seq), rebuilt, speaker));
        true
    }
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) clock: Clock,
    pub(crate) shard: Shard,
    pub(crate) chance: Chance,
    pub(crate) peers: Vec<Peer>,
    pub(crate) calls: Vec<Call>,
    pub(crate) helper: Helper,
    pub(crate) judge: Judge,
    pub(crate) figures: Figures,
    pub(crate) certificates: Vec<Certificate>,
    /// Who is reached at an address.
    pub(crate) routes: FxHashMap<SocketAddr, usize>,
    /// Addresses that somebody left, for the next who needs one.
    pub(crate) left: Vec<SocketAddr>,
    pub(crate) next_address: u32,
    pub(crate) next_transport: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    born: u64,
    tape: Tape,
    slot: Box<[u8]>,
    next_tick: u64,
    next_look: u64,
    helper_busy_until: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let certificate = || Certificate::generate().expect("the provider makes keys");
        let mut shard = Shard::new(BEGIN, Config::default());
        shard.set_tone(Arc::new(
            Music::new([&TONE[..]; TONE_FRAMES].into_iter()).expect("frames of 20 ms"),
        ));
        shard.set_music(Arc::new(Music::new([&TUNE[..]].into_iter()).expect("a frame of 20 ms")));
        let clock = Clock::new();
        World {
            now: BEGIN,
            clock,
            shard,
            chance: Chance::new(seed),
            peers: Vec::new(),
            calls: Vec::new(),
            helper: Helper::new(clock, certificate()),
            judge: Judge::default(),
            figures: Figures::default(),
            certificates: (0..CERTIFICATES).map(|_| certificate()).collect(),
            routes: FxHashMap::default(),
            left: Vec::new(),
            next_address: 0,
            next_transport: 1,
            queue: BinaryHeap::new(),
            born: 0,
            tape: Tape::default(),
            slot: vec![0; SLOT_BYTES].into_boxed_slice(),
            next_tick: BEGIN,
            next_look: BEGIN,
            helper_busy_until: BEGIN,
        }
    }

    pub(crate) fn later(&mut self, after: u64, what: What) {
        self.at(self.now + after, what);
    }

    fn at(&mut self, at: u64, what: What) {
        self.born += 1;
        self.queue.push(Reverse(Entry {
            at,
            born: self.born,
            what,
        }));
    }

    /// Runs until nothing happens any more by itself, and `after` beyond that.
    pub(crate) fn run(&mut self, after: u64) {
        while let Some(Reverse(entry)) = self.queue.pop() {
            self.tick_until(entry.at);
            self.now = entry.at;
            self.happens(entry.what);
        }
        self.tick_until(self.now + after);
    }

    fn tick_until(&mut self, until: u64) {
        while self.next_tick <= until {
            self.now = self.next_tick;
            self.next_tick += TICK;
            self.shard.tick(self.now);
            while self.shard.must_flush() {
                self.settle(None);
                self.shard.tick(self.now);
            }
            self.settle(None);
            if self.next_look <= self.now {
                self.next_look += LOOK;
                let stuck = self.judge.stuck(self.now);
                assert!(stuck.is_empty(), "legs that do not end: {stuck:?} at {}", self.now);
                self.figures.most_legs = self.figures.most_legs.max(self.judge.living_legs());
            }
        }
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Arrives(inbound) => self.arrives(&inbound),
            What::Reaches {
                to,
                transport,
                under,
                bytes,
            } => self.reaches(to, transport, under, bytes),
            What::Does { peer, transport, habit } => self.does(peer, transport, habit),
            What::HelperSays(transport, report) => {
                // It may have been closed meanwhile.
                let _ = self.command(Command::Handshake { transport, report });
            }
            What::HelperWakes(transport) => {
                let said = self.helper.fire(self.now, transport);
                self.helper_said(transport, said);
            }
            What::Acts { call, act } => self.act(call, act),
        }
    }

    /// One datagram at the shard.
    fn arrives(&mut self, inbound: &Inbound) {
        let len = inbound.bytes.len();
        self.judge.received(inbound.name(), len);
        self.slot[HEADROOM_BYTES..HEADROOM_BYTES + len].copy_from_slice(&inbound.bytes);
        let slot = Slot {
            index: 0,
            buffer: &mut self.slot,
            len,
        };
        match inbound.behind {
            Some(leg) => {
                let from = relay::relayed(inbound.from, leg);
                self.shard.relayed(self.now, from, slot, &mut self.tape);
            }
            None => self.shard.datagram(self.now, inbound.from.into(), slot, &mut self.tape),
        }
        let totals = self.shard.totals();
        assert_eq!(totals.accounted(), totals.datagrams, "each datagram is counted once");
        self.settle(Some(inbound));
        for (tap, packet, rebuilt, speaker) in std::mem::take(&mut self.tape.0) {
            assert_eq!(tap, speaker, "who is taped is who speaks");
            self.taped(tap, packet, rebuilt);
        }
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<(), Refused> {
        let result = self.shard.command(self.now, command);
        self.settle(None);
        result
    }

    /// Takes and judges all that the shard hands out; `cause` is the datagram that made it do so.
    fn settle(&mut self, cause: Option<&Inbound>) {
        let count = self.shard.transmissions().len();
        assert!(count <= BATCH_MAX + ARENA_BUFFERS_MAX, "{count} transmissions");
        for place in 0..count {
            let transmission = self.shard.transmissions()[place];
            let bytes = self.shard.bytes(&transmission, &self.slot).to_vec();
            self.sends(transmission.to, bytes, cause);
        }
        self.shard.flushed();
        while let Some(job) = self.shard.poll_job() {
            self.helper_job(job, cause);
        }
        while self.shard.poll_second().is_some() {}
        while self.shard.poll_ended().is_some() {}
        while let Some(event) = self.shard.poll_event() {
            self.judge.event(&event);
            self.reported(&event);
        }
    }

    fn sends(&mut self, destination: Destination, bytes: Vec<u8>, cause: Option<&Inbound>) {
        let to = relay::name(destination);
        let (transport, turns) = if bytes[0] < 4 {
            let cause = cause.expect("an answer needs a question");
            assert_eq!(
                cause.back(),
                destination,
                "an answer goes to who asked, by the way he came"
            );
            self.judge.answered(self.now, to, &bytes, cause.proof);
            (cause.proof.expect("the judge has looked"), 0)
        } else {
            let short_tag = self.has_short_tags(to);
            self.judge.sent(self.now, to, &bytes, short_tag)
        };
        let reached = relay::leads_to(destination).and_then(|to| Some((to, *self.routes.get(&to)?)));
        let Some((to, peer)) = reached else {
            self.figures.to_nobody += 1;
            return;
        };
        let epoch = self.calls[self.peers[peer].call].epoch;
        let under = Under { epoch, turns };
        let times = self.peers[peer]
            .down
            .carry(self.now, &mut self.chance, &mut self.figures.network);
        for at in times.into_iter().flatten() {
            let bytes = bytes.clone();
            self.at(
                at,
                What::Reaches {
                    to,
                    transport,
                    under,
                    bytes,
                },
            );
        }
    }

    /// Whether who owns an address negotiated AES-CM, whose tags are 10 bytes behind the number of a report.
    fn has_short_tags(&self, to: SocketAddr) -> bool {
        let leg = self.judge.owner(to).map(|(_, leg)| leg);
        leg.is_some_and(|leg| Call::number_of(leg).is_multiple_of(8))
    }

    fn helper_job(&mut self, job: Job, cause: Option<&Inbound>) {
        let transport = match &job {
            Job::Start { transport, .. } | Job::Datagram { transport, .. } => {
                let from = cause.expect("a handshake goes on by a datagram").name();
                let owner = self.judge.owner(from).map(|(owner, _)| owner);
                assert_eq!(
                    owner,
                    Some(*transport),
                    "a handshake from {from}, which passed no check of it"
                );
                *transport
            }
            Job::Stop { transport } => *transport,
        };
        let said = self.helper.job(job);
        self.helper_said(transport, said);
    }

    fn helper_said(&mut self, transport: TransportId, (reports, due): (Vec<Report>, Option<u64>)) {
        // The helper is one other thread: what it says comes in order and after some time.
        for report in reports {
            self.helper_busy_until = self.helper_busy_until.max(self.now) + self.chance.between(1, 10) * MS / 10;
            self.at(self.helper_busy_until, What::HelperSays(transport, report));
        }
        if let Some(due) = due {
            self.at(due.max(self.now), What::HelperWakes(transport));
        }
    }

    fn reported(&mut self, event: &Event) {
        if let Kind::LegDown { leg, .. } = event.kind {
            self.leg_down(leg);
        }
    }
}
