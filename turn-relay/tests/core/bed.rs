//! A core on a bench: a virtual clock, a seeded random source, and everything that it sends kept in lists.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ports::{Accepted, AllocationView, FromRelay, LegId, LegState, RelayPath, Via};
use stun::{Class, LongTermKey, Message, NoRoom, TransactionId, Writer, attribute, method};
use turn_relay::core::credential::{LegNames, Secret, Secrets, mint};
use turn_relay::core::{
    AllowList, At, Behaviour, Config, Core, Dialect, Edge, Flow, Gate, Handle, Kind, Limits, Listener, Network,
    NonceKey, Outcome, Peers, Quota, Relayed, Shards, Virtual,
};

pub(crate) const REALM: &str = "helpline";
/// Unix time at the beginning of every test.
pub(crate) const BEGIN_S: u64 = 1_800_000_000;
pub(crate) const SHARD_0: &str = "192.0.2.10:40000";
pub(crate) const SHARD_1: &str = "192.0.2.10:40001";
pub(crate) const SHARD_0_V6: &str = "[2001:db8::10]:40000";
pub(crate) const LEG: LegId = LegId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) struct Delivered {
    pub(crate) shard: usize,
    pub(crate) path: RelayPath,
    pub(crate) leg: LegId,
    pub(crate) relayed: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

/// Keeps what the core wants sent; answers what it asks.
pub(crate) struct Outside {
    pub(crate) replies: Vec<(Flow, Vec<u8>)>,
    pub(crate) delivered: Vec<Delivered>,
    pub(crate) sent: Vec<(Handle, SocketAddr, Vec<u8>)>,
    pub(crate) opened: Vec<(Handle, SocketAddr)>,
    pub(crate) freed: Vec<Flow>,
    pub(crate) legs: HashMap<LegId, LegState>,
    pub(crate) every_leg: Option<LegState>,
    pub(crate) accept: Accepted,
    state: u64,
}

impl Edge for Outside {
    fn reply(&mut self, flow: &Flow, bytes: &[u8]) {
        self.replies.push((*flow, bytes.to_vec()));
    }

    fn random(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            *byte = (self.state >> 24) as u8;
        }
    }

    fn leg_state(&self, leg: LegId) -> LegState {
        let known = self.legs.get(&leg).copied().unwrap_or(LegState::Unknown);
        self.every_leg.unwrap_or(known)
    }

    fn freed(&mut self, flow: &Flow) {
        self.freed.push(*flow);
    }
}

impl Shards for Outside {
    fn deliver(&mut self, shard: usize, packet: FromRelay<'_>) -> Accepted {
        self.delivered.push(Delivered {
            shard,
            path: packet.path,
            leg: packet.leg,
            relayed: packet.relayed,
            peer: packet.peer,
            payload: packet.payload.to_vec(),
        });
        self.accept
    }
}

impl Network for Outside {
    fn open(&mut self, handle: Handle, v6: bool, even: bool) -> Option<SocketAddr> {
        let port = 50_000 + 2 * self.opened.len() as u16 + u16::from(!even);
        let ip = if v6 { "::1" } else { "127.0.0.1" };
        let relayed = SocketAddr::new(ip.parse().expect("an address"), port);
        self.opened.push((handle, relayed));
        Some(relayed)
    }

    fn close(&mut self, handle: Handle, relayed: SocketAddr) {
        self.opened.retain(|open| *open != (handle, relayed));
    }

    fn to_peer(&mut self, handle: Handle, peer: SocketAddr, _: bool, payload: &[u8]) -> Accepted {
        self.sent.push((handle, peer, payload.to_vec()));
        Accepted::Taken
    }
}

pub(crate) fn secret(id: u8) -> Secret {
    Secret::new(id, &[id; 32])
}

pub(crate) fn config() -> Config {
    let listener = |text: &str, udp| Listener {
        address: address(text),
        udp,
    };
    Config {
        worker: 0,
        workers: 1,
        turn: true,
        realm: REALM.to_owned(),
        listeners: vec![
            listener("192.0.2.10:3478", true),
            listener("192.0.2.10:3479", true),
            listener("192.0.2.10:3478", false),
        ],
        behaviour: Behaviour::OneAddress,
        limits: Limits::default(),
        relayed: Relayed::default(),
        gate: Gate::Media,
        dialect: Dialect::Rfc8656,
        leg_names: LegNames::Ids,
        secrets: Secrets {
            current: secret(0),
            previous: None,
        },
        nonce_key: NonceKey::new(0, &[9; 32]),
        seed: [5; 32],
        quota: Arc::new(Mutex::new(Quota::new(&[6; 32]))),
    }
}

pub(crate) struct Bed<K: Kind> {
    pub(crate) core: Core<K>,
    pub(crate) outside: Outside,
    pub(crate) at: At,
}

fn outside() -> Outside {
    Outside {
        replies: Vec::new(),
        delivered: Vec::new(),
        sent: Vec::new(),
        opened: Vec::new(),
        freed: Vec::new(),
        legs: HashMap::from([(LEG, LegState::Live)]),
        every_leg: None,
        accept: Accepted::Taken,
        state: 0x9E37_79B9_7F4A_7C15,
    }
}

pub(crate) const START: At = At {
    now_ns: 0,
    unix_s: BEGIN_S,
};

/// Two shards on IPv4.
pub(crate) fn bed() -> Bed<Virtual> {
    with(config(), &[&[SHARD_0], &[SHARD_1]])
}

/// One shard on both families.
pub(crate) fn dual() -> Bed<Virtual> {
    with(config(), &[&[SHARD_0, SHARD_0_V6]])
}

pub(crate) fn with(config: Config, shards: &[&[&str]]) -> Bed<Virtual> {
    let shards: Vec<Vec<_>> = shards
        .iter()
        .map(|all| all.iter().map(|text| address(text)).collect())
        .collect();
    Bed {
        core: Core::<Virtual>::new(START, config, &shards).expect("a configuration that works"),
        outside: outside(),
        at: START,
    }
}

/// A core with sockets; every listener on loopback unless told otherwise.
pub(crate) fn listed(peers: &[&str], listeners: &[&str]) -> Bed<AllowList> {
    let listener = |text: &&str| Listener {
        address: address(text),
        udp: true,
    };
    let config = Config {
        listeners: listeners.iter().map(listener).collect(),
        gate: Gate::Any,
        ..config()
    };
    let rules = peers.iter().map(|text| text.parse().expect("a rule")).collect();
    Bed {
        core: Core::<AllowList>::new(START, config, rules, [true, true]).expect("a configuration that works"),
        outside: outside(),
        at: START,
    }
}

/// An answer of the core.
#[derive(Clone, Debug)]
pub(crate) struct Answer(pub(crate) Vec<u8>);

impl Answer {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.0).expect("every answer is well formed")
    }

    /// 0 for success.
    pub(crate) fn code(&self) -> u16 {
        match self.message().class() {
            Class::Success => 0,
            Class::Error => self.message().error_code().expect("an error has a number"),
            Class::Request | Class::Indication => panic!("not an answer"),
        }
    }

    pub(crate) fn lifetime(&self) -> Option<u32> {
        self.message().number(attribute::LIFETIME)
    }

    pub(crate) fn relayed(&self) -> Vec<SocketAddr> {
        let all = self.message().xor_addresses(attribute::XOR_RELAYED_ADDRESS);
        all.map(|address| address.expect("an address")).collect()
    }
}

impl<K: Kind + Peers<Outside>> Bed<K> {
    /// Every allocation, asked for in small pieces.
    pub(crate) fn list(&self) -> Vec<AllocationView> {
        let (mut all, mut from) = (Vec::new(), Some(0));
        while let Some(place) = from {
            let (some, next) = self.core.list(self.at, place, 3);
            all.extend(some);
            from = next;
        }
        all
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        self.advance_ns(seconds * 1_000_000_000);
    }

    pub(crate) fn advance_ns(&mut self, ns: u64) {
        let before = self.at.now_ns / 1_000_000_000;
        self.at.now_ns += ns;
        self.at.unix_s += self.at.now_ns / 1_000_000_000 - before;
    }

    pub(crate) fn tick(&mut self) {
        self.core.tick(self.at, &mut self.outside);
    }

    pub(crate) fn hand(&mut self, flow: Flow, bytes: &[u8]) -> Outcome {
        self.core.client(self.at, flow, bytes, &mut self.outside)
    }

    /// Hands a datagram in; its answer, if there is one.
    pub(crate) fn ask(&mut self, flow: Flow, bytes: &[u8]) -> Option<Answer> {
        self.outside.replies.clear();
        self.hand(flow, bytes);
        assert!(self.outside.replies.len() <= 1, "one answer per request");
        self.outside.replies.pop().map(|(_, bytes)| Answer(bytes))
    }

    /// Asks with everything right; the error number, 0 for success.
    pub(crate) fn ask_code(&mut self, client: &Client, bytes: &[u8]) -> u16 {
        self.ask(client.flow, bytes).expect("an answer").code()
    }

    /// What a browser does: an Allocate without credentials, then one with the nonce it was told.
    pub(crate) fn greet(&mut self, client: &mut Client) {
        let bare = client.bare(method::ALLOCATE, |writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)
        });
        let answer = self.ask(client.flow, &bare).expect("a challenge");
        assert_eq!(answer.code(), 401);
        client.heed(&answer);
    }

    pub(crate) fn allocate_with(
        &mut self,
        client: &mut Client,
        body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> Answer {
        if client.nonce.is_empty() {
            self.greet(client);
        }
        let request = client.signed(method::ALLOCATE, |writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &UDP)?;
            body(writer)
        });
        self.ask(client.flow, &request).expect("an answer")
    }

    pub(crate) fn allocate(&mut self, client: &mut Client) -> SocketAddr {
        let answer = self.allocate_with(client, |_| Ok(()));
        assert_eq!(answer.code(), 0);
        answer.relayed()[0]
    }

    pub(crate) fn refresh(&mut self, client: &mut Client, lifetime_s: u32) -> Answer {
        let request = client.signed(method::REFRESH, |writer| {
            writer.attribute(attribute::LIFETIME, &lifetime_s.to_be_bytes())
        });
        self.ask(client.flow, &request).expect("an answer")
    }

    pub(crate) fn permit(&mut self, client: &mut Client, peers: &[&str]) -> u16 {
        let request = client.signed(method::CREATE_PERMISSION, |writer| {
            peers
                .iter()
                .try_for_each(|peer| writer.xor_address(attribute::XOR_PEER_ADDRESS, address(peer)))
        });
        self.ask_code(client, &request)
    }

    pub(crate) fn bind(&mut self, client: &mut Client, number: u16, peer: &str) -> u16 {
        let [n0, n1] = number.to_be_bytes();
        let request = client.signed(method::CHANNEL_BIND, |writer| {
            writer.attribute(attribute::CHANNEL_NUMBER, &[n0, n1, 0, 0])?;
            writer.xor_address(attribute::XOR_PEER_ADDRESS, address(peer))
        });
        self.ask_code(client, &request)
    }

    /// A new nonce, after the old one is too old.
    pub(crate) fn fresh_nonce(&mut self, client: &mut Client) {
        let request = client.signed(method::REFRESH, |_| Ok(()));
        let answer = self.ask(client.flow, &request).expect("an answer");
        if answer.code() == 438 {
            client.heed(&answer);
        }
    }
}

pub(crate) const UDP: [u8; 4] = [17, 0, 0, 0];

/// A TURN client: remembers what it was told, and signs.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) flow: Flow,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) realm: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
    pub(crate) fingerprint: bool,
    transaction: u64,
}

impl Client {
    pub(crate) fn at(remote: &str) -> Client {
        Client::of(LEG, remote)
    }

    pub(crate) fn of(leg: LegId, remote: &str) -> Client {
        let (user, password) = mint(&secret(0), leg, BEGIN_S + 120);
        Client {
            flow: Flow {
                via: Via::Udp,
                local: 0,
                remote: address(remote),
                connection: 0,
            },
            user,
            password,
            realm: REALM.as_bytes().to_vec(),
            nonce: Vec::new(),
            fingerprint: false,
            transaction: 0,
        }
    }

    pub(crate) fn key(&self) -> LongTermKey {
        LongTermKey::new(self.user.as_bytes(), &self.realm, self.password.as_bytes())
    }

    /// Takes the nonce of a 401 or 438.
    pub(crate) fn heed(&mut self, answer: &Answer) {
        let message = answer.message();
        let nonce = message.attribute(attribute::NONCE).expect("a nonce");
        self.nonce = nonce.to_vec();
    }

    pub(crate) fn transaction(&mut self) -> TransactionId {
        self.transaction += 1;
        let mut id = [0xC1; 12];
        id[4..].copy_from_slice(&self.transaction.to_be_bytes());
        id
    }

    /// A request that proves nothing.
    pub(crate) fn bare(&mut self, method: u16, body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>) -> Vec<u8> {
        let transaction = self.transaction();
        self.write(Class::Request, method, transaction, body, false)
    }

    pub(crate) fn signed(&mut self, method: u16, body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>) -> Vec<u8> {
        let transaction = self.transaction();
        self.write(Class::Request, method, transaction, body, true)
    }

    pub(crate) fn send(&mut self, peer: &str, payload: &[u8]) -> Vec<u8> {
        let transaction = self.transaction();
        let body = |writer: &mut Writer<'_>| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, address(peer))?;
            writer.attribute(attribute::DATA, payload)
        };
        self.write(Class::Indication, method::SEND, transaction, body, false)
    }

    pub(crate) fn write(
        &self,
        class: Class,
        method: u16,
        transaction: TransactionId,
        body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
        signed: bool,
    ) -> Vec<u8> {
        let mut buffer = vec![0xAA; 4_096];
        let mut writer = Writer::new(&mut buffer, class, method, transaction).expect("room");
        body(&mut writer).expect("room");
        if signed {
            writer
                .attribute(attribute::USERNAME, self.user.as_bytes())
                .expect("room");
            writer.attribute(attribute::REALM, &self.realm).expect("room");
            writer.attribute(attribute::NONCE, &self.nonce).expect("room");
            writer.integrity(&mut self.key()).expect("room");
        }
        if self.fingerprint {
            writer.fingerprint().expect("room");
        }
        let len = writer.finish();
        buffer.truncate(len);
        buffer
    }
}

/// ChannelData without padding.
pub(crate) fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}
