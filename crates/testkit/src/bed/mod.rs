//! A shard on a virtual clock, with clients whose keys are injected: every test of the engine from outside begins here.
//!
//! Nothing here reads a clock or draws chance: the same script gives the same bytes every time, which is what makes the
//! committed corpus valid traffic.
//!
//! Invariant: whatever the shard wants sent is taken before the next datagram goes in, as its contract asks.

mod client;

use std::collections::HashMap;
use std::net::SocketAddr;

use media_core::command::{AddLeg, Command, Refused, Report};
use media_core::event::Event;
use media_core::limits::{HEADROOM_BYTES, MS, SECOND, SLOT_BYTES};
use media_core::matrix::{Announce, Plan, Shield, Stance, Tap};
use media_core::origin::{Destination, Local, Path, Relayed, Wire};
use media_core::shard::{Config, Shard, Slot};
use media_core::tap::{Flags, Record, TapSink};
use media_core::{LegId, RoomId, TapId};

pub use client::{Client, Heard, Numbers, certificate};

/// Where the clock of a bed begins: not 0, for nothing real begins there.
pub const BEGIN: u64 = 1_000 * SECOND;
/// The room that all tests use unless they need a second.
pub const ROOM: RoomId = RoomId(1);
/// Time between two packets of a voice.
pub const FRAME: u64 = 20 * MS;

/// One datagram that the shard sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where to; through the relay: the virtual relayed address of the path.
    pub to: SocketAddr,
    /// Through the relay: by which path.
    pub path: Option<Path>,
    /// On the wire: from which address of the machine.
    pub from: Local,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One record of the tap, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taped {
    /// Whose.
    pub leg: TapId,
    /// When it reached the shard.
    pub arrival_ns: u64,
    /// Its index, lower 32 bits.
    pub ext_seq: u32,
    /// What is known of it.
    pub flags: Flags,
    /// Its level.
    pub level: u8,
    /// The plain packet.
    pub packet: Vec<u8>,
}

/// A tap that keeps everything.
#[derive(Debug, Default)]
pub struct Tape {
    /// What came.
    pub records: Vec<Taped>,
}

impl TapSink for Tape {
    fn push(&mut self, record: Record<'_>) -> bool {
        self.records.push(Taped {
            leg: record.leg,
            arrival_ns: record.arrival_ns,
            ext_seq: record.ext_seq,
            flags: record.flags,
            level: record.level,
            packet: record.packet.to_vec(),
        });
        true
    }
}

/// See the top of this file.
pub struct Bed {
    /// The engine.
    pub shard: Shard,
    /// Nanoseconds of its clock.
    pub now: u64,
    /// What was tapped through [`Bed::datagram`].
    pub tape: Tape,
    /// Who is told of supervisors, by the next plan.
    pub announce: Announce,
    /// Whether pressed keys are kept from everybody, by the next plan.
    pub shield: Shield,
    slot: Box<[u8]>,
    epoch: u64,
    /// The virtual addresses of the paths that something came from.
    virtual_addresses: HashMap<Path, SocketAddr>,
}

impl Default for Bed {
    fn default() -> Bed {
        Bed::new(Config::default())
    }
}

impl Bed {
    /// An empty shard.
    #[must_use]
    pub fn new(config: Config) -> Bed {
        Bed {
            shard: Shard::new(BEGIN, config),
            now: BEGIN,
            tape: Tape::default(),
            announce: Announce::Nobody,
            shield: Shield::Off,
            slot: vec![0; SLOT_BYTES].into_boxed_slice(),
            epoch: 0,
            virtual_addresses: HashMap::new(),
        }
    }

    /// Adds the client's leg to `room`.
    ///
    /// # Errors
    /// What the shard says.
    pub fn add(&mut self, room: RoomId, client: &Client) -> Result<(), Refused> {
        self.shard.command(
            self.now,
            Command::AddLeg(Box::new(AddLeg {
                room,
                leg: client.leg,
                part: client.part,
                tap: client.tap,
                transport: client.transport(),
            })),
        )
    }

    /// One nominating check from where the client is; what the shard sent for it.
    pub fn check(&mut self, client: &mut Client) -> Vec<Sent> {
        let check = client.check(true);
        self.arrives(client, &check)
    }

    /// Hands the shard the keys that a handshake would have given.
    ///
    /// # Errors
    /// What the shard says.
    pub fn establish(&mut self, client: &Client) -> Result<(), Refused> {
        let report = Report::Established(Box::new(client.server_keys()));
        self.shard.command(
            self.now,
            Command::Handshake {
                transport: client.transport,
                report,
            },
        )
    }

    /// Adds, checks and establishes a client in [`ROOM`].
    ///
    /// # Panics
    /// If the shard refuses.
    pub fn bring_up(&mut self, client: &mut Client) {
        self.add(ROOM, client).expect("the leg is new");
        assert_eq!(self.check(client).len(), 1, "a check is answered at once");
        self.establish(client).expect("the transport lives");
    }

    /// A newer plan for [`ROOM`].
    ///
    /// # Panics
    /// If the shard refuses.
    pub fn plan(&mut self, stances: &[(LegId, Stance)], tap: Tap) {
        self.epoch += 1;
        let plan = Plan {
            room: ROOM,
            epoch: self.epoch,
            stances: stances.to_vec(),
            tap,
            announce: self.announce,
            shield: self.shield,
        };
        self.shard
            .command(self.now, Command::Plan(Box::new(plan)))
            .expect("the plan is newer and small");
    }

    /// One datagram of the wire in; what the shard wants sent comes out.
    ///
    /// # Panics
    /// If `bytes` is longer than a slot.
    pub fn datagram(&mut self, from: impl Into<Wire>, bytes: &[u8]) -> Vec<Sent> {
        let slot = fill(&mut self.slot, bytes);
        self.shard.datagram(self.now, from.into(), slot, &mut self.tape);
        self.flush()
    }

    /// As [`Bed::datagram`], through the relay.
    ///
    /// # Panics
    /// If `bytes` is longer than a slot.
    pub fn relayed(&mut self, from: Relayed, bytes: &[u8]) -> Vec<Sent> {
        self.virtual_addresses.insert(from.path, from.address);
        let slot = fill(&mut self.slot, bytes);
        self.shard.relayed(self.now, from, slot, &mut self.tape);
        self.flush()
    }

    /// One datagram of a client, straight or through the relay, as the client is reached now.
    ///
    /// # Panics
    /// If `bytes` is longer than a slot.
    pub fn arrives(&mut self, client: &Client, bytes: &[u8]) -> Vec<Sent> {
        match client.relayed() {
            Some(from) => self.relayed(from, bytes),
            None => self.datagram(Wire::new(client.address, client.local), bytes),
        }
    }

    /// Moves the clock on in steps of one timer tick; what the shard sent meanwhile.
    pub fn advance(&mut self, time: u64) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while self.now < end {
            self.now = (self.now + 10 * MS).min(end);
            self.shard.tick(self.now);
            sent.extend(self.flush());
        }
        sent
    }

    /// As [`Bed::advance`], while `clients` send a check every 2.5 s.
    pub fn advance_alive(&mut self, time: u64, clients: &mut [&mut Client]) -> Vec<Sent> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while self.now < end {
            for client in clients.iter_mut() {
                self.check(client);
            }
            sent.extend(self.advance((5 * SECOND / 2).min(end - self.now)));
        }
        sent
    }

    /// The events since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.shard.poll_event()).collect()
    }

    /// One packet of `speaker`; the packets of it that reached `listener`, opened.
    pub fn say(&mut self, speaker: &mut Client, payload: &[u8], listener: &mut Client) -> Vec<Heard> {
        let packet = speaker.speak(payload);
        let sent = self.arrives(speaker, &packet);
        listener.open_all(&sent)
    }

    fn flush(&mut self) -> Vec<Sent> {
        let sent = self.shard.transmissions().iter().map(|transmission| Sent {
            to: match transmission.to {
                Destination::Wire(wire) => wire.remote(),
                Destination::Relay(path) => self.virtual_addresses[&path],
            },
            path: transmission.to.path(),
            from: transmission.to.wire().map_or(Local::UNNAMED, |wire| wire.local()),
            bytes: self.shard.bytes(transmission, &self.slot).to_vec(),
        });
        let sent: Vec<_> = sent.collect();
        let behind = sent.iter().filter(|sent| sent.path.is_some()).count();
        assert_eq!(self.shard.relay_bound(), behind, "who sends asks for this number first");
        self.shard.flushed();
        sent
    }
}

/// `bytes` in the buffer, as the kernel or a ring would have put them there.
fn fill<'b>(buffer: &'b mut [u8], bytes: &[u8]) -> Slot<'b> {
    buffer[HEADROOM_BYTES..HEADROOM_BYTES + bytes.len()].copy_from_slice(bytes);
    Slot {
        index: 0,
        buffer,
        len: bytes.len(),
    }
}
