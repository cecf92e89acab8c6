//! What stands around a TURN core: it judges every answer and every packet that the core hands out.

use std::collections::HashSet;
use std::net::SocketAddr;

use ports::{Accepted, FromRelay, LegId, LegState, RelayPath};
use stun::{Class, Message, attribute, method};
use turn_relay::core::{At, Edge, Flow, Shards};

/// The advertised addresses of two shards: the first has two.
pub(super) const SHARDS: [&str; 3] = ["192.0.2.10:40000", "[2001:db8::10]:40000", "192.0.2.10:40001"];

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What the core's numbers of peers mean.
pub(super) fn candidates() -> [SocketAddr; 3] {
    SHARDS.map(address)
}

/// The relayed addresses that an Allocate was given (RFC 8489 §14.2), one or two.
pub(super) fn relayed_of(answer: &Message<'_>, transaction: &[u8]) -> Vec<SocketAddr> {
    let mask: Vec<u8> = [&stun::MAGIC_COOKIE.to_be_bytes(), transaction].concat();
    let clear = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(&mask).map(|(byte, mask)| byte ^ mask).collect() };
    let all = answer
        .attributes()
        .filter(|one| one.kind == attribute::XOR_RELAYED_ADDRESS);
    let read = all.map(|one| {
        let port = clear(&one.value[2..4]);
        let port = u16::from_be_bytes([port[0], port[1]]);
        let ip = clear(&one.value[4..]);
        match <[u8; 4]>::try_from(&ip[..]) {
            Ok(v4) => SocketAddr::from((v4, port)),
            Err(_) => SocketAddr::from((<[u8; 16]>::try_from(&ip[..]).expect("4 or 16 bytes"), port)),
        }
    });
    read.collect()
}

/// Whoever has just asked, and how he may be answered.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    flow: Flow,
    leg: LegId,
    /// Another port of his, if he has named one (RFC 5780 §7.5).
    port: Option<u16>,
    /// He wants to be answered from elsewhere (RFC 5780 §7.2).
    elsewhere: bool,
}

impl Asking {
    pub(super) fn new(flow: Flow, leg: LegId, bytes: &[u8]) -> Asking {
        let binding = Message::parse(bytes)
            .ok()
            .filter(|message| message.class() == Class::Request && message.method() == method::BINDING);
        let binding = binding.as_ref();
        let port = binding.and_then(|message| message.attribute(attribute::RESPONSE_PORT));
        let change = binding.and_then(|message| message.number(attribute::CHANGE_REQUEST));
        Asking {
            flow,
            leg,
            port: port.and_then(|value| Some(u16::from_be_bytes([*value.first()?, *value.get(1)?]))),
            // Two flags, of which either may be meant.
            elsewhere: change.is_some_and(|change| change & 6 != 0),
        }
    }

    /// Where a success goes, and where an error does.
    fn back(&self, class: Class) -> SocketAddr {
        match self.port.filter(|_| class == Class::Success) {
            Some(port) => SocketAddr::new(self.flow.remote.ip(), port),
            None => self.flow.remote,
        }
    }
}

/// What the core asked for, judged at once.
pub(super) struct Outside {
    /// Who may be answered: whoever has just asked.
    pub(super) asking: Asking,
    pub(super) reply: Option<Vec<u8>>,
    /// The last way that a packet went up by, and when.
    pub(super) path: Option<(RelayPath, At)>,
    pub(super) now: At,
    pub(super) gone: HashSet<LegId>,
    pub(super) state: u32,
}

impl Edge for Outside {
    fn reply(&mut self, flow: &Flow, bytes: &[u8]) {
        assert!(self.reply.is_none(), "one answer per request");
        let message = Message::parse(bytes).expect("an answer is well formed");
        let asking = &self.asking;
        assert_eq!(flow.remote, asking.back(message.class()), "nobody else is answered");
        assert_eq!((flow.via, flow.connection), (asking.flow.via, asking.flow.connection));
        assert!(
            flow.local == asking.flow.local || asking.elsewhere,
            "from where he asked"
        );
        assert!(matches!(message.class(), Class::Success | Class::Error));
        assert!(message.class() == Class::Success || message.error_code().is_some());
        self.reply = Some(bytes.to_vec());
    }

    fn random(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (self.state >> 24) as u8;
        }
    }

    fn leg_state(&self, leg: LegId) -> LegState {
        if self.gone.contains(&leg) {
            LegState::Gone
        } else {
            LegState::Live
        }
    }
}

impl Shards for Outside {
    fn deliver(&mut self, shard: usize, packet: FromRelay<'_>) -> Accepted {
        let of_shard: &[usize] = if shard == 0 { &[0, 1] } else { &[2] };
        assert!(
            of_shard.iter().any(|&place| packet.peer == address(SHARDS[place])),
            "its own candidate"
        );
        assert!(matches!(packet.payload, [0..=3 | 20..=63 | 128..=191, ..]) && packet.payload.len() <= 1_500);
        assert_eq!(packet.relayed.is_ipv6(), packet.peer.is_ipv6());
        assert!(packet.relayed.port() >= 49_152);
        assert_eq!(packet.leg, self.asking.leg, "for the leg of his credential");
        assert_eq!(packet.path.via, self.asking.flow.via);
        assert_eq!(packet.peer, candidates()[usize::from(packet.path.peer)]);
        self.path = Some((packet.path, self.now));
        if packet.payload.len() % 7 == 6 {
            Accepted::Full
        } else {
            Accepted::Taken
        }
    }
}
