//! One client of a bed: ICE controlling side, SRTP with the roles swapped, one voice with numbers of its own.

use std::net::SocketAddr;
use std::sync::OnceLock;

use media_core::command::{Command, IceCredentials, MediaParams, NewTransport, SlotParams};
use media_core::dtls::Certificate;
use media_core::limits::SLOTS_PER_LEG_MAX;
use media_core::matrix::Part;
use media_core::origin::{Local, Path, Relayed, Via};
use media_core::rtcp::{self, Block};
use media_core::rtp::Header;
use media_core::srtp::{Keys, Profile, RTCP_OVERHEAD_MAX, RTP_OVERHEAD_MAX, Role};
use media_core::{LegId, TapId, TransportId};
use stun::Key;
use stun::binding::{self, Check};

use super::Sent;

/// Samples of 20 ms.
const FRAME_SAMPLES: u32 = 960;

/// What a client offered.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Payload type of Opus.
    pub opus: u8,
    /// Payload type of RED.
    pub red: Option<u8>,
    /// Payload type of telephone events.
    pub dtmf: Option<u8>,
    /// Id of the level extension.
    pub level: Option<u8>,
    /// SSRC of the voice.
    pub ssrc: u32,
}

/// A packet that reached a client.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its header.
    pub header: Header,
    /// The level it carries under the client's own extension id.
    pub level: Option<u8>,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// See the top of this file.
pub struct Client {
    /// The leg.
    pub leg: LegId,
    /// What it is to the call.
    pub part: Part,
    /// Its number in the tap.
    pub tap: TapId,
    /// The transport in use.
    pub transport: TransportId,
    /// Where it sends from; behind the relay: the virtual relayed address.
    pub address: SocketAddr,
    /// On the wire: to which address of the machine it sends.
    pub local: Local,
    /// Its path, while it is behind the relay.
    pub path: Option<Path>,
    /// What it offered.
    pub numbers: Numbers,
    /// Whether lost packets are asked for and sent again, both ways.
    pub nack: bool,
    /// Whether both sides make use of in-band FEC.
    pub fec: bool,
    /// False: the answer lets it only listen.
    pub uplink: bool,
    /// How many slots it was given.
    pub slots: usize,
    /// Index of the next packet.
    pub index: u64,
    /// Timestamp of the next packet.
    pub timestamp: u32,
    /// Level of what it says: -dBov, 0 loud to 127 silent, and whether it is voice.
    pub loudness: (u8, bool),
    /// Whether checks claim the controlled role, which is ours.
    pub controlled: bool,
    profile: Profile,
    keys: Keys,
    /// Distinguishes transports and restarts of one client.
    generation: u64,
    /// The generation in which this transport began: a restart brings credentials, and no keys.
    keyed: u64,
    checks: u32,
}

impl Client {
    /// Client number `number`, 0 to 7 so that payload types differ between any two of a room.
    ///
    /// # Panics
    /// Never: the keying material has the profile's length.
    #[must_use]
    pub fn new(number: u16, part: Part) -> Client {
        Client::with_profile(number, part, Profile::AeadAes128Gcm)
    }

    /// As [`Client::new`], with another protection profile.
    ///
    /// # Panics
    /// Never: the keying material has the profile's length.
    #[must_use]
    pub fn with_profile(number: u16, part: Part, profile: Profile) -> Client {
        let small = (number % 8) as u8;
        Client {
            leg: LegId(100 + u128::from(number)),
            part,
            tap: TapId(200 + u32::from(number)),
            transport: TransportId(u64::from(number) << 32),
            address: SocketAddr::from(([192, 0, 2 + (number >> 8) as u8, number as u8], 5_000 + number)),
            local: Local::UNNAMED,
            path: None,
            numbers: Numbers {
                opus: 96 + small,
                red: Some(104 + small),
                dtmf: Some(112 + small),
                level: Some(1 + small),
                ssrc: 0xABCD_0000 + u32::from(number),
            },
            nack: false,
            fec: false,
            uplink: true,
            slots: SLOTS_PER_LEG_MAX,
            index: 40_000 + u64::from(number),
            timestamp: 0xFFFF_0000,
            loudness: (30, true),
            controlled: false,
            profile,
            keys: keys(profile, number, 0, Role::Client),
            generation: 0,
            keyed: 0,
            checks: 0,
        }
    }

    fn number(&self) -> u16 {
        (self.leg.0 - 100) as u16
    }

    /// Our side's user name fragment for it.
    #[must_use]
    pub fn local_ufrag(&self) -> String {
        format!("s{:03}g{:03}", self.number(), self.generation)
    }

    /// Our side's password for it.
    #[must_use]
    pub fn local_pwd(&self) -> String {
        format!("server-password-{:03}-{:03}", self.number(), self.generation)
    }

    /// Credentials of both sides.
    #[must_use]
    pub fn ice(&self) -> IceCredentials {
        IceCredentials {
            local_ufrag: self.local_ufrag(),
            local_pwd: self.local_pwd(),
            remote_ufrag: format!("c{:03}", self.number()),
        }
    }

    /// New credentials, as an ICE restart brings them; keys stay.
    pub fn restart(&mut self) {
        self.generation += 1;
    }

    /// What the desk tells the shard of the restart.
    #[must_use]
    pub fn restart_command(&self) -> Command {
        Command::Restart {
            leg: self.leg,
            fingerprint: Some(self.fingerprint()),
            ice: Box::new(self.ice()),
            media: None,
        }
    }

    /// What the desk tells the shard when the same page offers again: numbers, slots and uplink as they are now.
    #[must_use]
    pub fn media_command(&self) -> Command {
        Command::Media {
            leg: self.leg,
            fingerprint: self.fingerprint(),
            media: Box::new(self.transport().media),
        }
    }

    /// That of its certificate: another one after every reload.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut fingerprint = [self.number() as u8; 32];
        fingerprint[31] ^= self.transport.0 as u8;
        fingerprint
    }

    /// From now on it speaks through an allocation of its own on the relay; another call, another allocation.
    pub fn go_behind_relay(&mut self, via: Via, virtual_address: SocketAddr) {
        let before = self.path.map_or(0, |path| path.allocation[1]);
        self.path = Some(Path {
            allocation: [self.tap.0, before + 1],
            end: 0,
            via,
        });
        self.address = virtual_address;
    }

    /// From now on it speaks straight, from this address.
    pub fn go_direct(&mut self, address: SocketAddr) {
        self.path = None;
        self.address = address;
    }

    /// What the relay says of its datagrams, while it is behind it.
    #[must_use]
    pub fn relayed(&self) -> Option<Relayed> {
        Some(Relayed {
            path: self.path?,
            address: self.address,
            leg: self.leg,
        })
    }

    /// A page reload: new credentials, new transport, new keys, new numbers of the voice, another address.
    pub fn reload(&mut self) {
        self.generation += 1;
        self.keyed = self.generation;
        self.transport = TransportId(self.transport.0 + 1);
        self.keys = keys(self.profile, self.number(), self.generation, Role::Client);
        self.numbers.ssrc = self.numbers.ssrc.wrapping_add(0x100);
        self.index = 7;
        self.timestamp = 123_456;
        self.address.set_port(self.address.port() + 100);
    }

    /// The engine's keys of this client's present transport.
    #[must_use]
    pub fn server_keys(&self) -> Keys {
        keys(self.profile, self.number(), self.keyed, Role::Server)
    }

    /// This client's own keys of its present transport, with which nothing was opened yet.
    #[must_use]
    pub fn fresh_keys(&self) -> Keys {
        keys(self.profile, self.number(), self.keyed, Role::Client)
    }

    /// What offer and answer made of it.
    #[must_use]
    pub fn transport(&self) -> NewTransport {
        let slot = |place: usize| {
            (place < self.slots).then(|| SlotParams {
                ssrc: self.slot_ssrc(place),
                sequence: 0x7FF0,
                timestamp: 1_000,
            })
        };
        NewTransport {
            id: self.transport,
            ice: self.ice(),
            fingerprint: self.fingerprint(),
            certificate: certificate(),
            media: MediaParams {
                opus: self.numbers.opus,
                red: self.numbers.red,
                dtmf: self.numbers.dtmf,
                audio_level: self.numbers.level,
                nack: self.nack,
                fec: self.fec,
                uplink: self.uplink,
                slots: std::array::from_fn(slot),
            },
        }
    }

    /// The SSRC of the slot at `place`.
    #[must_use]
    pub fn slot_ssrc(&self, place: usize) -> u32 {
        0x5000_0000 + (u32::from(self.number()) << 8) + place as u32
    }

    /// A connectivity check.
    ///
    /// # Panics
    /// Never: the buffer is large enough.
    pub fn check(&mut self, nominate: bool) -> Vec<u8> {
        let pwd = self.local_pwd();
        self.check_with(nominate, &pwd)
    }

    /// A connectivity check signed with `pwd`.
    ///
    /// # Panics
    /// Never: the buffer is large enough.
    pub fn check_with(&mut self, nominate: bool, pwd: &str) -> Vec<u8> {
        self.checks += 1;
        let mut transaction = [self.number() as u8; 12];
        transaction[8..].copy_from_slice(&self.checks.to_be_bytes());
        let ice = self.ice();
        let tie = u64::from(self.number()) + 1;
        let check = Check {
            transaction,
            username: &format!("{}:{}", ice.local_ufrag, ice.remote_ufrag),
            priority: 1_845_501_695,
            role: if self.controlled {
                binding::Role::Controlled(tie)
            } else {
                binding::Role::Controlling(tie)
            },
            nominate,
        };
        let mut buffer = [0; 256];
        let len = binding::check(&mut buffer, &check, &mut Key::new(pwd.as_bytes())).expect("a check has 120 bytes");
        buffer[..len].to_vec()
    }

    /// The next packet of the voice, sealed.
    pub fn speak(&mut self, payload: &[u8]) -> Vec<u8> {
        let packet = self.packet(self.numbers.opus, payload);
        self.step();
        packet
    }

    /// Moves on by one packet of 20 ms.
    pub fn step(&mut self) {
        self.index += 1;
        self.timestamp = self.timestamp.wrapping_add(FRAME_SAMPLES);
    }

    /// The packet that is next, without moving on: `kind` is its payload type.
    ///
    /// # Panics
    /// Beyond 1,400 bytes of payload.
    pub fn packet(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, kind];
        packet.extend_from_slice(&(self.index as u16).to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.numbers.ssrc.to_be_bytes());
        let (level, voice) = self.loudness;
        let id = self.numbers.level.unwrap_or(0);
        packet.extend_from_slice(&[0xBE, 0xDE, 0, 1, id << 4, u8::from(voice) << 7 | level, 0, 0]);
        packet.extend_from_slice(payload);
        self.seal(packet)
    }

    /// Seals any plain RTP packet under the index that is next.
    ///
    /// # Panics
    /// If it is no RTP packet, or its sequence number is not that of the index.
    pub fn seal(&mut self, mut packet: Vec<u8>) -> Vec<u8> {
        let len = packet.len();
        packet.resize(len + RTP_OVERHEAD_MAX, 0);
        let sealed = self.keys.outbound.seal_rtp(&mut packet, len, self.index);
        packet.truncate(sealed.expect("a good packet and room for its tag"));
        packet
    }

    /// A receiver report about slot `place`, sealed.
    ///
    /// # Panics
    /// Never: the buffer is large enough.
    pub fn report(&mut self, place: usize, fraction_lost: u8) -> Vec<u8> {
        let block = Block {
            ssrc: self.slot_ssrc(place),
            fraction_lost,
            cumulative_lost: 1,
            highest: 100,
            jitter: 48,
            last_sr: 0,
            delay_since_sr: 0,
        };
        let mut plain = [0; 256];
        let len = rtcp::receiver_report(&mut plain, self.numbers.ssrc, &[block], "client").expect("it fits");
        self.seal_rtcp(&plain[..len])
    }

    /// A request for packets of slot `place` (RFC 4585 §6.2.1), ascending; sealed.
    ///
    /// # Panics
    /// Beyond 60 numbers.
    pub fn nack_for(&mut self, place: usize, numbers: &[u16]) -> Vec<u8> {
        let mut plain = [0; 256];
        let media = self.slot_ssrc(place);
        let len = rtcp::nack(&mut plain, self.numbers.ssrc, media, numbers).expect("it fits");
        self.seal_rtcp(&plain[..len])
    }

    /// Seals a plain compound.
    ///
    /// # Panics
    /// If it is no RTCP.
    pub fn seal_rtcp(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut packet = plain.to_vec();
        packet.resize(plain.len() + RTCP_OVERHEAD_MAX, 0);
        let sealed = self.keys.outbound.seal_rtcp(&mut packet, plain.len());
        packet.truncate(sealed.expect("a good compound and room for its tag"));
        packet
    }

    /// Opens what was sent to this client; what is no RTP or sent to others is left out.
    ///
    /// # Panics
    /// If a packet sent here does not open: the engine sealed it wrongly.
    pub fn open_all(&mut self, sent: &[Sent]) -> Vec<Heard> {
        let mine = sent.iter().filter(|sent| sent.to == self.address);
        let rtp = mine.filter(|sent| matches!(sent.bytes[..], [128..=191, 0..=191 | 224..=255, ..]));
        let packets: Vec<Vec<u8>> = rtp.map(|sent| sent.bytes.clone()).collect();
        packets.into_iter().map(|packet| self.open(packet)).collect()
    }

    fn open(&mut self, mut packet: Vec<u8>) -> Heard {
        let opened = self.keys.inbound.open_rtp(&mut packet).expect("sealed for this client");
        let plain = &packet[..opened.len];
        let payload = opened.header.payload(plain).expect("padding that fits");
        let level = self.numbers.level.and_then(|id| opened.header.level(plain, id));
        Heard {
            header: opened.header,
            level: level.map(|level| level.loudness),
            payload: plain[payload].to_vec(),
        }
    }

    /// Opens the reports that were sent to this client; plain compounds.
    ///
    /// # Panics
    /// If one does not open.
    pub fn open_reports(&mut self, sent: &[Sent]) -> Vec<Vec<u8>> {
        let mine = sent.iter().filter(|sent| sent.to == self.address);
        let reports = mine.filter(|sent| matches!(sent.bytes[..], [128..=191, 192..=223, ..]));
        let packets: Vec<Vec<u8>> = reports.map(|sent| sent.bytes.clone()).collect();
        let open = |mut packet: Vec<u8>| {
            let len = self
                .keys
                .inbound
                .open_rtcp(&mut packet)
                .expect("sealed for this client");
            packet.truncate(len);
            packet
        };
        packets.into_iter().map(open).collect()
    }
}

/// What the engine's side shows to all clients: no bed ever shakes hands, so nothing depends on which it is.
///
/// # Panics
/// Without a source of randomness.
#[must_use]
pub fn certificate() -> Certificate {
    static ONE: OnceLock<Certificate> = OnceLock::new();
    ONE.get_or_init(|| Certificate::generate().expect("the provider makes keys"))
        .clone()
}

/// Keying material that is different for every client and transport, and no secret.
fn keys(profile: Profile, number: u16, generation: u64, role: Role) -> Keys {
    let material: Vec<u8> = (0..profile.keying_material_len())
        .map(|place| {
            (place as u8).wrapping_mul(31) ^ (number as u8).wrapping_mul(7) ^ (generation as u8).wrapping_mul(101)
        })
        .collect();
    Keys::derive(profile, &material, role).expect("the length is the profile's")
}
