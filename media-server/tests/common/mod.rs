//! A media server on loopback and scripted clients with real sockets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use call_model::{CallId, LegId};
use media_core::dtls::Certificate;
use media_server::{Config, MediaServer};
use ports::{Announce, LegGrant, Media, MediaEvent, Part, Plan, Red, Secret, Shield, Stance, Tap};
use testkit::peer::{Numbers, Peer};

/// Samples of a 20 ms frame at 48 kHz.
pub(crate) const FRAME: u32 = 960;
/// How long anything on loopback may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

static FOLDERS: AtomicU64 = AtomicU64::new(0);

/// A running server with a folder of its own.
pub(crate) struct Server {
    pub(crate) server: Option<MediaServer>,
    pub(crate) media: Arc<dyn Media>,
    pub(crate) registry: prometheus::Registry,
    pub(crate) folder: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::start_at(folder(), 1)
    }

    pub(crate) fn start_at(folder: PathBuf, epoch: u64) -> Server {
        let loopback = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        Server::start_bound(folder, epoch, loopback.clone(), loopback)
    }

    pub(crate) fn start_bound(folder: PathBuf, epoch: u64, bind: Vec<IpAddr>, advertise: Vec<IpAddr>) -> Server {
        let mut config = Config::new(folder.clone(), "test".to_owned(), epoch, bind, advertise);
        config.base_port = 0;
        // Whoever is up first hears nothing but the other.
        config.waiting.music = Some(media_server::HoldMusic::Silence);
        config.keep_after_stored_s = 0;
        config.disk_marks = media_server::recorder::Marks::LAST_BYTE;
        let registry = prometheus::Registry::new();
        let server = MediaServer::start(config, &registry).expect("media starts");
        Server {
            media: server.media(),
            server: Some(server),
            registry,
            folder,
        }
    }

    /// Every event until one satisfies `wanted`; all are acknowledged.
    pub(crate) async fn events_until(&self, mut wanted: impl FnMut(&MediaEvent) -> bool) -> Vec<MediaEvent> {
        let mut seen = Vec::new();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut done = false;
            for event in self.media.outstanding(1_000) {
                done |= wanted(&event);
                self.media.acknowledge(event.room, event.seq);
                seen.push(event);
            }
            if done {
                return seen;
            }
            let more = tokio::time::timeout_at(deadline, self.media.changed()).await;
            assert!(more.is_ok(), "no such event; seen: {seen:#?}");
        }
    }

    /// Admits a leg and gives its secret.
    pub(crate) async fn admit(&self, room: CallId, leg: LegId, part: Part, number: u8) -> Secret {
        let secret = Secret::new([number; 32]);
        let grant = LegGrant {
            secret: secret.clone(),
            leg,
            room,
            part,
            uplink: true,
            red: Red::Offer,
            first_offer_s: 120,
        };
        self.media.admit(grant).await.expect("admitted");
        secret
    }

    pub(crate) fn talk(&self, room: CallId, legs: &[LegId], epoch: u64, tap: Tap) {
        let stances: Vec<_> = legs.iter().map(|leg| (*leg, Stance::Talk)).collect();
        self.plan(room, &stances, epoch, tap);
    }

    pub(crate) fn plan(&self, room: CallId, stances: &[(LegId, Stance)], epoch: u64, tap: Tap) {
        self.announced(room, stances, epoch, tap, Announce::Nobody);
    }

    /// A plan with a rule of who is told of supervisors.
    pub(crate) fn announced(
        &self,
        room: CallId,
        stances: &[(LegId, Stance)],
        epoch: u64,
        tap: Tap,
        announce: Announce,
    ) {
        let stances = stances.to_vec();
        self.media.plan(Plan {
            room,
            epoch,
            stances,
            tap,
            announce,
            shield: Shield::Off,
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        // A folder that stays behind is no reason for a test to fail.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn folder() -> PathBuf {
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("helpline-media-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

/// A scripted client with a socket.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) socket: UdpSocket,
    /// Where everything goes, if not to the first candidate.
    pub(crate) to: Option<SocketAddr>,
    /// The kernel drops what comes from elsewhere.
    pub(crate) strict: bool,
    /// Payload types and payloads of what it heard.
    pub(crate) heard: Vec<(u8, u16, Vec<u8>)>,
}

impl Client {
    pub(crate) fn new(opus: u8, level: u8, ssrc: u32) -> Client {
        Client::at(Ipv4Addr::LOCALHOST.into(), opus, level, ssrc)
    }

    /// At this address of the machine.
    pub(crate) fn at(ip: IpAddr, opus: u8, level: u8, ssrc: u32) -> Client {
        let numbers = Numbers {
            opus,
            level,
            ssrc,
            sequence: 7,
            timestamp: 99,
        };
        let certificate = Certificate::generate().expect("a certificate");
        let socket = UdpSocket::bind((ip, 0)).expect("a port");
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .expect("a time-out");
        let random = u64::from(ssrc) << 32 | u64::from(opus) << 8 | u64::from(level);
        Client {
            peer: Peer::new(numbers, certificate, random),
            socket,
            to: None,
            strict: false,
            heard: Vec::new(),
        }
    }

    /// Offers, and takes the answer.
    pub(crate) async fn join(&mut self, media: &dyn Media, secret: Secret) {
        let answer = media
            .offer(secret, ports::Sdp(self.peer.offer()))
            .await
            .expect("an answer");
        self.peer.answer(now(), &answer.sdp.0).expect("a good answer");
    }

    fn destination(&self) -> Option<SocketAddr> {
        self.to.or(self.peer.destination())
    }

    /// Sends what waits and takes what has come: from nowhere but where everything goes.
    pub(crate) fn turn(&mut self) {
        self.peer.timeout(now()).expect("the handshake goes well");
        self.flush();
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            // A strict socket may hold what came before it became so.
            assert!(self.strict || Some(from) == self.destination(), "{from}");
            let heard = self
                .peer
                .datagram(now(), &mut buffer[..len])
                .expect("the handshake goes well");
            if let Some(heard) = heard {
                let payload = buffer[heard.payload.0..heard.payload.1].to_vec();
                self.heard
                    .push((heard.header.payload_type, heard.header.sequence, payload));
            }
            self.flush();
        }
    }

    fn flush(&mut self) {
        while let (Some(datagram), Some(to)) = (self.peer.poll(), self.destination()) {
            self.socket.send_to(&datagram, to).expect("sent");
        }
    }

    /// Sends raw bytes to the server, as a stranger would.
    pub(crate) fn throw(&self, bytes: &[u8]) {
        let to = self.destination().expect("an answer came");
        self.socket.send_to(bytes, to).expect("sent");
    }

    /// Says one packet.
    pub(crate) fn say(&mut self, payload: &[u8]) {
        self.send(payload, 30, true);
    }

    /// Sends one packet of a room in which nobody speaks.
    pub(crate) fn hush(&mut self, payload: &[u8]) {
        self.send(payload, 70, false);
    }

    /// `level`: -dBov as the packet has it (RFC 6464).
    fn send(&mut self, payload: &[u8], level: u8, voice: bool) {
        let mut buffer = [0; 1_500];
        let len = self
            .peer
            .speak(&mut buffer, payload, FRAME, level, voice)
            .expect("keys are there");
        self.throw(&buffer[..len]);
    }
}

/// Turns all clients until `done`.
pub(crate) fn until(clients: &mut [&mut Client], what: &str, mut done: impl FnMut(&[&mut Client]) -> bool) {
    let deadline = now() + PATIENCE;
    while !done(clients) {
        assert!(now() < deadline, "waited in vain: {what}");
        for client in clients.iter_mut() {
            client.turn();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test with real sockets has real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
