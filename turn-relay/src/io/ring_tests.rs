//! The ring at its limits, and across two threads.

use super::*;

fn path(slot: u32, generation: u32) -> RelayPath {
    RelayPath {
        worker: 3,
        slot,
        generation,
        peer: 7,
        via: Via::Tls,
    }
}

fn fresh() -> (Egress, Reader, Doorbell) {
    let doorbell = Doorbell::new(udp::Bell::new().unwrap());
    let (writer, reader) = ring(doorbell.clone(), Clock::start());
    (writer, reader, doorbell)
}

/// Everything that waits: paths and payloads.
fn drain(reader: &mut Reader) -> Vec<(RelayPath, Vec<u8>)> {
    let mut found = Vec::new();
    while reader.take(|bytes| {
        let mut at = 0;
        while let Some(frame) = next(bytes, &mut at) {
            let payload = &bytes[frame.range()][FRONT_BYTES..FRONT_BYTES + frame.len];
            found.push((frame.path, payload.to_vec()));
        }
        at
    }) {}
    found
}

#[test]
fn a_frame_comes_out_as_it_went_in_with_room_around_it() {
    let (mut writer, mut reader, _) = fresh();
    for len in [1, 172, PAYLOAD_BYTES_MAX] {
        assert_eq!(writer.transmit(path(5, 9), &vec![len as u8; len]), Accepted::Taken);
    }
    assert_eq!(writer.transmit(path(5, 9), &[]), Accepted::Gone);
    assert_eq!(writer.transmit(path(5, 9), &[0; PAYLOAD_BYTES_MAX + 1]), Accepted::Gone);
    let mut seen = 0;
    reader.take(|bytes| {
        let mut at = 0;
        while let Some(frame) = next(bytes, &mut at) {
            assert_eq!(frame.path, path(5, 9));
            // Room in front and behind may be written without harm to the next frame.
            let range = frame.range();
            bytes[range.start..range.start + FRONT_BYTES].fill(0xFF);
            bytes[range.end - TAIL_BYTES..range.end].fill(0xFF);
            let payload = &bytes[range.start + FRONT_BYTES..range.end - TAIL_BYTES];
            assert!(payload.iter().all(|byte| *byte == frame.len as u8));
            seen += 1;
        }
        at
    });
    assert_eq!(seen, 3);
    assert!(reader.is_empty());
}

#[test]
fn a_full_ring_drops_the_newest_and_counts_it() {
    let (mut writer, mut reader, _) = fresh();
    let mut taken = 0_u32;
    while writer.transmit(path(taken, 0), &[1; 172]) == Accepted::Taken {
        taken += 1;
    }
    // 24 + 48 + 172 + 4 bytes each.
    assert_eq!(taken as usize, RING_BYTES / 248);
    assert_eq!(writer.transmit(path(0, 0), &[1; 172]), Accepted::Full);
    assert_eq!(reader.full(), 2);
    let slots: Vec<u32> = drain(&mut reader).iter().map(|(path, _)| path.slot).collect();
    assert_eq!(slots, (0..taken).collect::<Vec<_>>());
    assert_eq!(writer.transmit(path(77, 0), &[1; 172]), Accepted::Taken);
    assert_eq!(drain(&mut reader).len(), 1);
}

#[test]
fn frames_of_every_length_survive_many_rounds() {
    let (mut writer, mut reader, _) = fresh();
    let mut len = 1;
    for round in 0..20_000_u32 {
        len = (len * 7 + 13) % PAYLOAD_BYTES_MAX + 1;
        let payload = vec![round as u8; len];
        assert_eq!(writer.transmit(path(round, 1), &payload), Accepted::Taken);
        // Never empty for long and never full: the end of the ring is met at every offset.
        if round % 50 == 49 {
            for (n, (path, payload)) in drain(&mut reader).into_iter().enumerate() {
                assert_eq!(path.slot, round - 49 + n as u32);
                assert!(payload.iter().all(|byte| *byte == path.slot as u8));
            }
        }
    }
}

#[test]
fn what_was_not_walked_comes_again() {
    let (mut writer, mut reader, _) = fresh();
    for slot in 0..3 {
        writer.transmit(path(slot, 0), b"abc");
    }
    reader.take(|bytes| {
        let mut at = 0;
        assert_eq!(next(bytes, &mut at).map(|frame| frame.path.slot), Some(0));
        at
    });
    let rest: Vec<u32> = drain(&mut reader).iter().map(|(path, _)| path.slot).collect();
    assert_eq!(rest, [1, 2]);
}

#[test]
fn only_a_sleeping_reader_is_woken_and_only_once_per_batch() {
    let (mut writer, _reader, doorbell) = fresh();
    let rung = || {
        let none: [&udp::Socket; 0] = [];
        let mut poller = udp::Poller::new(1).unwrap();
        poller.add(doorbell.bell(), 0, udp::Interest::Read).unwrap();
        let rung = poller.wait(0).unwrap() == 1;
        // Hears and forgets.
        udp::wait(&none, doorbell.bell(), 0).unwrap();
        rung
    };
    writer.transmit(path(0, 0), b"a");
    writer.flush();
    assert!(!rung(), "the reader is awake");
    doorbell.park();
    writer.flush();
    assert!(!rung(), "nothing was written since the last flush");
    writer.transmit(path(0, 0), b"a");
    assert!(!rung(), "a batch is not over before its flush");
    writer.flush();
    assert!(rung());
    writer.transmit(path(0, 0), b"a");
    writer.flush();
    assert!(!rung(), "it was woken already");
    doorbell.park();
    doorbell.unpark();
    writer.transmit(path(0, 0), b"a");
    writer.flush();
    assert!(!rung(), "it is awake again");
}

#[test]
fn a_ring_whose_worker_has_ended_says_so() {
    let (mut writer, reader, _) = fresh();
    drop(reader);
    assert_eq!(writer.transmit(path(0, 0), b"a"), Accepted::Gone);
}

/// Ten million frames from one thread to another that sleeps whenever it finds nothing. A wake-up that gets lost hangs
/// this test, a torn frame fails it.
#[test]
fn ten_million_frames_cross_two_threads_in_order() {
    const FRAMES: u32 = 10_000_000;
    const BATCH: u32 = 32;
    let (mut writer, mut reader, doorbell) = fresh();
    let producing = std::thread::spawn(move || {
        let mut refused = 0_u64;
        for slot in 0..FRAMES {
            let payload = [slot as u8; 16];
            while writer.transmit(path(slot, !slot), &payload[..1 + slot as usize % 16]) == Accepted::Full {
                refused += 1;
                writer.flush();
                std::thread::yield_now();
            }
            if slot % BATCH == BATCH - 1 {
                writer.flush();
            }
        }
        writer.flush();
        refused
    });
    let mut expected = 0_u32;
    while expected < FRAMES {
        let found = reader.take(|bytes| {
            let mut at = 0;
            while let Some(frame) = next(bytes, &mut at) {
                assert_eq!(frame.path, path(expected, !expected));
                assert_eq!(frame.len, 1 + expected as usize % 16);
                assert_eq!(bytes[frame.start + FRONT_BYTES], expected as u8);
                expected += 1;
            }
            at
        });
        if !found {
            doorbell.park();
            if reader.is_empty() && expected < FRAMES {
                udp::wait(&[], doorbell.bell(), -1).unwrap();
            }
            doorbell.unpark();
        }
    }
    let refused = producing.join().unwrap();
    assert_eq!(reader.full(), refused);
    assert!(reader.is_empty());
}
