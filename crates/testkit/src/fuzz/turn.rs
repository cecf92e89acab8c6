//! The TURN core driven by bytes: clients allocate, bind, send, damage what they send and vanish in any order, while
//! secrets change, legs end and time passes.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ports::{LegId, Via};
use stun::{Class, LongTermKey, Message, NoRoom, Writer, attribute, channel, method};
use turn_relay::core::credential::{LegNames, Secret, Secrets, mint};
use turn_relay::core::{
    At, Behaviour, Config, Core, Dialect, FRONT_BYTES, Flow, Gate, Limits, Listener, NonceKey, Outcome, Quota, Relayed,
    Stage as Dropped, TAIL_BYTES, Virtual,
};

use super::outside::{Asking, Outside, SHARDS, address, candidates, relayed_of};
use super::{Input, aside};

/// Steps of one script: more teach nothing new and cost the fuzzer its speed.
const STEPS_MAX: usize = 256;
const REALM: &[u8] = b"helpline";
/// Unix time at the beginning.
const BEGIN_S: u64 = 1_800_000_000;
const CLIENTS: [&str; 4] = [
    "198.51.100.7:5000",
    "198.51.100.7:5001",
    "[2001:db8:7::1]:5000",
    "203.0.113.9:49152",
];
/// Peers that a client may name, ours and others.
const PEERS: [&str; 6] = [
    SHARDS[0],
    SHARDS[1],
    SHARDS[2],
    "192.0.2.10:40002",
    "203.0.113.66:80",
    "[::ffff:192.0.2.10]:40000",
];

/// Greets, allocates, permits two shards, binds a channel, sends both ways in both wrappings, refreshes, hangs up.
pub(super) const CALL: [u8; 32] = [
    0x10, 0x00, 0x00, 0, 0x08, 0x80, 0, 2, 0, 0x0C, 0x40, 0, 5, 0x14, 0x50, 0x80, 21, 0x18, 0, 30, 0x14, 0x05, 0x16, 9,
    0x18, 0, 7, 0x04, 0x02, 60, 0x28, 0,
];

struct Client {
    flow: Flow,
    user: String,
    password: String,
    nonce: Vec<u8>,
    transaction: u8,
}

impl Client {
    fn write(
        &self,
        class: Class,
        method: u16,
        signed: bool,
        body: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> Vec<u8> {
        let mut buffer = vec![0; 4_096];
        let mut transaction = [7; 12];
        transaction[0] = self.transaction;
        let len = (|| {
            let mut writer = Writer::new(&mut buffer, class, method, transaction)?;
            body(&mut writer)?;
            if signed {
                writer.attribute(attribute::USERNAME, self.user.as_bytes())?;
                writer.attribute(attribute::REALM, REALM)?;
                writer.attribute(attribute::NONCE, &self.nonce)?;
                writer.integrity(&mut LongTermKey::new(
                    self.user.as_bytes(),
                    REALM,
                    self.password.as_bytes(),
                ))?;
            }
            Ok::<usize, NoRoom>(writer.finish())
        })();
        buffer.truncate(len.expect("room"));
        buffer
    }
}

struct Stage<'a> {
    core: Core<Virtual>,
    outside: Outside,
    at: At,
    clients: Vec<Client>,
    input: Input<'a>,
    secret: u8,
    /// Whose each relayed address is, by the answers to Allocate.
    holders: HashMap<SocketAddr, Flow>,
    /// Packets that came out where they had to.
    down: usize,
}

fn secret(id: u8) -> Secret {
    Secret::new(id, &[id; 20])
}

fn stage(input: Input<'_>) -> Stage<'_> {
    let listener = |text, udp| Listener {
        address: address(text),
        udp,
    };
    let config = Config {
        worker: 0,
        workers: 8,
        turn: true,
        realm: "helpline".to_owned(),
        listeners: vec![
            listener("192.0.2.10:3478", true),
            listener("192.0.2.10:3479", true),
            listener("192.0.2.11:3478", true),
            listener("192.0.2.11:3479", true),
        ],
        behaviour: Behaviour::TwoAddresses,
        limits: Limits {
            allocations: 3,
            allocations_per_leg: 3,
            ..Limits::default()
        },
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
    };
    let at = At {
        now_ns: 0,
        unix_s: BEGIN_S,
    };
    let shards = [vec![address(SHARDS[0]), address(SHARDS[1])], vec![address(SHARDS[2])]];
    let client = |(number, remote): (usize, &&str)| {
        let (user, password) = mint(&secret(0), LegId(number as u128 / 2), BEGIN_S + 120);
        Client {
            flow: Flow {
                via: Via::ALL[number % 3],
                local: 0,
                remote: address(remote),
                connection: number as u32,
            },
            user,
            password,
            nonce: Vec::new(),
            transaction: 0,
        }
    };
    let clients: Vec<_> = CLIENTS.iter().enumerate().map(client).collect();
    Stage {
        core: Core::<Virtual>::new(at, config, &shards).expect("a configuration that works"),
        outside: Outside {
            asking: Asking::new(clients[0].flow, LegId(0), &[]),
            reply: None,
            path: None,
            now: at,
            gone: HashSet::new(),
            state: 1,
        },
        at,
        clients,
        input,
        secret: 0,
        holders: HashMap::new(),
        down: 0,
    }
}

/// Runs a script.
///
/// # Panics
/// If somebody else is answered, or at another port than he asked from or named; a packet reaches what is no shard's,
/// comes out anywhere but at the flow of the allocation that its way names, or comes out by a way that is none; the
/// tables disagree; or an end leaves something.
pub fn turn(data: &[u8]) {
    let mut stage = aside(|| stage(Input(data)));
    for _ in 0..STEPS_MAX {
        let Some(step) = stage.input.next() else { break };
        stage.step(step);
        aside(|| stage.judge());
    }
    for _ in 0..25 {
        stage.pass(200_000_000_000);
    }
    let footprint = stage.core.footprint();
    assert_eq!(
        (footprint.flows, footprint.legs, footprint.timers),
        (0, 0, 0),
        "time ends everything"
    );
    assert_eq!(stage.core.counters().allocations, [[0; 3]; 3]);
}

impl Stage<'_> {
    /// The low two bits say who, the others what.
    fn step(&mut self, step: u8) {
        let who = usize::from(step % 4);
        match step / 4 % 12 {
            0 => self.ask(who, method::ALLOCATE),
            1 => self.ask(who, method::REFRESH),
            2 => self.ask(who, method::CREATE_PERMISSION),
            3 => self.ask(who, method::CHANNEL_BIND),
            4 => self.greet(who),
            5 => self.data(who),
            6 => self.down(),
            7 => {
                let units = u64::from(self.input.byte()) + 1;
                self.pass(units * units * 20_000_000);
            }
            8 => {
                let len = usize::from(self.input.byte()) * 4;
                let bytes = self.input.bytes(len).to_vec();
                self.hand(who, &bytes);
            }
            9 => {
                let bytes = self.clients[who].write(Class::Request, method::BINDING, false, |_| Ok(()));
                let flags = self.input.byte();
                let mut request = [&bytes[..], &[0, 3, 0, 4, 0, 0, 0, flags]].concat();
                if flags & 0x80 != 0 {
                    request.extend_from_slice(&[0, 0x27, 0, 4, self.input.byte(), self.input.byte(), 0, 0]);
                }
                self.hand(who, &counted(request));
            }
            10 => self.operate(who),
            _ => {
                self.clients[who].transaction = self.input.byte();
                let flow = &mut self.clients[who].flow;
                flow.local = self.input.byte() % 5;
            }
        }
    }

    fn hand(&mut self, who: usize, bytes: &[u8]) {
        let flow = self.clients[who].flow;
        self.outside.asking = Asking::new(flow, LegId(who as u128 / 2), bytes);
        (self.outside.reply, self.outside.now) = (None, self.at);
        let before = self.core.footprint();
        let outcome = self.core.client(self.at, flow, bytes, &mut self.outside);
        let reply = self.outside.reply.take();
        match outcome {
            Outcome::Answered | Outcome::Refused(_) => assert!(reply.is_some()),
            Outcome::Dropped(_) | Outcome::Relayed => assert!(reply.is_none()),
        }
        if outcome == Outcome::Relayed {
            let (path, _) = self.outside.path.expect("it was delivered");
            assert_eq!(
                self.holder(path.slot, path.generation),
                Some(flow),
                "the way back to who sent"
            );
        }
        let Some(reply) = reply else { return };
        let message = Message::parse(&reply).expect("judged before");
        if (message.class(), message.method()) == (Class::Success, method::ALLOCATE) {
            let relayed = relayed_of(&message, &reply[8..20]);
            assert!(!relayed.is_empty());
            self.holders.extend(relayed.into_iter().map(|address| (address, flow)));
        }
        if message.error_code().is_some() {
            // 437 for a leg that is gone frees what was left of it.
            assert!(
                self.core.footprint().flows <= before.flows,
                "a refused request makes nothing"
            );
        }
        if let Some(nonce) = message.attribute(attribute::NONCE) {
            self.clients[who].nonce = nonce.to_vec();
        }
        // 108 bytes: all four addresses of RFC 5780 and FINGERPRINT.
        let most = (3 * bytes.len()).max(108);
        assert!(
            message.has_integrity() || reply.len() <= most,
            "{} for {}",
            reply.len(),
            bytes.len()
        );
    }

    fn greet(&mut self, who: usize) {
        let bytes = self.clients[who].write(Class::Request, method::ALLOCATE, false, |_| Ok(()));
        self.hand(who, &bytes);
    }

    /// A request with everything right, then as many bytes changed as the script says.
    fn ask(&mut self, who: usize, method: u16) {
        let options = self.input.byte();
        let peers: Vec<SocketAddr> = (0..options >> 6)
            .map(|_| address(PEERS[usize::from(self.input.byte()) % PEERS.len()]))
            .collect();
        let value = self.input.byte();
        let mut bytes = self.clients[who].write(Class::Request, method, true, |writer| {
            if options & 1 == 0 {
                writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])?;
            }
            if options & 2 != 0 {
                writer.attribute(attribute::LIFETIME, &(u32::from(value) * 20).to_be_bytes())?;
            }
            if options & 4 != 0 {
                writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])?;
            }
            if options & 8 != 0 {
                writer.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[1 + value % 2, 0, 0, 0])?;
            }
            if options & 16 != 0 {
                writer.attribute(attribute::EVEN_PORT, &[value & 0x80])?;
            }
            if method == method::CHANNEL_BIND {
                writer.attribute(attribute::CHANNEL_NUMBER, &[0x40, value, 0, 0])?;
            }
            peers
                .iter()
                .try_for_each(|&peer| writer.xor_address(attribute::XOR_PEER_ADDRESS, peer))
        });
        if options & 32 != 0 {
            let at = usize::from(self.input.byte()) % bytes.len();
            bytes[at] ^= self.input.byte();
        }
        self.hand(who, &bytes);
    }

    /// Payload, as ChannelData or in a Send indication.
    fn data(&mut self, who: usize) {
        let (kind, first) = (self.input.byte(), self.input.byte());
        let payload = vec![first; usize::from(self.input.byte()) * 8];
        let bytes = if kind & 1 == 0 {
            let head = [0x40, kind >> 4, (payload.len() >> 8) as u8, payload.len() as u8];
            [&head[..], &payload].concat()
        } else {
            let peer = address(PEERS[usize::from(kind >> 1) % PEERS.len()]);
            self.clients[who].write(Class::Indication, method::SEND, false, |writer| {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, peer)?;
                writer.attribute(attribute::DATA, &payload)
            })
        };
        self.hand(who, &bytes);
    }

    /// Whose the living allocation in this place is: by its relayed address, which its client was told.
    fn holder(&self, slot: u32, generation: u32) -> Option<Flow> {
        let name = format!("0-{slot}-{generation}");
        let (views, _) = self.core.list(self.at, 0, u32::MAX);
        let view = views.iter().find(|view| view.id == name)?;
        let flow = self.holders.get(view.relayed.first().expect("it has an address"));
        Some(*flow.expect("an allocation was made by an Allocate"))
    }

    /// What a shard answers; the way may be an old one, or one that never was.
    fn down(&mut self) {
        let Some((mut path, gone_up)) = self.outside.path else {
            return;
        };
        let (wrong, len) = (self.input.byte(), usize::from(self.input.byte()) + 1);
        match wrong {
            1 => path.generation ^= 1,
            2 => path.slot ^= u32::from(self.input.byte()),
            3 => path.peer = self.input.byte(),
            4 => path.generation = path.generation.wrapping_add(u32::from(self.input.byte())),
            5 => path.worker ^= u16::from(self.input.byte()),
            _ => {}
        }
        let mut frame = vec![0xEE; FRONT_BYTES + len + TAIL_BYTES];
        frame[FRONT_BYTES..FRONT_BYTES + len].fill(0x55);
        let wrapped = self.core.from_shard(self.at, path, &mut frame, len);
        let peer = candidates().get(usize::from(path.peer)).copied();
        let holder = self.holder(path.slot, path.generation).filter(|_| path.worker == 0);
        let (Some(holder), Some(peer)) = (holder, peer) else {
            assert_eq!(wrapped, Err(Dropped::Gone), "no such way: {path:?}");
            return;
        };
        let wrapped = match wrapped {
            Ok(wrapped) => wrapped,
            Err(stage) => {
                // What was permitted may have run out, or another peer never was.
                assert_eq!(stage, Dropped::Permission);
                let same = self.outside.path == Some((path, gone_up));
                assert!(!same || gone_up != self.at, "a moment ago it went up there");
                return;
            }
        };
        assert_eq!(wrapped.flow, holder, "it comes out where the allocation's client is");
        self.down += 1;
        let bytes = &frame[wrapped.range];
        let wrapping = bytes.len().is_multiple_of(4) && !len.is_multiple_of(4);
        let padding = if wrapping { len.next_multiple_of(4) - len } else { 0 };
        assert!(
            bytes[bytes.len() - padding..].iter().all(|&byte| byte == 0),
            "padding is written"
        );
        let payload = match channel::parse(bytes) {
            Some((_, payload)) => payload,
            None => {
                let message = Message::parse(bytes).expect("a Data indication is well formed");
                assert_eq!(message.xor_address(attribute::XOR_PEER_ADDRESS), Some(peer));
                message.attribute(attribute::DATA).expect("it has data")
            }
        };
        assert!(payload.len() == len && payload.iter().all(|&byte| byte == 0x55));
    }

    fn pass(&mut self, ns: u64) {
        let before = self.at.now_ns / 1_000_000_000;
        self.at.now_ns += ns;
        self.at.unix_s += self.at.now_ns / 1_000_000_000 - before;
        self.core.tick(self.at, &mut self.outside);
    }

    /// What the product does to a core.
    fn operate(&mut self, who: usize) {
        let leg = LegId(who as u128 / 2);
        match self.input.byte() % 8 {
            0 => {
                self.core.close_leg(self.at, leg, &mut self.outside);
            }
            1 => {
                self.outside.gone.insert(leg);
            }
            2 => {
                self.outside.gone.remove(&leg);
            }
            3 => self.core.drain(self.input.byte() % 2 == 1),
            4 => {
                let previous = secret(self.secret);
                self.secret = self.secret.wrapping_add(1);
                self.core.set_secrets(Secrets {
                    current: secret(self.secret),
                    previous: Some(previous),
                });
            }
            5 => {
                let (user, password) = mint(&secret(self.secret), leg, self.at.unix_s + 120);
                (self.clients[who].user, self.clients[who].password) = (user, password);
            }
            6 => self.core.closed(self.at, &self.clients[who].flow, &mut self.outside),
            _ => {
                let id = self
                    .core
                    .list(self.at, 0, u32::MAX)
                    .0
                    .first()
                    .map(|view| view.id.clone())
                    .unwrap_or_default();
                self.core.kill(self.at, &id, &mut self.outside);
                self.core
                    .set_nonce_key(NonceKey::new(self.input.byte(), &[self.secret; 32]));
            }
        }
    }

    /// What holds after every step.
    fn judge(&self) {
        let footprint = self.core.footprint();
        let gauges: u32 = self.core.counters().allocations.iter().flatten().sum();
        assert_eq!(footprint.flows, gauges as usize);
        assert!(footprint.flows <= 3 && footprint.slots <= 3 && footprint.legs <= footprint.flows);
        let (views, _) = self.core.list(self.at, 0, u32::MAX);
        let mut relayed = HashSet::new();
        let mut legs: HashMap<LegId, usize> = HashMap::new();
        for view in &views {
            assert!(view.permissions <= 4 && view.channels <= 4 && !view.relayed.is_empty());
            assert!(
                view.relayed.iter().all(|&address| relayed.insert(address)),
                "no address twice"
            );
            *legs.entry(view.leg).or_default() += view.relayed.len();
        }
        assert!(legs.values().all(|&count| count <= 3) && views.len() == footprint.flows);
    }
}

/// Puts the right length into a message that was made longer.
fn counted(mut message: Vec<u8>) -> Vec<u8> {
    let length = (message.len() - stun::HEADER_BYTES) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script whose bytes mean nothing would find nothing.
    #[test]
    fn the_first_seed_is_a_whole_call() {
        let mut stage = stage(Input(&CALL));
        while let Some(step) = stage.input.next() {
            stage.step(step);
            stage.judge();
        }
        let counters = stage.core.counters();
        assert_eq!((counters.allocated, counters.allocations), (1, [[0; 3]; 3]));
        assert_eq!((counters.up[0].packets, counters.down[0].packets), (2, 2));
        assert_eq!(stage.down, 2);
        assert_eq!(counters.errors.iter().sum::<u64>(), 1, "the challenge");
    }
}
