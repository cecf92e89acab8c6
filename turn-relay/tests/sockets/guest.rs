//! The relay whose UDP is read by somebody else's thread, as the only shard of a node does it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ports::{Accepted, FromRelay, GuestRead, LegId, RelayEgress, RelayGuest, RelayPath, RelayShard, RelaySink, Via};
use stun::{Class, Writer, method};
use turn_relay::client::Event;
use turn_relay::core::address::PeerRule;
use turn_relay::{Config, Metrics, Mode, Neighbours, Relay, RelayHandle, StartFailed};
use udp::{Bell, Interest, Poller};

use crate::bench::Legs;
use crate::certificate::Certificate;
use crate::control::{now, shard};
use crate::user::{User, of_grant, rtp};

/// What the host's poller calls its own bell.
const BELL: u64 = 32;

type Packet = (RelayPath, Vec<u8>);

/// To the host, which is woken by a bell unless it is the one who delivers. Breaks at the end of a batch while `fuse` is
/// lit, and puts it out.
struct Sink {
    to: Sender<Packet>,
    bell: Option<Bell>,
    fuse: Arc<AtomicBool>,
}

impl RelaySink for Sink {
    fn deliver(&mut self, packet: FromRelay<'_>) -> Accepted {
        match self.to.send((packet.path, packet.payload.to_vec())) {
            Ok(()) => Accepted::Taken,
            Err(_) => Accepted::Full,
        }
    }

    fn flush(&mut self) {
        let lit = self.fuse.swap(false, Ordering::Relaxed);
        assert!(!lit, "the defect that a test wants");
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

/// As [`host`], until `over`; the guest is left as it is.
fn host_until(guest: &mut dyn RelayGuest, over: impl Fn() -> bool) {
    while !over() {
        for number in 0..guest.descriptors().len() {
            guest.read(number);
        }
        assert!(guest.write(), "the relay was not stopped");
    }
}

/// Runs the guest as a shard does and sends everything back, until the relay is stopped. How often it looked.
fn host(
    mut guest: Box<dyn RelayGuest>,
    bell: &Bell,
    received: &Receiver<Packet>,
    mut egresses: Vec<Box<dyn RelayEgress>>,
) -> usize {
    let mut poller = Poller::new(8).expect("a descriptor");
    poller.add(bell, BELL, Interest::Read).expect("a descriptor");
    for (descriptor, token) in guest.descriptors().iter().zip(0..) {
        poller.add(descriptor, token, Interest::Read).expect("a descriptor");
    }
    for turns in 1.. {
        let longest = guest.park();
        assert!(longest <= 1_000, "its counters go out every second");
        let ready = poller.wait(longest as i32).expect("it can be waited for");
        guest.unpark();
        for token in (0..ready).filter_map(|index| Some(poller.ready(index)?.token)) {
            match token {
                BELL => bell.hush(),
                number => {
                    guest.read(number as usize);
                }
            }
        }
        for (path, payload) in received.try_iter() {
            let egress = &mut egresses[usize::from(path.worker)];
            assert_eq!(egress.transmit(path, &payload), Accepted::Taken);
            egress.flush();
        }
        if !guest.write() {
            return turns;
        }
    }
    unreachable!("turns are counted for ever")
}

fn config(certificate: &Certificate) -> Config {
    let mut config = Config::new(Mode::Virtual, &[[127, 0, 0, 1].into()], &[0, 0], "localhost");
    config.tls = Some(certificate.files());
    config.udp_workers = 0;
    config
}

fn neighbours(config: &Config, shards: usize, bell: &Bell, fuse: &Arc<AtomicBool>) -> (Neighbours, Receiver<Packet>) {
    let (to, received) = channel();
    let sink = |worker: usize| -> Box<dyn RelaySink> {
        Box::new(Sink {
            to: to.clone(),
            bell: (worker > 0).then(|| bell.clone()),
            fuse: Arc::clone(fuse),
        })
    };
    let shard = |_| RelayShard {
        candidates: vec![shard()],
        sinks: (0..config.workers()).map(sink).collect(),
    };
    let neighbours = Neighbours {
        shards: (0..shards).map(shard).collect(),
        legs: Arc::new(Legs::default()),
    };
    (neighbours, received)
}

fn metrics() -> Metrics {
    Metrics::new(&prometheus::Registry::new()).expect("a fresh registry")
}

fn start(certificate: &Certificate, fuse: &Arc<AtomicBool>) -> (RelayHandle, JoinHandle<usize>) {
    let bell = Bell::new().expect("a descriptor");
    let config = config(certificate);
    let (neighbours, received) = neighbours(&config, 1, &bell, fuse);
    let relay = Relay::start(config, neighbours, metrics()).expect("free ports");
    let egresses = relay.take_egresses().remove(0);
    let guest = relay.take_guest().expect("without a thread for UDP there is a guest");
    assert!(relay.take_guest().is_none(), "the first call takes it");
    let host = std::thread::spawn(move || host(guest, &bell, &received, egresses));
    (relay, host)
}

#[test]
fn a_foreign_thread_carries_udp_beside_tcp_and_tls_and_hears_of_hang_ups() {
    let certificate = Certificate::new();
    let (relay, host) = start(&certificate, &Arc::default());
    let grant = relay.credentials().mint(LegId(5)).expect("a grant");
    let to: Vec<SocketAddr> = relay.addresses().to_vec();
    let mut users = [
        User::udp(to[0], of_grant(&grant)),
        User::udp(to[1], of_grant(&grant)),
        User::tcp(to[0], of_grant(&grant)),
        User::tls(to[1], of_grant(&grant), &certificate.trust()),
    ];
    for user in &mut users {
        user.ready(shard());
        for n in 0..50 {
            user.echo(shard(), &rtp(n));
        }
    }
    let list = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(relay.control().list())
    };
    let count = |via| list().iter().filter(|one| one.via == via).count();
    assert_eq!(Via::ALL.map(count), [2, 1, 1]);
    assert!(list().iter().all(|one| one.packets_down == 50));
    // The letter wakes whoever waits for the sockets.
    relay.control().close_leg(LegId(5));
    while !list().is_empty() {
        std::thread::yield_now();
    }
    drop(relay);
    let turns = host.join().expect("the host ends with the relay");
    assert!(turns >= 100, "{turns}");
}

#[test]
fn a_defect_costs_the_guest_its_allocations_and_its_host_nothing() {
    let certificate = Certificate::new();
    let fuse = Arc::default();
    let (relay, host) = start(&certificate, &fuse);
    let grant = relay.credentials().mint(LegId(5)).expect("a grant");
    let to: Vec<SocketAddr> = relay.addresses().to_vec();
    let mut over_tcp = User::tcp(to[0], of_grant(&grant));
    over_tcp.ready(shard());
    for defects in 1..=3 {
        let mut user = User::udp(to[0], of_grant(&grant));
        user.ready(shard());
        user.echo(shard(), &rtp(1));
        fuse.store(true, Ordering::Relaxed);
        user.line.say(&user.client, shard(), &rtp(2)).expect("a socket");
        let refused = user.ask(|client, now, id| client.refresh(now, id, 600));
        assert!(matches!(refused, Event::Refused { code: 437, .. }), "{refused:?}");
        let health = relay.control().health();
        assert_eq!((health.workers, health.alive, health.panics), (2, 2, defects));
        over_tcp.echo(shard(), &rtp(3));
    }
    drop(relay);
    host.join().expect("the host goes on until the relay is stopped");
}

/// A request of somebody without an allocation.
fn binding(number: u8) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = Writer::new(&mut buffer, Class::Request, method::BINDING, [number; 12])
        .expect("room")
        .finish();
    buffer[..len].to_vec()
}

/// Answers that have come to this socket.
fn answers(socket: &UdpSocket) -> usize {
    socket.set_nonblocking(true).expect("an option");
    std::iter::from_fn(|| socket.recv(&mut [0; 2_048]).ok()).count()
}

/// More lies in the socket than one read takes: who relays media goes before who asks.
#[test]
fn of_a_full_batch_media_is_relayed_and_a_quarter_of_the_strangers_answered() {
    let certificate = Certificate::new();
    let bell = Bell::new().expect("a descriptor");
    let config = config(&certificate);
    let (neighbours, received) = neighbours(&config, 1, &bell, &Arc::default());
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(&registry).expect("a fresh registry");
    let relay = Relay::start(config, neighbours, metrics).expect("free ports");
    let mut guest = relay.take_guest().expect("a guest");
    let to = relay.addresses()[0];
    let mut user = User::udp(to, of_grant(&relay.credentials().mint(LegId(5)).expect("a grant")));
    let preparing = std::thread::spawn(move || {
        user.ready(shard());
        user
    });
    host_until(&mut *guest, || preparing.is_finished());
    let mut user = preparing.join().expect("it has its channel");
    let mut read = || guest.read(0);

    // A batch is 64: of strangers 40, of media 4, and a rest. What is sent on loopback is there when it was sent.
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let flood = |count: u8| {
        for number in 0..count {
            stranger.send_to(&binding(number), to).expect("sent");
        }
    };
    flood(40);
    for n in 0..4 {
        user.line.say(&user.client, shard(), &rtp(n)).expect("sent");
    }
    flood(30);
    let full = GuestRead {
        datagrams: 64,
        strangers: 60,
    };
    assert_eq!(read(), full);
    assert_eq!(received.try_iter().count(), 4, "all that was relayed");
    assert_eq!(answers(&stranger), 16);
    // The rest is all that there is: nobody in it is in the way of anybody.
    let rest = GuestRead {
        datagrams: 10,
        strangers: 10,
    };
    assert_eq!(read(), rest);
    assert_eq!(answers(&stranger), 10);
    assert_eq!(read(), GuestRead::default());
    // A client's own request is no stranger's, and rubbish is.
    user.client.refresh(user.line.now_ms(), [9; 12], 600);
    let asked: Vec<u8> = std::iter::from_fn(|| user.client.poll()).flatten().collect();
    user.line.send(&asked).expect("sent");
    stranger.send_to(&[0x40, 0, 0, 4, 1, 2, 3, 4], to).expect("sent");
    let mixed = GuestRead {
        datagrams: 2,
        strangers: 1,
    };
    assert_eq!(read(), mixed);
    drop(relay);
    assert!(!guest.write(), "the relay was stopped");
    assert!((dropped(&registry, "crowd") - 44.0).abs() < f64::EPSILON);
}

/// What was dropped at this stage.
fn dropped(registry: &prometheus::Registry, stage: &str) -> f64 {
    let families = registry.gather();
    let dropped = families
        .iter()
        .find(|family| family.name() == "helpline_turn_dropped_total");
    let stage = dropped.expect("it is registered").get_metric().iter().find(|one| {
        let labels = one.get_label();
        labels.iter().any(|label| label.value() == stage)
    });
    stage.expect("from the start").get_counter().get_value()
}

/// What is read while it rests is thrown away, so that whoever waits for the socket sleeps.
#[test]
fn a_defect_that_meets_the_guest_in_every_turn_makes_it_rest() {
    let certificate = Certificate::new();
    let bell = Bell::new().expect("a descriptor");
    let config = config(&certificate);
    let fuse = Arc::default();
    let (neighbours, received) = neighbours(&config, 1, &bell, &fuse);
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(&registry).expect("a fresh registry");
    let relay = Relay::start(config, neighbours, metrics).expect("free ports");
    let mut guest = relay.take_guest().expect("a guest");
    let to = relay.addresses()[0];
    let begun = now();
    // Each try: a channel, and a packet on it that meets the defect.
    let mut defects = 0;
    for leg in 0..4 {
        let grant = relay.credentials().mint(LegId(leg)).expect("a grant");
        let mut user = User::udp(to, of_grant(&grant));
        let preparing = std::thread::spawn(move || {
            user.ready(shard());
            user
        });
        host_until(&mut *guest, || preparing.is_finished());
        let mut user = preparing.join().expect("it has its channel, behind the rest");
        fuse.store(true, Ordering::Relaxed);
        user.line.say(&user.client, shard(), &rtp(1)).expect("sent");
        host_until(&mut *guest, || !fuse.load(Ordering::Relaxed));
        defects += 1;
        assert_eq!(relay.control().health().panics, defects);
        if defects > 1 {
            assert!(guest.park() > 0, "its host may sleep, though nothing was worked on");
        }
    }
    // 100, 200 and 400 ms; the last one is not over yet, and a clock of whole milliseconds may be one short.
    assert!(now().duration_since(begun) >= Duration::from_millis(299));
    // It still rests: what comes now is read and thrown away, and counted.
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for _ in 0..3 {
        stranger.send_to(&[0; 20], to).expect("sent");
    }
    let sockets = guest.descriptors().len() - 1;
    let read: usize = (0..sockets).map(|number| guest.read(number).datagrams).sum();
    assert!(read >= 3 && guest.park() > 0, "{read} while it rests");
    drop((received, relay));
    assert!(!guest.write());
    assert!(dropped(&registry, "rest") >= 3.0);
}

#[test]
fn without_a_thread_for_udp_there_must_be_one_shard() {
    let certificate = Certificate::new();
    let bell = Bell::new().expect("a descriptor");
    let refused = |config: Config, shards| {
        let (neighbours, _) = neighbours(&config, shards, &bell, &Arc::default());
        matches!(Relay::start(config, neighbours, metrics()), Err(StartFailed::Config(_)))
    };
    assert!(refused(config(&certificate), 0));
    assert!(refused(config(&certificate), 2));
    let mut off = config(&certificate);
    off.mode = Mode::Off;
    assert!(refused(off, 1));
    let mut sockets = config(&certificate);
    sockets.mode = Mode::AllowList(vec![PeerRule {
        ip: [127, 0, 0, 1].into(),
        port: None,
    }]);
    assert!(refused(sockets, 1));
}
