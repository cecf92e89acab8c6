//! A client behind a relay of the same process, with real ICE, DTLS and SRTP: the relay is played by this test, which
//! holds its ends of the rings.

#[allow(dead_code, reason = "each test file uses its part of it")]
mod common;

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use call_model::{CallId, LegId};
use common::{Client, FRAME, PATIENCE, Server, now, until};
use media_core::dtls::Certificate;
use ports::{
    Accepted, AllocationView, Cause, EventKind, FromRelay, GuestRead, Later, LegState, Part, RelayControl, RelayEgress,
    RelayGuest, RelayHealth, RelayPath, RelaySink, Route, Secret, Tap, TooSoon, Via,
};
use testkit::peer::{Numbers, Peer};

const ROOM: CallId = CallId(0xCA12);
const CUSTOMER: LegId = LegId(11);
const AGENT: LegId = LegId(12);
/// Workers of the relay; the customer is behind the second.
const WORKERS: usize = 2;
const PATH: RelayPath = RelayPath {
    worker: 1,
    slot: 77,
    generation: 3,
    peer: 2,
    via: Via::Tls,
};

/// A worker's end of what shards send.
struct Egress {
    worker: u16,
    out: Sender<Vec<u8>>,
    gone: Arc<AtomicBool>,
    /// Packets that it was handed since then.
    after: Arc<AtomicU64>,
}

impl RelayEgress for Egress {
    fn transmit(&mut self, path: RelayPath, payload: &[u8]) -> Accepted {
        assert_eq!(path.worker, self.worker, "a worker is given what is for it");
        if path != PATH || self.gone.load(Ordering::Relaxed) {
            self.after.fetch_add(1, Ordering::Relaxed);
            return Accepted::Gone;
        }
        self.out.send(payload.to_vec()).expect("the test listens");
        Accepted::Taken
    }

    fn flush(&mut self) {}
}

/// Notes which legs media has closed.
#[derive(Default)]
struct Control(Mutex<Vec<LegId>>);

impl RelayControl for Control {
    fn close_leg(&self, leg: LegId) {
        self.0.lock().expect("nobody panicked").push(leg);
    }

    fn list(&self) -> Later<'_, Vec<AllocationView>> {
        Box::pin(async { Vec::new() })
    }

    fn kill<'a>(&'a self, _id: &'a str) -> Later<'a, bool> {
        Box::pin(async { false })
    }

    fn drain(&self, _draining: bool) {}

    fn health(&self) -> RelayHealth {
        RelayHealth::default()
    }

    fn rotates_in_s(&self) -> u32 {
        0
    }

    fn rotate_secret(&self) -> Result<(), TooSoon> {
        Ok(())
    }
}

/// The relay as media sees it.
struct Relay {
    sinks: Vec<Box<dyn RelaySink>>,
    candidate: SocketAddr,
    /// What the customer believes to send from.
    virtual_address: SocketAddr,
    inbox: Receiver<Vec<u8>>,
    out: Sender<Vec<u8>>,
    gone: Arc<AtomicBool>,
    after: Arc<AtomicU64>,
    control: Arc<Control>,
    /// What is sent to it by.
    wire: UdpSocket,
    /// Where the worker listens that the shard runs, if it does.
    guest: Option<SocketAddr>,
}

impl Relay {
    /// Takes the rings; the ways back are not attached yet.
    fn begin(server: &Server) -> Relay {
        let media = server.server.as_ref().expect("it runs");
        let mut shards = media.relay_shards(WORKERS);
        assert_eq!(shards.len(), 1);
        let shard = shards.remove(0);
        assert_eq!(shard.candidates, media.addresses(), "what is advertised on loopback");
        let (out, inbox) = channel();
        Relay {
            sinks: shard.sinks,
            candidate: shard.candidates[0],
            virtual_address: SocketAddr::from(([203, 0, 113, 5], 50_123)),
            inbox,
            out,
            gone: Arc::default(),
            after: Arc::default(),
            control: Arc::default(),
            wire: UdpSocket::bind("127.0.0.1:0").expect("a port"),
            guest: None,
        }
    }

    fn attach(&self, server: &Server) {
        let egress = |worker: u16| {
            Box::new(Egress {
                worker,
                out: self.out.clone(),
                gone: Arc::clone(&self.gone),
                after: Arc::clone(&self.after),
            }) as Box<dyn RelayEgress>
        };
        let media = server.server.as_ref().expect("it runs");
        let control: Arc<Control> = Arc::clone(&self.control);
        media.attach_relay(control, vec![(0..WORKERS as u16).map(egress).collect()]);
    }

    fn deliver(&mut self, payload: &[u8]) {
        if let Some(guest) = self.guest {
            self.wire.send_to(payload, guest).expect("loopback takes it");
            return;
        }
        let sink = &mut self.sinks[usize::from(PATH.worker)];
        let accepted = sink.deliver(FromRelay {
            path: PATH,
            leg: CUSTOMER,
            relayed: self.virtual_address,
            peer: self.candidate,
            payload,
        });
        assert_eq!(accepted, Accepted::Taken);
        sink.flush();
    }
}

/// A client whose every datagram goes through the relay.
struct Behind {
    peer: Peer,
    relay: Relay,
    heard: Vec<Vec<u8>>,
}

impl Behind {
    fn new(relay: Relay) -> Behind {
        let numbers = Numbers {
            opus: 111,
            level: 1,
            ssrc: 10,
            sequence: 7,
            timestamp: 99,
        };
        let certificate = Certificate::generate().expect("a certificate");
        Behind {
            peer: Peer::new(numbers, certificate, 0x1234_5678_9ABC),
            relay,
            heard: Vec::new(),
        }
    }

    async fn join(&mut self, server: &Server, secret: Secret) {
        let offer = ports::Sdp(self.peer.offer());
        let answer = server.media.offer(secret, offer).await.expect("an answer");
        self.peer.answer(now(), &answer.sdp.0).expect("a good answer");
    }

    fn turn(&mut self) {
        self.peer.timeout(now()).expect("the handshake goes well");
        self.flush();
        while let Ok(mut datagram) = self.relay.inbox.try_recv() {
            let heard = self
                .peer
                .datagram(now(), &mut datagram)
                .expect("the handshake goes well");
            if let Some(heard) = heard {
                self.heard.push(datagram[heard.payload.0..heard.payload.1].to_vec());
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        while let Some(datagram) = self.peer.poll() {
            self.relay.deliver(&datagram);
        }
    }

    /// The next packet of its voice, sealed.
    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 1_500];
        let len = self
            .peer
            .speak(&mut buffer, payload, FRAME, 30, true)
            .expect("keys are there");
        buffer[..len].to_vec()
    }

    fn say(&mut self, payload: &[u8]) {
        let packet = self.packet(payload);
        self.relay.deliver(&packet);
    }
}

/// Turns both until `done`.
fn both(behind: &mut Behind, direct: &mut Client, what: &str, done: impl Fn(&Behind, &Client) -> bool) {
    let deadline = now() + PATIENCE;
    while !done(behind, direct) {
        assert!(now() < deadline, "waited in vain: {what}");
        behind.turn();
        direct.turn();
    }
}

fn frame(n: u16) -> Vec<u8> {
    let mut payload = vec![0xF8, n as u8, (n >> 8) as u8];
    payload.resize(80, 0x55);
    payload
}

fn route_of(events: &[ports::MediaEvent], whose: LegId) -> Option<Route> {
    events.iter().rev().find_map(|event| match event.kind {
        EventKind::LegRoute { leg, route } if leg == whose => Some(route),
        _ => None,
    })
}

fn metrics(server: &Server) -> String {
    prometheus::TextEncoder::new()
        .encode_to_string(&server.registry.gather())
        .expect("text")
}

/// A series of the exposition, or 0 before it is there.
fn value(server: &Server, series: &str) -> f64 {
    let text = metrics(server);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_behind_the_relay_and_one_on_the_wire_hear_each_other() {
    let server = Server::start();
    let legs = server.server.as_ref().expect("it runs").relay_legs();
    assert_eq!(legs.state(CUSTOMER), LegState::Unknown);
    let relay = Relay::begin(&server);
    relay.attach(&server);
    let control = Arc::clone(&relay.control);
    let (mut customer, mut agent) = (Behind::new(relay), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    assert_eq!(legs.state(CUSTOMER), LegState::Granted);
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&server, to_customer.clone()).await;
    agent.join(&*server.media, to_agent).await;
    assert_eq!(legs.state(CUSTOMER), LegState::Live);
    both(&mut customer, &mut agent, "keys", |behind, direct| {
        behind.peer.is_up() && direct.peer.is_up()
    });
    for n in 0..50 {
        customer.say(&frame(n));
        agent.say(&frame(1_000 + n));
        customer.turn();
        agent.turn();
    }
    both(&mut customer, &mut agent, "fifty frames each", |behind, direct| {
        behind.heard.len() >= 50 && direct.heard.len() >= 50
    });
    let frames = |first: u16| (0..50).map(|n| frame(first + n)).collect::<Vec<_>>();
    assert_eq!(customer.heard[..50], frames(1_000), "untouched and in order");
    let heard: Vec<_> = agent.heard.iter().take(50).map(|heard| heard.2.clone()).collect();
    assert_eq!(heard, frames(0));

    let events = server
        .events_until(|event| matches!(event.kind, EventKind::RoomLive))
        .await;
    assert_eq!(route_of(&events, CUSTOMER), Some(Route::Relayed(Via::Tls)));
    assert_eq!(route_of(&events, AGENT), Some(Route::Direct));
    both(&mut customer, &mut agent, "a second of figures", |_, _| {
        let live = |path: &str| value(&server, &format!("helpline_live_legs{{path=\"{path}\"}}"));
        let through = |dir: &str| value(&server, &format!("helpline_media_relay_packets_total{{dir=\"{dir}\"}}"));
        live("turn-tls") == 1.0 && live("direct") == 1.0 && through("up") > 50.0 && through("down") > 50.0
    });
    let seen = server.media.snapshot(ROOM).expect("the room lives");
    let routes = seen.legs.iter().map(|leg| (leg.leg, leg.route));
    let mut routes: Vec<_> = routes.collect();
    routes.sort_by_key(|(leg, _)| leg.0);
    assert_eq!(
        routes,
        [(CUSTOMER, Some(Route::Relayed(Via::Tls))), (AGENT, Some(Route::Direct))]
    );

    server.media.leave(to_customer).expect("the leg is there");
    let ended = |event: &ports::MediaEvent| {
        matches!(&event.kind, EventKind::LegDown { leg: CUSTOMER, cause: Cause::HangUp, summary }
            if summary.route == Some(Route::Relayed(Via::Tls)))
    };
    server.events_until(ended).await;
    assert_eq!(legs.state(CUSTOMER), LegState::Gone);
    assert_eq!(*control.0.lock().expect("nobody panicked"), [CUSTOMER]);
    server.media.close_room(ROOM, Cause::HangUp);
    assert_eq!(
        legs.state(AGENT),
        LegState::Gone,
        "at once, whatever is still to be reported"
    );
    assert_eq!(*control.0.lock().expect("nobody panicked"), [CUSTOMER, AGENT]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_no_way_back_is_counted_and_a_way_that_comes_later_is_taken() {
    let server = Server::start();
    let mut customer = Behind::new(Relay::begin(&server));
    let secret = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    customer.join(&server, secret).await;
    let dropped = |reason: &str| {
        value(
            &server,
            &format!("helpline_media_relay_dropped_total{{reason=\"{reason}\"}}"),
        )
    };
    let deadline = now() + PATIENCE;
    while dropped("no_way") == 0.0 {
        assert!(now() < deadline, "checks are answered, and nobody carries the answers");
        customer.turn();
        tokio::task::yield_now().await;
    }
    assert!(!customer.peer.is_nominated());
    customer.relay.attach(&server);
    let deadline = now() + PATIENCE;
    while !customer.peer.is_up() {
        assert!(now() < deadline, "no keys through the relay");
        customer.turn();
    }
    // An allocation that ended takes nothing with it but its packets.
    customer.relay.gone.store(true, Ordering::Relaxed);
    let deadline = now() + PATIENCE;
    while dropped("gone") == 0.0 {
        assert!(now() < deadline, "reports go on, and their way is gone");
        customer.turn();
        tokio::task::yield_now().await;
    }
    let mut agent = Client::new(96, 3, 20);
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut agent], "keys on the wire", |all| all[0].peer.is_up());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_sends_nothing_by_a_way_that_it_was_told_is_gone() {
    let server = Server::start();
    let relay = Relay::begin(&server);
    relay.attach(&server);
    let (gone, after) = (Arc::clone(&relay.gone), Arc::clone(&relay.after));
    let (mut customer, mut agent) = (Behind::new(relay), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&server, to_customer).await;
    agent.join(&*server.media, to_agent).await;
    both(&mut customer, &mut agent, "keys", |behind, direct| {
        behind.peer.is_up() && direct.peer.is_up()
    });
    agent.say(&frame(0));
    both(&mut customer, &mut agent, "sound through the relay", |behind, _| {
        !behind.heard.is_empty()
    });
    // From here on the customer is silent, so that no check of his brings the way back.
    gone.store(true, Ordering::Relaxed);
    let handed = || after.load(Ordering::Relaxed);
    agent.say(&frame(1));
    until(&mut [&mut agent], "the way was tried", |_| handed() > 0);
    let tried = handed();
    let packets = || value(&server, "helpline_rtp_packets_total{dir=\"up\"}");
    let before = packets();
    for n in 2..52 {
        agent.say(&frame(n));
        agent.turn();
    }
    until(&mut [&mut agent], "fifty packets came", |_| packets() >= before + 50.0);
    // What lay in the same flush as the first one was handed over as well.
    assert!(handed() <= tried + 5, "{} packets for a way that is gone", handed());
}

/// R10, over real sockets: nobody binds a virtual address, but here somebody does, which is what a forged source looks
/// like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_source_on_the_media_port_equal_to_a_live_virtual_address_never_matches_a_relay_path() {
    let server = Server::start();
    let forger = UdpSocket::bind("127.0.0.1:0").expect("a port");
    forger.set_nonblocking(true).expect("it does not wait");
    let mut relay = Relay::begin(&server);
    relay.attach(&server);
    relay.virtual_address = forger.local_addr().expect("an address");
    let media_port = relay.candidate;
    let (mut customer, mut agent) = (Behind::new(relay), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&server, to_customer).await;
    agent.join(&*server.media, to_agent).await;
    both(&mut customer, &mut agent, "keys", |behind, direct| {
        behind.peer.is_up() && direct.peer.is_up()
    });
    let series = "helpline_media_drops_total{reason=\"unknown_source\"}";
    let before = value(&server, series);
    // A voice that is the customer's own in every byte, and a handshake record.
    let stolen = customer.packet(&frame(666));
    forger.send_to(&stolen, media_port).expect("sent");
    forger
        .send_to(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], media_port)
        .expect("sent");
    both(&mut customer, &mut agent, "both dropped", |_, _| {
        value(&server, series) >= before + 2.0
    });
    for n in 0..10 {
        customer.say(&frame(n));
        agent.say(&frame(1_000 + n));
    }
    both(&mut customer, &mut agent, "ten frames each", |behind, direct| {
        behind.heard.len() >= 10 && direct.heard.len() >= 10
    });
    assert!(agent.heard.iter().all(|heard| heard.2 != frame(666)));
    assert_eq!(
        customer.heard[..2],
        [frame(1_000), frame(1_001)],
        "the way back is the path's"
    );
    assert!(
        forger.recv(&mut [0; 2_048]).is_err(),
        "nothing ever went to the address itself"
    );
}

/// A worker that the shard's thread runs: what the test writes to its socket it hands to the shard.
struct Guest {
    socket: udp::Socket,
    batch: udp::Batch,
    sink: Box<dyn RelaySink>,
    relayed: SocketAddr,
    peer: SocketAddr,
    stop: Arc<AtomicBool>,
    left: Sender<()>,
}

impl RelayGuest for Guest {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.socket.as_fd()]
    }

    fn read(&mut self, descriptor: usize) -> GuestRead {
        assert_eq!(descriptor, 0);
        let count = self.batch.receive(&self.socket, 0).expect("it can be read");
        for index in 0..count {
            let (_, len) = self.batch.received(index).expect("whole datagrams");
            let accepted = self.sink.deliver(FromRelay {
                path: PATH,
                leg: CUSTOMER,
                relayed: self.relayed,
                peer: self.peer,
                payload: &self.batch.slot(index)[udp::HEADROOM_BYTES..udp::HEADROOM_BYTES + len],
            });
            assert_eq!(accepted, Accepted::Taken);
        }
        self.sink.flush();
        GuestRead {
            datagrams: count,
            strangers: 0,
        }
    }

    fn write(&mut self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn park(&mut self) -> u32 {
        // How soon it notices that it was stopped, milliseconds.
        10
    }

    fn unpark(&mut self) {}
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A test that has failed does not listen any more.
        let _ = self.left.send(());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_in_the_shards_thread_carries_a_call_until_it_is_stopped_and_the_others_go_on() {
    let server = Server::start();
    let mut relay = Relay::begin(&server);
    relay.attach(&server);
    let socket = udp::Socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let (stop, (left, gone)) = (Arc::<AtomicBool>::default(), channel());
    relay.guest = Some(socket.local());
    let guest = Guest {
        socket,
        batch: udp::Batch::new(64),
        sink: relay.sinks.remove(usize::from(PATH.worker)),
        relayed: relay.virtual_address,
        peer: relay.candidate,
        stop: Arc::clone(&stop),
        left,
    };
    let media = server.server.as_ref().expect("it runs");
    media.attach_relay_guest(Box::new(guest));
    let (mut customer, mut agent) = (Behind::new(relay), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::Off);
    customer.join(&server, to_customer).await;
    agent.join(&*server.media, to_agent.clone()).await;
    both(&mut customer, &mut agent, "keys", |behind, direct| {
        behind.peer.is_up() && direct.peer.is_up()
    });
    for n in 0..50 {
        customer.say(&frame(n));
        agent.say(&frame(1_000 + n));
        customer.turn();
        agent.turn();
    }
    both(&mut customer, &mut agent, "fifty frames each", |behind, direct| {
        behind.heard.len() >= 50 && direct.heard.len() >= 50
    });
    stop.store(true, Ordering::Relaxed);
    gone.recv_timeout(PATIENCE).expect("the shard lets go of it");
    // The thread goes on without it.
    server.media.leave(to_agent).expect("the leg is there");
    let ended = |event: &ports::MediaEvent| matches!(event.kind, EventKind::LegDown { leg: AGENT, .. });
    server.events_until(ended).await;
}
