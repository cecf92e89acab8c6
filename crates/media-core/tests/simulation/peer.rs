//! One client: a browser's ICE, DTLS and life, on a virtual clock.
//!
//! The handshake is the real one on both ends. A client knows nothing of the engine but what comes over the wire.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media_core::command::{AddLeg, IceCredentials, NewTransport};
use media_core::dtls::{Certificate, Handshake, Output};
use media_core::limits::MS;
use media_core::matrix::Part;
use media_core::srtp::Profile;
use media_core::{LegId, RoomId, TapId, TransportId, demux};
use stun::binding::{self, Check, Role};
use stun::{Class, Key, Message};

use crate::chance::Chance;
use crate::media::{Heard, Media, Under};
use crate::network::Line;

/// Between two checks once one was answered, as Chromium has it.
pub(crate) const CHECK: u64 = 2_500 * MS;
/// Between two checks before.
pub(crate) const CHECK_FIRST: u64 = 50 * MS;
/// Datagrams of a client that an eavesdropper keeps.
const OVERHEARD: usize = 12;

/// What a client is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It does what a browser does.
    Well,
    /// Never sends a check.
    Mute,
    /// Checks, and never shakes hands.
    WithoutHandshake,
    /// Shows another certificate than it announced.
    Impostor,
    /// Closed, crashed, out of reach: it sends nothing more.
    Gone,
}

/// One datagram as an eavesdropper keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Overheard {
    pub(crate) bytes: Vec<u8>,
    /// For a check with a right password: of which transport.
    pub(crate) proof: Option<TransportId>,
}

pub(crate) struct Peer {
    pub(crate) call: usize,
    pub(crate) leg: LegId,
    pub(crate) tap: TapId,
    pub(crate) part: Part,
    pub(crate) life: Life,
    pub(crate) address: SocketAddr,
    /// Which certificate it announces: another one after every reload, as a browser makes it.
    pub(crate) certificate: usize,
    pub(crate) up: Line,
    pub(crate) down: Line,
    pub(crate) transport: TransportId,
    pub(crate) ice: IceCredentials,
    key: Key,
    checks: u64,
    /// A check of this transport was answered.
    pub(crate) answered: bool,
    pub(crate) dtls: Option<Handshake>,
    pub(crate) media: Media,
    /// Between two packets of the voice.
    pub(crate) frame: u64,
    /// Until then it does nothing at all: a lid that was closed.
    pub(crate) asleep_until: u64,
    /// When it last got its keys.
    pub(crate) up_at: u64,
    pub(crate) overheard: std::collections::VecDeque<Overheard>,
    /// ICE restarts of this transport.
    pub(crate) restarts: u16,
    /// Whom it heard.
    pub(crate) heard: Vec<Ears>,
    /// When the music was heard last, and the newest plan under which a frame of it was sent.
    pub(crate) music: Option<(u64, u64)>,
}

/// What a client heard of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ears {
    pub(crate) speaker: u32,
    pub(crate) words: u32,
    /// When the last word came.
    pub(crate) at: u64,
    /// The newest plan under which one was sent.
    pub(crate) epoch: u64,
}

/// What a client needs to begin.
pub(crate) struct Begin {
    pub(crate) call: usize,
    pub(crate) leg: LegId,
    pub(crate) number: u32,
    pub(crate) part: Part,
    pub(crate) life: Life,
    pub(crate) address: SocketAddr,
    pub(crate) transport: TransportId,
}

/// Credentials that no other transport or restart has.
pub(crate) fn credentials(unique: u64) -> IceCredentials {
    IceCredentials {
        local_ufrag: format!("s{unique:09x}"),
        local_pwd: format!("password-of-the-server-{unique:09x}"),
        remote_ufrag: format!("c{unique:x}"),
    }
}

impl Peer {
    pub(crate) fn new(begin: &Begin, chance: &mut Chance) -> Peer {
        let ice = credentials(begin.transport.0 << 16);
        let frame = if chance.permille(250) { 20 * MS } else { 100 * MS };
        Peer {
            call: begin.call,
            leg: begin.leg,
            tap: TapId(begin.number),
            part: begin.part,
            life: begin.life,
            address: begin.address,
            certificate: begin.number as usize,
            up: Line::any(chance),
            down: Line::any(chance),
            transport: begin.transport,
            key: Key::new(ice.local_pwd.as_bytes()),
            ice,
            checks: 0,
            answered: false,
            dtls: None,
            media: Media::new(begin.number, first_ssrc(begin.transport), true, chance),
            frame,
            asleep_until: 0,
            up_at: 0,
            overheard: std::collections::VecDeque::new(),
            restarts: 0,
            heard: Vec::new(),
            music: None,
        }
    }

    /// A page that was loaded anew: nothing of the old one is left but the person.
    pub(crate) fn reload(&mut self, transport: TransportId, address: SocketAddr, chance: &mut Chance) {
        let stream = self.media.stream + 1;
        self.media = Media::new(self.media.number, first_ssrc(transport), true, chance);
        self.media.stream = stream;
        self.transport = transport;
        self.address = address;
        self.certificate += 1;
        self.dtls = None;
        self.answered = false;
        self.restarts = 0;
        self.asleep_until = 0;
        self.restart(credentials(transport.0 << 16));
    }

    /// New credentials for the same transport.
    pub(crate) fn restart(&mut self, ice: IceCredentials) {
        self.key = Key::new(ice.local_pwd.as_bytes());
        self.ice = ice;
    }

    /// `certificate`: what it announces; `ours`: what it is shown.
    pub(crate) fn new_transport(&self, certificate: &Certificate, ours: &Certificate) -> NewTransport {
        NewTransport {
            id: self.transport,
            ice: credentials(self.transport.0 << 16),
            fingerprint: certificate.fingerprint().0,
            certificate: ours.clone(),
            media: self.media.params,
        }
    }

    pub(crate) fn add(&self, room: RoomId, certificate: &Certificate, ours: &Certificate) -> AddLeg {
        AddLeg {
            room,
            leg: self.leg,
            part: self.part,
            tap: self.tap,
            transport: self.new_transport(certificate, ours),
        }
    }

    pub(crate) fn hears(&mut self, now: u64, epoch: u64, speaker: u32) {
        match self.heard.iter_mut().find(|ears| ears.speaker == speaker) {
            Some(ears) => {
                ears.words += 1;
                ears.at = now;
                ears.epoch = ears.epoch.max(epoch);
            }
            None => self.heard.push(Ears {
                speaker,
                words: 1,
                at: now,
                epoch,
            }),
        }
    }

    pub(crate) fn hears_music(&mut self, now: u64, epoch: u64) {
        let before = self.music.map_or(0, |(_, before)| before);
        self.music = Some((now, before.max(epoch)));
    }

    pub(crate) fn is_up(&self) -> bool {
        self.media.keys.is_some() && self.life != Life::Gone
    }

    /// A connectivity check, signed with `password` if one is given.
    pub(crate) fn check(&mut self, password: Option<&str>) -> Vec<u8> {
        self.checks += 1;
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.media.number.to_be_bytes());
        transaction[4..].copy_from_slice(&self.checks.to_be_bytes());
        let check = Check {
            transaction,
            username: &format!("{}:{}", self.ice.local_ufrag, self.ice.remote_ufrag),
            priority: 1_845_501_695,
            role: Role::Controlling(u64::from(self.media.number) + 1),
            nominate: true,
        };
        let mut buffer = [0; 256];
        let mut wrong = password.map(|password| Key::new(password.as_bytes()));
        let key = wrong.as_mut().unwrap_or(&mut self.key);
        let len = binding::check(&mut buffer, &check, key).expect("a check has some 130 bytes");
        buffer[..len].to_vec()
    }

    /// Remembers what was sent, for those who listen in.
    pub(crate) fn overhear(&mut self, bytes: &[u8], proof: Option<TransportId>, chance: &mut Chance) {
        if proof.is_none() && !chance.permille(150) {
            return;
        }
        if self.overheard.len() == OVERHEARD {
            self.overheard.pop_front();
        }
        self.overheard.push_back(Overheard {
            bytes: bytes.to_vec(),
            proof,
        });
    }

    /// One datagram that came to this client; what it sends for it goes to `out`.
    pub(crate) fn take(&mut self, bytes: Vec<u8>, under: Under, out: &mut Vec<Vec<u8>>) -> Heard {
        match demux::protocol(&bytes) {
            demux::Protocol::Rtp => self.media.take_rtp(bytes, under, out),
            demux::Protocol::Rtcp => self.media.take_rtcp(bytes, out),
            demux::Protocol::Stun => {
                let success = Message::parse(&bytes)
                    .is_ok_and(|message| message.class() == Class::Success && message.verify(&mut self.key));
                self.answered |= success;
                Heard::Early
            }
            demux::Protocol::Dtls => Heard::Early,
            demux::Protocol::Other => Heard::Wrong("a datagram of no protocol"),
        }
    }

    /// Begins the handshake once a check was answered.
    pub(crate) fn shake_hands(&mut self, now: Instant, own: &Certificate, server: &Certificate) {
        let profiles: &[Profile] = match self.media.number % 8 {
            0 => &[Profile::AesCm128Sha1],
            1 => &[Profile::AeadAes256Gcm],
            _ => &[Profile::AeadAes128Gcm, Profile::AesCm128Sha1],
        };
        self.dtls = Some(Handshake::client(own, server.fingerprint(), profiles, now));
    }

    /// What the handshake wants sent, and when it wants to be woken. True when it has just brought the keys.
    pub(crate) fn drain(&mut self, out: &mut Vec<Vec<u8>>) -> (bool, Option<Instant>) {
        let mut fresh = false;
        let Some(dtls) = self.dtls.as_mut() else {
            return (false, None);
        };
        while let Some(output) = dtls.poll() {
            match output {
                Output::Datagram(bytes) => out.push(bytes),
                Output::Keys(keys) => {
                    self.media.keys = Some(keys);
                    fresh = true;
                }
                Output::Failed(_) | Output::Closed => {}
            }
        }
        (fresh, dtls.next_timeout())
    }
}

/// The SSRCs of the streams to a transport: three in a row that no other has.
fn first_ssrc(transport: TransportId) -> u32 {
    (transport.0 as u32) << 2
}

/// Virtual time as the handshakes want it.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other origin; only differences to it are used"
    )]
    pub(crate) fn new() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn instant(self, now: u64) -> Instant {
        self.0 + Duration::from_nanos(now)
    }

    pub(crate) fn nanoseconds(self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.0).as_nanos() as u64
    }
}
