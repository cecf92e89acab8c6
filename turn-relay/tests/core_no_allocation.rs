//! R5: relayed datagrams, both ways and in both wrappings, allocate nothing on the heap.
//!
//! The counter is the thread's own and looks only while the core works; the edge keeps its packets in memory that was
//! there before.

#![cfg(test)]

#[path = "core/bed.rs"]
#[expect(dead_code, reason = "the bench is whole; this test needs a part of it")]
mod bed;

use bed::{Client, LEG, SHARD_0, SHARD_1, channel_data};
use ports::{Accepted, FromRelay, LegId, LegState, RelayPath, Via};
use stun::{attribute, method};
use testkit::counting::{Counting, counted, forget, looking};
use turn_relay::core::{At, Core, Edge, FRONT_BYTES, Flow, Outcome, Shards, TAIL_BYTES, Virtual};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A ring of one: the last packet and the last answer.
struct Rings {
    path: Option<RelayPath>,
    payload: [u8; 2_048],
    packets: u64,
    reply: [u8; 2_048],
    reply_len: usize,
}

impl Edge for Rings {
    fn reply(&mut self, _: &Flow, bytes: &[u8]) {
        self.reply[..bytes.len()].copy_from_slice(bytes);
        self.reply_len = bytes.len();
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(4);
    }

    fn leg_state(&self, leg: LegId) -> LegState {
        if leg == LEG { LegState::Live } else { LegState::Unknown }
    }
}

impl Shards for Rings {
    fn deliver(&mut self, _: usize, packet: FromRelay<'_>) -> Accepted {
        self.payload[..packet.payload.len()].copy_from_slice(packet.payload);
        self.path = Some(packet.path);
        self.packets += 1;
        Accepted::Taken
    }
}

struct Run {
    core: Core<Virtual>,
    rings: Rings,
    at: At,
}

impl Run {
    fn hand(&mut self, flow: Flow, bytes: &[u8]) -> Outcome {
        let Run { core, rings, at } = self;
        looking(|| core.client(*at, flow, bytes, rings))
    }

    /// One 20 ms later.
    fn step(&mut self) {
        self.at.now_ns += 20_000_000;
        let Run { core, rings, at } = self;
        looking(|| core.tick(*at, rings));
    }

    fn answer(&self) -> bed::Answer {
        bed::Answer(self.rings.reply[..self.rings.reply_len].to_vec())
    }

    fn ask(&mut self, client: &Client, request: &[u8], code: u16) -> bed::Answer {
        self.rings.reply_len = 0;
        self.hand(client.flow, request);
        let answer = self.answer();
        assert_eq!(answer.code(), code);
        answer
    }
}

/// A client with an allocation, a channel to one shard and a permission for both.
fn connect(run: &mut Run, via: Via, remote: &str) -> Client {
    let mut client = Client::at(remote);
    (client.flow.via, client.flow.local) = (via, if via == Via::Udp { 0 } else { 2 });
    let bare = client.bare(method::ALLOCATE, |_| Ok(()));
    let challenge = run.ask(&client, &bare, 401);
    client.heed(&challenge);
    let request = client.signed(method::ALLOCATE, |writer| {
        writer.attribute(attribute::REQUESTED_TRANSPORT, &bed::UDP)
    });
    run.ask(&client, &request, 0);
    bind(run, &mut client);
    client
}

/// Makes or renews the channel.
fn bind(run: &mut Run, client: &mut Client) {
    let request = client.signed(method::CHANNEL_BIND, |writer| {
        writer.attribute(attribute::CHANNEL_NUMBER, &[0x40, 0, 0, 0])?;
        writer.xor_address(attribute::XOR_PEER_ADDRESS, bed::address(SHARD_0))
    });
    run.ask(client, &request, 0);
}

#[test]
fn requirement_r5_the_packet_path_allocates_nothing() {
    let bed::Bed { core, at, .. } = bed::bed();
    let rings = Rings {
        path: None,
        payload: [0; 2_048],
        packets: 0,
        reply: [0; 2_048],
        reply_len: 0,
    };
    let mut run = Run { core, rings, at };

    // The counter counts; otherwise the end of this test could not fail.
    let vector = looking(|| vec![1u8; 100]);
    assert_eq!((vector.len(), counted().allocations), (100, 1));

    let mut clients = [
        connect(&mut run, Via::Udp, "198.51.100.7:5000"),
        connect(&mut run, Via::Tcp, "198.51.100.7:5001"),
        connect(&mut run, Via::Tls, "[2001:db8::7]:5000"),
    ];
    forget();
    let (mut channel_down, mut indication_down, mut dropped) = (0u32, 0u32, 0u32);
    for turn in 0..10_000u32 {
        run.step();
        for client in &mut clients {
            let payload = [0x80 | (turn % 8) as u8; 172];
            let data = channel_data(0x4000, &payload);
            assert_eq!(run.hand(client.flow, &data), Outcome::Relayed);
            channel_down += down(&mut run);
            let send = client.send(SHARD_1, &payload);
            assert_eq!(run.hand(client.flow, &send), Outcome::Relayed);
            indication_down += down(&mut run);
            // What is dropped must not allocate either.
            for rubbish in [
                &channel_data(0x4001, &payload)[..],
                &channel_data(0x4000, &[64; 9]),
                &send[..40],
                &[9; 30],
            ] {
                dropped += u32::from(matches!(run.hand(client.flow, rubbish), Outcome::Dropped(_)));
            }
            if turn % 5_000 == 4_999 {
                bind(&mut run, client);
            }
        }
    }
    assert_eq!((channel_down, indication_down, dropped), (30_000, 30_000, 120_000));
    assert_eq!(run.rings.packets, 60_000);
    assert_eq!(counted().allocations, 0, "allocations on the packet path");
}

/// What a shard answers, by the path of the last packet.
fn down(run: &mut Run) -> u32 {
    let path = run.rings.path.take().expect("a packet went up");
    let mut frame = [0xEE; FRONT_BYTES + 172 + TAIL_BYTES];
    frame[FRONT_BYTES..FRONT_BYTES + 172].copy_from_slice(&run.rings.payload[..172]);
    let Run { core, at, .. } = run;
    let wrapped = looking(|| core.from_shard(*at, path, &mut frame, 172));
    u32::from(wrapped.is_ok())
}
