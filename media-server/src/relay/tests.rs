//! Rings, the doorbell and the ways, without sockets and without a relay.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use call_model::LegId;
use media_core::limits::DATAGRAM_BYTES_MAX;
use ports::{Accepted, FromRelay, RelayEgress, RelayPath, RelaySink, Via};
use udp::{Bell, Interest, Socket};

use super::ways::GONE_MAX;
use super::*;
use crate::clock::Clock;
use crate::convert;
use crate::plane::lock;

fn path(worker: u16, slot: u32) -> RelayPath {
    RelayPath {
        worker,
        slot,
        generation: 7,
        peer: 3,
        via: Via::Tcp,
    }
}

fn packet(payload: &[u8]) -> FromRelay<'_> {
    FromRelay {
        path: path(2, 5),
        leg: LegId(u128::MAX - 9),
        relayed: "203.0.113.9:50000".parse().expect("an address"),
        peer: "192.0.2.1:40000".parse().expect("an address"),
        payload,
    }
}

fn doorbell() -> (Doorbell, Bell) {
    let bell = Bell::new().expect("a bell");
    (Doorbell::new(bell.clone()), bell)
}

fn fresh(bytes: usize) -> (ring::Sink, Reader) {
    ring(bytes, doorbell().0, Clock::start())
}

/// Whether the bell has rung since it was last asked; waits for nothing.
fn rang(bell: &Bell) -> bool {
    let mut poller = Poller::new(1).expect("a descriptor");
    poller.add(bell, 0, Interest::Read).expect("it is watched");
    let rang = poller.wait(0).expect("poll works") == 1;
    // Hears and forgets.
    let none: [&Socket; 0] = [];
    udp::wait(&none, bell, 0).expect("poll works");
    rang
}

#[test]
fn frames_of_every_length_and_family_come_out_as_they_went_in() {
    // Far smaller than all of them together: each goes over the end of the memory somewhere else.
    let (mut sink, mut reader) = fresh(4_096);
    let mut body = [0; 1_600];
    for (turn, address) in ["203.0.113.9:50000", "[2001:db8::1:2]:65535", "0.0.0.0:0"]
        .iter()
        .cycle()
        .enumerate()
        .take(3 * DATAGRAM_BYTES_MAX)
    {
        let len = 1 + turn % DATAGRAM_BYTES_MAX;
        let payload: Vec<u8> = (0..len).map(|n| (n * 31 + turn) as u8).collect();
        let relayed: SocketAddr = address.parse().expect("an address");
        let sent = FromRelay {
            relayed,
            ..packet(&payload)
        };
        assert_eq!(sink.deliver(sent), Accepted::Taken);
        let frame = reader.take(&mut body).expect("a frame");
        assert_eq!((frame.len, &body[..frame.len]), (len, &payload[..]));
        assert_eq!(frame.from.address, relayed);
        assert_eq!(convert::path_out(frame.from.path), path(2, 5));
        assert_eq!(convert::leg_out(frame.from.leg), LegId(u128::MAX - 9));
        assert!(reader.take(&mut body).is_none());
        reader.free();
    }
}

#[test]
fn what_no_datagram_can_be_is_refused() {
    let (mut sink, mut reader) = fresh(RING_BYTES);
    assert_eq!(sink.deliver(packet(&[])), Accepted::Full);
    assert_eq!(sink.deliver(packet(&[1; DATAGRAM_BYTES_MAX + 1])), Accepted::Full);
    assert_eq!(reader.refused(), 2);
    assert!(reader.is_empty());
    assert_eq!(sink.deliver(packet(&[1; DATAGRAM_BYTES_MAX])), Accepted::Taken);
    assert!(!reader.is_empty());
    assert_eq!(
        reader.take(&mut [0; 1_600]).map(|frame| frame.len),
        Some(DATAGRAM_BYTES_MAX)
    );
}

#[test]
fn a_full_ring_refuses_and_counts_and_takes_again_once_freed() {
    let (mut sink, mut reader) = fresh(RING_BYTES);
    // Six words of head and 22 of payload.
    let (payload, frames) = ([9; 172], RING_BYTES / (28 * 8));
    for _ in 0..frames {
        assert_eq!(sink.deliver(packet(&payload)), Accepted::Taken);
    }
    assert!(frames > 1_000, "20 ms of 50,000 packets a second");
    assert_eq!(sink.deliver(packet(&payload)), Accepted::Full);
    assert_eq!(reader.refused(), 1);
    let mut body = [0; 1_600];
    assert!(reader.take(&mut body).is_some());
    assert_eq!(sink.deliver(packet(&payload)), Accepted::Full, "taken is not freed yet");
    reader.free();
    assert_eq!(sink.deliver(packet(&payload)), Accepted::Taken);
    let mut left = 0;
    while reader.take(&mut body).is_some() {
        left += 1;
    }
    assert_eq!(left, frames);
    assert_eq!(body[..172], payload);
}

#[test]
fn a_frame_for_which_the_buffer_is_too_short_is_passed_over_whole() {
    let (mut sink, mut reader) = fresh(RING_BYTES);
    sink.deliver(packet(&[1; 100]));
    sink.deliver(packet(&[2; 10]));
    let mut body = [0; 50];
    assert!(reader.take(&mut body).is_none());
    assert_eq!(reader.take(&mut body).map(|frame| frame.len), Some(10));
    assert_eq!(body[..10], [2; 10]);
}

#[test]
fn ten_million_frames_cross_two_threads_whole_and_in_order() {
    const FRAMES: u64 = 10_000_000;
    let (mut sink, mut reader) = fresh(RING_BYTES);
    let length = |number: u64| 16 + (number % 160) as usize;
    let writer = std::thread::spawn(move || {
        let mut payload = [0u8; 176];
        for number in 0..FRAMES {
            let len = length(number);
            payload[..8].copy_from_slice(&number.to_le_bytes());
            payload[len - 8..len].copy_from_slice(&number.to_le_bytes());
            while sink.deliver(packet(&payload[..len])) == Accepted::Full {
                std::thread::yield_now();
            }
        }
    });
    let mut body = [0; 1_600];
    let mut next = 0u64;
    while next < FRAMES {
        while let Some(frame) = reader.take(&mut body) {
            assert_eq!(frame.len, length(next));
            assert_eq!(body[..8], next.to_le_bytes());
            assert_eq!(body[frame.len - 8..frame.len], next.to_le_bytes());
            next += 1;
            if next.is_multiple_of(64) {
                reader.free();
            }
        }
        reader.free();
        std::thread::yield_now();
    }
    writer.join().expect("the writer ends");
    assert!(reader.is_empty());
}

#[test]
fn the_bell_rings_once_a_batch_and_only_for_a_reader_that_sleeps() {
    let (doorbell, bell) = doorbell();
    let (mut sink, reader) = ring(RING_BYTES, doorbell.clone(), Clock::start());
    sink.deliver(packet(b"awake"));
    sink.flush();
    assert!(!rang(&bell), "it is awake");
    doorbell.park();
    assert!(!reader.is_empty(), "who looks once more behind parking sees it");
    sink.flush();
    assert!(!rang(&bell), "nothing was written since");
    sink.deliver(packet(b"one"));
    sink.deliver(packet(b"two"));
    sink.flush();
    assert!(rang(&bell));
    sink.deliver(packet(b"three"));
    sink.flush();
    assert!(!rang(&bell), "it was rung for already");
    doorbell.park();
    doorbell.unpark();
    sink.deliver(packet(b"four"));
    sink.flush();
    assert!(!rang(&bell), "it is awake again");
}

#[test]
fn a_reader_that_parks_misses_nothing_that_two_writers_write() {
    const EACH: usize = 20_000;
    let (doorbell, bell) = doorbell();
    let (entry, mut side) = Side::new(doorbell.clone());
    let (sinks, readers): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| ring(RING_BYTES, doorbell.clone(), Clock::start()))
        .unzip();
    entry.hand(Link::Rings(readers));
    side.look_for_links(&Poller::new(4).expect("a descriptor"));
    let writers: Vec<_> = sinks
        .into_iter()
        .map(|mut sink| {
            std::thread::spawn(move || {
                for _ in 0..EACH {
                    while sink.deliver(packet(b"x")) == Accepted::Full {
                        std::thread::yield_now();
                    }
                    sink.flush();
                }
            })
        })
        .collect();
    let quiet = Socket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let mut seen = 0;
    while seen < 2 * EACH {
        side.receive(0);
        seen += side.arrived().len();
        if !side.may_have_more() && side.park(1) > 0 {
            // For ever: a lost wake-up is a test that never ends.
            udp::wait(&[&quiet], &bell, if seen < 2 * EACH { -1 } else { 0 }).expect("poll works");
        }
        side.unpark();
    }
    for writer in writers {
        writer.join().expect("the writer ends");
    }
    let figures = side.figures();
    assert_eq!(figures.up, 2 * EACH as u64);
}

#[test]
fn a_turn_takes_so_many_frames_and_begins_with_another_ring() {
    let (doorbell, _bell) = doorbell();
    let (entry, mut side) = Side::new(doorbell.clone());
    side.receive(0);
    assert!(
        side.arrived().is_empty() && side.park(1) > 0,
        "without a relay there is nothing"
    );
    let (mut sinks, readers): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| ring(RING_BYTES, doorbell.clone(), Clock::start()))
        .unzip();
    entry.hand(Link::Rings(readers));
    side.look_for_links(&Poller::new(4).expect("a descriptor"));
    for (worker, sink) in sinks.iter_mut().enumerate() {
        for _ in 0..FRAMES_PER_TURN {
            let payload = [worker as u8; 20];
            let from = FromRelay {
                path: path(worker as u16, 1),
                ..packet(&payload)
            };
            sink.deliver(from);
        }
        sink.flush();
    }
    let mut workers = Vec::new();
    for _ in 0..2 {
        side.receive(u64::MAX);
        assert_eq!(side.arrived().len(), FRAMES_PER_TURN);
        assert!(side.may_have_more());
        let worker = convert::path_out(side.arrived()[0].from.path).worker;
        assert!(
            side.arrived()
                .iter()
                .all(|arrived| convert::path_out(arrived.from.path).worker == worker)
        );
        let body = side.slot(FRAMES_PER_TURN - 1).get(HEADROOM_BYTES..HEADROOM_BYTES + 20);
        assert_eq!(body, Some(&[worker as u8; 20][..]));
        workers.push(worker);
    }
    workers.sort_unstable();
    assert_eq!(workers, [0, 1]);
    side.receive(0);
    assert!(side.arrived().is_empty() && !side.may_have_more());
    let figures = side.figures();
    assert_eq!(figures.up, 2 * FRAMES_PER_TURN as u64);
    assert!(figures.delay_ns > 0);
    assert_eq!(side.figures().delay_ns, 0, "the longest begins anew");
}

/// Packets with the paths that they went by.
type Handed = Vec<(RelayPath, Vec<u8>)>;

/// A worker's end that notes what it got.
#[derive(Clone, Default)]
struct Noted {
    sent: Arc<Mutex<Handed>>,
    flushes: Arc<Mutex<usize>>,
    says: Option<Accepted>,
}

impl RelayEgress for Noted {
    fn transmit(&mut self, path: RelayPath, payload: &[u8]) -> Accepted {
        let says = self.says.unwrap_or(Accepted::Taken);
        if says == Accepted::Taken {
            lock(&self.sent).push((path, payload.to_vec()));
        }
        says
    }

    fn flush(&mut self) {
        *lock(&self.flushes) += 1;
    }
}

#[test]
fn a_packet_goes_to_the_worker_of_its_path_and_each_worker_is_woken_once() {
    let mut ways = Ways::default();
    ways.send(convert::path(path(0, 1)), b"too early");
    assert_eq!(ways.counted().no_way, 1);
    let workers = [Noted::default(), Noted::default()];
    let full = Noted {
        says: Some(Accepted::Full),
        ..Noted::default()
    };
    let gone = Noted {
        says: Some(Accepted::Gone),
        ..Noted::default()
    };
    let all = [&workers[0], &workers[1], &full, &gone];
    ways.attach(
        all.iter()
            .map(|one| Box::new((*one).clone()) as Box<dyn RelayEgress>)
            .collect(),
    );
    for slot in 0..3 {
        ways.send(convert::path(path(1, slot)), b"one");
    }
    ways.send(convert::path(path(2, 0)), b"full");
    ways.send(convert::path(path(3, 0)), b"gone");
    ways.send(convert::path(path(4, 0)), b"nobody");
    ways.flush();
    ways.flush();
    let sent = lock(&workers[1].sent).clone();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[2], (path(1, 2), b"one".to_vec()));
    assert!(lock(&workers[0].sent).is_empty());
    let flushes = all.map(|one| *lock(&one.flushes));
    assert_eq!(flushes, [0, 1, 0, 0]);
    let counted = ways.counted();
    assert_eq!((counted.sent, counted.full, counted.gone, counted.no_way), (3, 1, 1, 2));
}

#[test]
fn ways_that_are_gone_are_told_once_per_look_and_only_so_many_at_a_time() {
    let mut ways = Ways::default();
    let gone = Noted {
        says: Some(Accepted::Gone),
        ..Noted::default()
    };
    ways.attach(vec![Box::new(gone)]);
    let way = |slot| convert::path(path(0, slot));
    for slot in [7, 7, 8] {
        ways.send(way(slot), b"gone");
    }
    assert_eq!(ways.take_gone().collect::<Vec<_>>(), [way(7), way(8)]);
    assert_eq!(ways.take_gone().count(), 0);
    for slot in 0..=GONE_MAX as u32 {
        ways.send(way(slot), b"gone");
    }
    assert_eq!(ways.take_gone().count(), GONE_MAX);
    assert_eq!(ways.counted().gone, 3 + GONE_MAX as u64 + 1);
}
