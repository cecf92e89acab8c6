//! The real thread of a shard with 200 legs on real sockets, and a defect that strikes one of them at every stage of its
//! work: nobody else loses a packet, the leg is told down, its room goes on.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use media_core::command::{self, AddLeg};
use media_core::event::{Cause, Kind};
use media_core::limits::JOBS_MAX;
use media_core::matrix::{Announce, Part, Plan, Shield, Stance, Tap};
use media_core::origin::{Local, Via};
use media_core::shard::{Config, Stage};
use media_core::tap::Record;
use media_core::{LegId, RoomId, TapId};
use ports::{Accepted, FromRelay, RelayEgress, RelayPath, RelaySink};
use testkit::bed::{Client, Sent};

use super::*;
use crate::convert;

/// How long anything on loopback may take before a packet counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
const LEGS: u16 = 200;
/// The leg that is struck; the one before it is the other of its room.
const STRUCK: usize = 7;
/// Legs that speak before anybody listens: several batches of the kernel, and no more than a small socket buffer holds.
const AT_ONCE: usize = 80;
/// Packets of each leg before and behind the defect.
const ROUNDS: u8 = 5;

/// A tap that breaks at a record of one leg, once.
struct Tape(Option<TapId>);

impl TapSink for Tape {
    fn push(&mut self, record: Record<'_>) -> bool {
        if self.0 == Some(record.leg) {
            self.0 = None;
            panic!("the defect that a test wants");
        }
        true
    }
}

/// The relay's end of the way back.
struct Egress(mpsc::Sender<Vec<u8>>);

impl RelayEgress for Egress {
    fn transmit(&mut self, _: RelayPath, payload: &[u8]) -> Accepted {
        // The test may be over.
        let _ = self.0.send(payload.to_vec());
        Accepted::Taken
    }

    fn flush(&mut self) {}
}

/// A shard's thread and all ends of its queues.
struct Bench {
    at: SocketAddr,
    bell: Bell,
    commands: SyncSender<Command>,
    reports: Receiver<(usize, Report)>,
    _jobs: Receiver<Job>,
    sink: Box<dyn RelaySink>,
    through_relay: mpsc::Receiver<Vec<u8>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// A leg's client and how it reaches the shard.
struct Voice {
    client: Client,
    room: RoomId,
    socket: UdpSocket,
}

impl Voice {
    fn new(number: u16, room: u16) -> Voice {
        let part = if number.is_multiple_of(2) {
            Part::Customer
        } else {
            Part::Agent
        };
        let mut client = Client::new(number, part);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        client.go_direct(socket.local_addr().expect("an address"));
        Voice {
            client,
            room: RoomId(u128::from(room)),
            socket,
        }
    }

    fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 2_048];
        let len = self.socket.recv(&mut buffer);
        let len = len.unwrap_or_else(|fault| panic!("leg {:?} waited in vain: {fault}", self.client.leg));
        buffer[..len].to_vec()
    }

    /// Payloads of the audio in one datagram: one, or none of a report or an answer.
    fn open(&mut self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let sent = Sent {
            to: self.client.address,
            path: None,
            from: Local::UNNAMED,
            bytes,
        };
        self.client.open_all(&[sent]).pop().map(|heard| heard.payload)
    }

    /// The next audio.
    fn hear(&mut self) -> Vec<u8> {
        loop {
            let bytes = self.receive();
            if let Some(payload) = self.open(bytes) {
                return payload;
            }
        }
    }

    /// What has come and was not asked for.
    fn leftovers(&mut self) -> usize {
        self.socket.set_nonblocking(true).expect("a socket");
        let mut buffer = [0; 2_048];
        let mut audio = 0;
        while let Ok(len) = self.socket.recv(&mut buffer) {
            audio += usize::from(self.open(buffer[..len].to_vec()).is_some());
        }
        audio
    }
}

impl Bench {
    /// `stage`: where the defect is; `None`: in the tap.
    fn start(stage: Option<Stage>, struck: &Client) -> Bench {
        let clock = Clock::start();
        let mut shard = Shard::new(clock.now_ns(), Config::default());
        if let Some(stage) = stage {
            shard.break_at(stage, struck.leg);
        }
        let tap = Tape(stage.is_none().then_some(struck.tap));
        let socket = Socket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let at = socket.local();
        let bell = Bell::new().expect("a bell");
        let (entry, side) = relay::Side::new(relay::Doorbell::new(bell.clone()));
        let (sink, reader) = relay::ring(relay::RING_BYTES, entry.doorbell.clone(), clock);
        let (egress, through_relay) = mpsc::channel();
        entry.hand(relay::Link::Rings(vec![reader]));
        entry.hand(relay::Link::Ways(vec![Box::new(Egress(egress))]));
        let (commands, commands_out) = sync_channel(COMMANDS_MAX);
        let (jobs, jobs_out) = sync_channel(JOBS_MAX);
        let (reports_in, reports) = sync_channel(REPORTS_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let sockets = vec![socket];
        let worker = Worker {
            shard,
            poller: poller(&sockets, &bell).expect("a descriptor"),
            sockets,
            batch: Batch::new(udp::BATCH_MAX),
            locals: Locals::default(),
            bell: bell.clone(),
            commands: commands_out,
            jobs,
            reports: reports_in,
            refused: VecDeque::new(),
            number: 0,
            tap,
            relay: side,
            clock,
            stop: Arc::clone(&stop),
        };
        Bench {
            at,
            bell,
            commands,
            reports,
            _jobs: jobs_out,
            sink: Box::new(sink),
            through_relay,
            stop,
            thread: std::thread::spawn(move || worker.run()),
        }
    }

    fn tell(&self, command: Command) {
        self.commands.try_send(command).expect("the queue has room");
        self.bell.ring();
    }

    /// Sends one datagram of a client as it is reached now.
    fn send(&mut self, voice: &Voice, bytes: &[u8]) {
        let Some(from) = voice.client.relayed() else {
            voice.socket.send_to(bytes, self.at).expect("sent");
            return;
        };
        let packet = FromRelay {
            path: convert::path_out(from.path),
            leg: convert::leg_out(from.leg),
            relayed: from.address,
            peer: self.at,
            payload: bytes,
        };
        assert_eq!(self.sink.deliver(packet), Accepted::Taken);
        self.sink.flush();
    }

    /// A leg from its first word to its keys.
    fn bring_up(&mut self, voice: &mut Voice) {
        let client = &mut voice.client;
        self.tell(Command::AddLeg(Box::new(AddLeg {
            room: voice.room,
            leg: client.leg,
            part: client.part,
            tap: client.tap,
            transport: client.transport(),
        })));
        let check = client.check(true);
        self.send(voice, &check);
        if voice.client.path.is_some() {
            self.through_relay.recv_timeout(PATIENCE).expect("an answer");
        } else {
            voice.receive();
        }
        self.tell(Command::Handshake {
            transport: voice.client.transport,
            report: command::Report::Established(Box::new(voice.client.server_keys())),
        });
    }

    fn talk(&self, room: RoomId, epoch: u64, legs: &[LegId]) {
        self.tell(Command::Plan(Box::new(Plan {
            room,
            epoch,
            stances: legs.iter().map(|leg| (*leg, Stance::Talk)).collect(),
            tap: Tap::On,
            announce: Announce::Nobody,
            shield: Shield::Off,
        })));
    }

    /// Takes reports until one is wanted.
    fn until(&self, what: &str, mut wanted: impl FnMut(Report) -> bool) {
        loop {
            let report = self.reports.recv_timeout(PATIENCE);
            let (_, report) = report.unwrap_or_else(|_| panic!("waited in vain: {what}"));
            if wanted(report) {
                return;
            }
        }
    }

    fn until_event(&self, what: &str, wanted: impl Fn(RoomId, &Kind) -> bool) {
        self.until(
            what,
            |report| matches!(report, Report::Event(event) if wanted(event.room, &event.kind)),
        );
    }

    /// Everybody says one word; everybody but the room of the struck leg must hear exactly that of the other.
    fn round(&mut self, voices: &mut [Voice], round: u8) {
        for part in (0..voices.len()).step_by(AT_ONCE) {
            let part = part..(part + AT_ONCE).min(voices.len());
            for number in part.clone() {
                let packet = voices[number].client.speak(&[number as u8, round, 0x55, 0x55, 0x55]);
                self.send(&voices[number], &packet);
            }
            for number in part.filter(|number| number / 2 != STRUCK / 2) {
                let other = number ^ 1;
                let heard = voices[number].hear();
                assert_eq!(heard, [other as u8, round, 0x55, 0x55, 0x55], "leg {number}");
            }
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.bell.ring();
        self.thread.join().expect("the thread has contained the defect");
    }
}

/// One defect. `stage`: where; `None`: in the tap.
fn strike(stage: Option<Stage>) {
    let mut voices: Vec<Voice> = (0..LEGS).map(|number| Voice::new(number, number / 2)).collect();
    if stage == Some(Stage::Relayed) {
        let behind = "198.51.100.7:50007".parse().expect("an address");
        voices[STRUCK].client.go_behind_relay(Via::Udp, behind);
    }
    let struck = voices[STRUCK].client.leg;
    let mut bench = Bench::start(stage, &voices[STRUCK].client);
    for pair in voices.chunks_exact_mut(2) {
        for voice in pair.iter_mut() {
            bench.bring_up(voice);
        }
        bench.talk(pair[0].room, 1, &[pair[0].client.leg, pair[1].client.leg]);
    }
    let last = voices[usize::from(LEGS) - 1].room;
    bench.until_event("the last plan", |room, kind| {
        room == last && matches!(kind, Kind::PlanApplied { .. })
    });

    for round in 0..ROUNDS {
        bench.round(&mut voices, round);
    }
    if stage == Some(Stage::Command) {
        bench.tell(Command::Part {
            leg: struck,
            part: Part::Partner,
        });
    }
    bench.until_event("the end of the leg", |_, kind| match kind {
        Kind::LegDown { leg, cause, .. } => {
            assert_eq!((*leg, *cause), (struck, Cause::Panic), "no other leg ends");
            true
        }
        _ => false,
    });
    for round in ROUNDS..2 * ROUNDS {
        bench.round(&mut voices, round);
    }
    bench.until("the totals", |report| match report {
        Report::Totals(totals, gauges) => {
            assert_eq!(totals.panics, 1);
            gauges.legs == usize::from(LEGS) - 1 && gauges.rooms == usize::from(LEGS) / 2
        }
        Report::Event(event) => {
            assert!(!matches!(event.kind, Kind::LegDown { .. }), "{event:?}");
            false
        }
        Report::Ended(_) | Report::Second(_) => false,
    });

    // The room goes on: somebody else comes into it, and the one who was left hears him.
    let mut next = Voice::new(LEGS + 1, (STRUCK / 2) as u16);
    bench.bring_up(&mut next);
    let left = &mut voices[STRUCK - 1];
    bench.talk(left.room, 2, &[left.client.leg, next.client.leg]);
    bench.until_event("the plan of the two", |room, kind| {
        room == left.room && matches!(kind, Kind::PlanApplied { epoch: 2, .. })
    });
    left.leftovers();
    left.socket.set_nonblocking(false).expect("a socket");
    let (to_left, to_next) = (next.client.speak(b"good day"), left.client.speak(b"and you"));
    bench.send(&next, &to_left);
    assert_eq!(left.hear(), b"good day");
    bench.send(left, &to_next);
    assert_eq!(next.hear(), b"and you");

    for (number, voice) in voices.iter_mut().enumerate() {
        if number / 2 != STRUCK / 2 {
            assert_eq!(voice.leftovers(), 0, "leg {number} heard what nobody said to it");
        }
    }
    bench.end();
}

#[test]
fn a_defect_in_a_packet_of_the_wire_ends_its_leg_alone() {
    strike(Some(Stage::Datagram));
}

#[test]
fn a_defect_in_a_packet_of_the_relay_ends_its_leg_alone() {
    strike(Some(Stage::Relayed));
}

#[test]
fn a_defect_in_the_tap_ends_the_leg_whose_record_it_was() {
    strike(None);
}

#[test]
fn a_defect_in_a_timer_ends_its_leg_alone() {
    strike(Some(Stage::Tick));
}

#[test]
fn a_defect_in_a_command_ends_its_leg_alone() {
    strike(Some(Stage::Command));
}
