//! T3: a hundred thousand allocations behind one UDP port, at most a kilobyte each, counted by the allocator.
//!
//! The counter is the thread's own and looks only while the core works; time is virtual.

#![cfg(test)]

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

#[path = "core/bed.rs"]
#[expect(dead_code, reason = "the bench is whole; this test needs a part of it")]
mod bed;

use bed::{Answer, Client, SHARD_0, address};
use ports::{Accepted, FromRelay, LegId, LegState};
use stun::{attribute, method};
use testkit::counting::{Counting, counted, forget, looking};
use turn_relay::core::{
    At, Config, Core, Edge, Flow, LIFETIME_S_MIN, Limits, PORT_FIRST_MIN, PORT_REST_S, Quota, Relayed, Shards, Virtual,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The target.
const ALLOCATIONS: u32 = 100_000;
/// What one may cost, with its share of every table.
const BYTES_MAX: i64 = 1_024;
/// The relayed addresses' IPs: with every port but the well-known ones four are enough for a worker that shares them with
/// one other, as in the product.
const IPS: [&str; 3] = ["192.0.2.11", "192.0.2.12", "192.0.2.13"];
/// Allocations of one leg, as many as it may have.
const PER_LEG: u32 = 6;

/// Keeps the last answer, in memory that was there before.
struct Last {
    reply: [u8; 512],
    len: usize,
    state: u64,
}

impl Edge for Last {
    fn reply(&mut self, _: &Flow, bytes: &[u8]) {
        self.reply[..bytes.len()].copy_from_slice(bytes);
        self.len = bytes.len();
    }

    fn random(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            *byte = (self.state >> 24) as u8;
        }
    }

    fn leg_state(&self, _: LegId) -> LegState {
        LegState::Live
    }
}

impl Shards for Last {
    fn deliver(&mut self, _: usize, _: FromRelay<'_>) -> Accepted {
        Accepted::Taken
    }
}

struct Run {
    core: Core<Virtual>,
    last: Last,
    at: At,
}

impl Run {
    fn new(quota: &Arc<Mutex<Quota>>) -> Run {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let config = Config {
            worker: 0,
            workers: 2,
            limits: Limits {
                allocations: ALLOCATIONS,
                ..Limits::default()
            },
            relayed: Relayed {
                more_ips: IPS.map(ip).to_vec(),
                port_first: PORT_FIRST_MIN,
            },
            quota: Arc::clone(quota),
            ..bed::config()
        };
        let core = Core::<Virtual>::new(bed::START, config, &[vec![address(SHARD_0)]]);
        Run {
            core: core.expect("a configuration that works"),
            last: Last {
                reply: [0; 512],
                len: 0,
                state: 0x9E37_79B9_7F4A_7C15,
            },
            at: bed::START,
        }
    }

    fn ask(&mut self, client: &Client, request: &[u8]) -> Answer {
        let Run { core, last, at } = self;
        last.len = 0;
        looking(|| core.client(*at, client.flow, request, last));
        Answer(last.reply[..last.len].to_vec())
    }

    /// What a browser does: asked without credentials first. Its relayed address, or the error number.
    fn allocate(&mut self, client: &mut Client) -> Result<SocketAddr, u16> {
        let bare = client.bare(method::ALLOCATE, |_| Ok(()));
        let challenge = self.ask(client, &bare);
        client.heed(&challenge);
        let request = client.signed(method::ALLOCATE, |writer| {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &bed::UDP)
        });
        let answer = self.ask(client, &request);
        match answer.code() {
            0 => Ok(answer.relayed()[0]),
            code => Err(code),
        }
    }

    fn bind(&mut self, client: &mut Client) {
        let request = client.signed(method::CHANNEL_BIND, |writer| {
            writer.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0])?;
            writer.xor_address(attribute::XOR_PEER_ADDRESS, address(SHARD_0))
        });
        assert_eq!(self.ask(client, &request).code(), 0);
    }

    fn pass(&mut self, seconds: u32) {
        self.at.now_ns += u64::from(seconds) * 1_000_000_000;
        let Run { core, last, at } = self;
        looking(|| core.tick(*at, last));
    }
}

/// A client of its own leg or, six by six, of a common one; 250 of a network.
fn client(number: u32) -> Client {
    let ip = IpAddr::from((0x0A00_0000 | ((number / 250) << 8) | (number % 250 + 1)).to_be_bytes());
    Client::of(
        LegId(1 + u128::from(number / PER_LEG)),
        &SocketAddr::new(ip, 5_000).to_string(),
    )
}

#[test]
fn a_hundred_thousand_allocations_keep_no_more_than_a_kilobyte_each() {
    // The counter counts; otherwise the end of this test could not fail.
    let vector = looking(|| vec![1u8; 100]);
    assert_eq!((vector.len(), counted().bytes), (100, 100));
    forget();

    let quota = looking(|| Arc::new(Mutex::new(Quota::new(&[6; 32]))));
    let mut run = looking(|| Run::new(&quota));
    let empty = counted().bytes;
    let mut relayed = HashSet::new();
    for number in 0..ALLOCATIONS {
        let mut client = client(number);
        let own = run.allocate(&mut client).expect("there is room");
        assert!(relayed.insert(own), "{own} is somebody else's");
        run.bind(&mut client);
    }
    assert_eq!(run.core.allocations(), ALLOCATIONS as usize);
    let each = counted().bytes / i64::from(ALLOCATIONS);
    println!(
        "{each} bytes for an allocation, tables included; {} kB of tables were there before the first",
        empty / 1_000
    );
    assert!(each <= BYTES_MAX, "{each}");
    let full = counted().bytes;

    // One more is refused and leaves nothing.
    assert_eq!(run.allocate(&mut client(ALLOCATIONS)), Err(508));
    assert_eq!(counted().bytes, full);

    // They end, and what they have left is used again: more come and nothing grows.
    run.pass(LIFETIME_S_MIN + 1);
    assert_eq!(run.core.allocations(), 0);
    assert_eq!(quota.lock().expect("no panic").entries(), (0, 0));
    run.pass(PORT_REST_S);
    for number in 0..ALLOCATIONS / 10 {
        run.allocate(&mut client(number)).expect("there is room again");
    }
    assert!(
        counted().bytes / i64::from(ALLOCATIONS) <= BYTES_MAX,
        "{}",
        counted().bytes
    );
}
