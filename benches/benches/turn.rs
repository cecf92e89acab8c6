//! What the TURN core costs per datagram: decoding, refusing a stranger, relaying up and down.
//!
//! After the medians it prints the tail: the 99.9th percentile of decoding one message, which must stay below a
//! microsecond (R4).

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ports::{Accepted, FromRelay, LegId, LegState, RelayPath, Via};
use stun::{Class, LongTermKey, Message, Writer, attribute, channel, method};
use turn_relay::core::credential::{LegNames, Secret, Secrets, mint};
use turn_relay::core::{
    At, Behaviour, Config, Core, Dialect, Edge, FRONT_BYTES, Flow, Gate, Limits, Listener, NonceKey, Quota, Relayed,
    Shards, TAIL_BYTES, Virtual,
};

/// A voice packet: Opus at 64 kbit/s with SRTP.
const PAYLOAD: usize = 172;
/// Single measurements of the tail.
const SAMPLES: usize = 1_000_000;
const SHARD: &str = "192.0.2.10:40000";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Takes everything and keeps the last of it.
struct Sink {
    reply: Vec<u8>,
    path: Option<RelayPath>,
}

impl Edge for Sink {
    fn reply(&mut self, _: &Flow, bytes: &[u8]) {
        self.reply.clear();
        self.reply.extend_from_slice(bytes);
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(3);
    }

    fn leg_state(&self, _: LegId) -> LegState {
        LegState::Live
    }
}

impl Shards for Sink {
    fn deliver(&mut self, _: usize, packet: FromRelay<'_>) -> Accepted {
        self.path = Some(packet.path);
        Accepted::Taken
    }
}

const USER_SECRET: [u8; 32] = [1; 32];

fn core() -> Core<Virtual> {
    let config = Config {
        worker: 0,
        workers: 1,
        turn: true,
        realm: "helpline".to_owned(),
        listeners: vec![Listener {
            address: address("192.0.2.10:3478"),
            udp: true,
        }],
        behaviour: Behaviour::OneAddress,
        // A bench sends faster than a client may.
        limits: Limits {
            packets_per_s: 0,
            bits_per_s: 0,
            ..Limits::default()
        },
        relayed: Relayed::default(),
        gate: Gate::Media,
        dialect: Dialect::Rfc8656,
        leg_names: LegNames::Ids,
        secrets: Secrets {
            current: Secret::new(0, &USER_SECRET),
            previous: None,
        },
        nonce_key: NonceKey::new(0, &[2; 32]),
        seed: [3; 32],
        quota: Arc::new(Mutex::new(Quota::new(&[4; 32]))),
    };
    Core::<Virtual>::new(at(0), config, &[vec![address(SHARD)]]).expect("a configuration that works")
}

fn at(now_ns: u64) -> At {
    At {
        now_ns,
        unix_s: 1_800_000_000,
    }
}

fn flow(number: u16) -> Flow {
    Flow {
        via: Via::Udp,
        local: 0,
        remote: SocketAddr::from(([198, 51, (number >> 8) as u8, number as u8], 5_000)),
        connection: 0,
    }
}

/// A request of leg `number`; signed if there is a nonce.
fn request(number: u16, method: u16, nonce: Option<&[u8]>) -> Vec<u8> {
    let mut buffer = vec![0; 512];
    let (user, password) = mint(&Secret::new(0, &USER_SECRET), LegId(u128::from(number)), 1_800_000_120);
    let mut write = || {
        let mut writer = Writer::new(&mut buffer, Class::Request, method, [method as u8; 12])?;
        if method == method::ALLOCATE {
            writer.attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])?;
        } else {
            writer.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0])?;
            writer.xor_address(attribute::XOR_PEER_ADDRESS, address(SHARD))?;
        }
        if let Some(nonce) = nonce {
            writer.attribute(attribute::USERNAME, user.as_bytes())?;
            writer.attribute(attribute::REALM, b"helpline")?;
            writer.attribute(attribute::NONCE, nonce)?;
            writer.integrity(&mut LongTermKey::new(user.as_bytes(), b"helpline", password.as_bytes()))?;
        }
        Ok::<usize, stun::NoRoom>(writer.finish())
    };
    let len = write().expect("room");
    buffer.truncate(len);
    buffer
}

/// A core with so many clients, each with a channel.
fn busy(clients: u16) -> (Core<Virtual>, Sink) {
    let (mut core, mut sink) = (
        core(),
        Sink {
            reply: Vec::new(),
            path: None,
        },
    );
    for number in 0..clients {
        core.client(at(0), flow(number), &request(number, method::ALLOCATE, None), &mut sink);
        let challenge = Message::parse(&sink.reply).expect("a challenge");
        let nonce = challenge.attribute(attribute::NONCE).expect("a nonce").to_vec();
        for method in [method::ALLOCATE, method::CHANNEL_BIND] {
            core.client(at(0), flow(number), &request(number, method, Some(&nonce)), &mut sink);
            let answer = Message::parse(&sink.reply).expect("an answer");
            assert_eq!(answer.class(), Class::Success);
        }
    }
    assert_eq!(core.allocations(), usize::from(clients));
    (core, sink)
}

fn data() -> Vec<u8> {
    let mut data = vec![0x40, 0, 0, PAYLOAD as u8];
    data.resize(4 + PAYLOAD, 0x80);
    data
}

/// A Send indication of a voice packet.
fn indication() -> Vec<u8> {
    let mut buffer = vec![0; 512];
    let mut write = || {
        let mut writer = Writer::new(&mut buffer, Class::Indication, method::SEND, [9; 12])?;
        writer.xor_address(attribute::XOR_PEER_ADDRESS, address(SHARD))?;
        writer.attribute(attribute::DATA, &[0x80; PAYLOAD])?;
        Ok::<usize, stun::NoRoom>(writer.finish())
    };
    let len = write().expect("room");
    buffer.truncate(len);
    buffer
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(1));
    let signed = request(1, method::ALLOCATE, Some(b"AAAABBBBCCCCDDDD"));
    group.bench_function("decode/allocate", |bench| {
        bench.iter(|| Message::parse(black_box(&signed)).map(|message| message.unknown(&[]).is_empty()));
    });
    let channel_data = data();
    group.bench_function("decode/channel-data", |bench| {
        bench.iter(|| channel::parse(black_box(&channel_data)))
    });

    let (mut core, mut sink) = busy(1_000);
    let (mut now, mut number) = (0u64, 0u16);
    let mut next = || {
        now += 1_000;
        number = (number + 1) % 1_000;
        (at(now), flow(number))
    };
    group.bench_function("up/channel-data", |bench| {
        bench.iter(|| {
            let (at, flow) = next();
            core.client(at, flow, black_box(&channel_data), &mut sink)
        });
    });
    let send = indication();
    group.bench_function("up/send-indication", |bench| {
        bench.iter(|| {
            let (at, flow) = next();
            core.client(at, flow, black_box(&send), &mut sink)
        });
    });
    let path = sink.path.expect("something went up");
    let mut frame = vec![0x80; FRONT_BYTES + PAYLOAD + TAIL_BYTES];
    group.bench_function("down/channel-data", |bench| {
        bench.iter(|| {
            core.from_shard(at(1), path, black_box(&mut frame), PAYLOAD)
                .map(|wrapped| wrapped.range)
        });
    });
    let bare = request(2_000, method::ALLOCATE, None);
    group.bench_function("stranger/challenge", |bench| {
        bench.iter(|| {
            let (at, _) = next();
            core.client(at, flow(number_of(at)), black_box(&bare), &mut sink)
        });
    });
    group.bench_function("stranger/forged-nonce", |bench| {
        bench.iter(|| {
            let (at, _) = next();
            core.client(at, flow(number_of(at)), black_box(&signed), &mut sink)
        });
    });
    group.finish();
    tail(&[("allocate", &signed), ("send-indication", &send), ("bare", &bare)]);
}

/// Another stranger every time.
fn number_of(at: At) -> u16 {
    (at.now_ns / 1_000) as u16 | 0x8000
}

/// Prints the tail of decoding: every message timed alone, the clock's own cost in it.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn tail(messages: &[(&str, &[u8])]) {
    for (name, bytes) in messages {
        let mut samples: Vec<u32> = (0..SAMPLES)
            .map(|_| {
                let before = Instant::now();
                black_box(Message::parse(black_box(bytes)).is_ok());
                before.elapsed().as_nanos() as u32
            })
            .collect();
        samples.sort_unstable();
        let at = |share: f64| samples[((SAMPLES as f64 * share) as usize).min(SAMPLES - 1)];
        println!(
            "decode/{name}: median {} ns, p99 {} ns, p99.9 {} ns, largest {} ns",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

criterion_group!(turn, benches);
criterion_main!(turn);
