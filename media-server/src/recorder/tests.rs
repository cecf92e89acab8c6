//! Tests of the recorder as a whole, in virtual time: the rings are filled and the steps driven by hand.

mod beside;
mod filling;
mod recovery;
mod rig;

use std::fs;
use std::sync::atomic::Ordering;

use media_core::tap::Flags as TapFlags;
use recording::spool::EventKind;
use recording::{Flags, Packet};

use super::drain::ORPHANS_MAX;
use super::recover::{recover, segments};
use super::writer::Mark;
use super::*;
pub(crate) use rig::Folder;
use rig::{EPOCH, Rig, SECOND, Shaky, TURN, leg, tap, tracks};

#[test]
fn packets_go_in_and_come_out_bit_for_bit() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    let live = rig.now.get();
    let sent = rig.talk(1, 250);
    rig.second(1, 0, live + SECOND);
    rig.close(1);
    let closed = rig.now.get();
    rig.turns(60);
    let job = rig.jobs.try_recv().unwrap();
    assert_eq!(
        (job.call, job.recording, job.reason.as_str(), job.end_ns),
        (1, Some(1_001), "hangup", closed)
    );
    let call = read_call(&job).unwrap();
    assert_eq!(tracks(&call), sent);
    assert_eq!(
        (call.start_ns, call.wall_ns_at_zero, call.node_epoch),
        (live, 1_000 * SECOND, EPOCH)
    );
    assert!(call.required && call.customer_left && !call.degraded());
    assert_eq!(
        (
            call.quality.len(),
            call.quality[0].rows[0].expected,
            call.quality[0].rows[0].mos
        ),
        (1, 50, 210)
    );
    assert_eq!(rig.stats.figures().packets, 500);
    assert_eq!(rig.stats.figures().backlog_bytes, 0);
    assert!(rig.jobs.try_recv().is_err(), "one job per call");
}

#[test]
fn a_packet_that_comes_before_its_leg_is_known_is_kept_and_one_of_nobody_is_not() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    let first = rig.speak(1, 0);
    rig.drained();
    rig.room(1, true);
    rig.turn();
    let second = rig.speak(1, 1);
    rig.turn();
    rig.speak(9, 2);
    rig.turns(2);
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(
        tracks(&call),
        [0, 1].map(|side| vec![first[side].clone(), second[side].clone()])
    );
    assert_eq!(rig.stats.figures().packets_unwanted, 2);
}

#[test]
fn the_order_of_an_agent_who_never_came_gives_way_and_that_of_a_live_room_does_not() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    let order = |recording| Message::Start {
        room: 1,
        recording,
        policy: ports::Policy::Optional,
        customer_left: true,
    };
    rig.told.push_back(order(7));
    rig.turns(2);
    // The rig's own order, and the room is live.
    rig.room(1, true);
    rig.talk(1, 10);
    rig.told.push_back(order(8));
    rig.talk(1, 10);
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(call.recording, Some(1_001));
    assert_eq!(tracks(&call).map(|track| track.len()), [20, 20]);
    assert!(rig.jobs.try_recv().is_err(), "one call, one recording");
}

#[test]
fn nothing_unwanted_is_on_the_disk() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.talk(1, 30);
    let secret = b"what nobody may keep".to_vec();
    let packet = |n, at| Packet {
        ext_seq: n,
        rtp_ts: n * 960,
        arrival_ns: at,
        flags: Flags::default(),
        level: 1,
        payload: secret.clone().into(),
    };
    let at = rig.now.get();
    assert!(rig.push(tap(1, 0), TapFlags::HELD, &packet(90_000, at)));
    assert!(rig.push(tap(1, 0), TapFlags::MUTED, &packet(90_001, at)));
    rig.turn();
    rig.told.push_back(Message::Stop { room: 1 });
    assert!(rig.push(tap(1, 0), TapFlags::VOICE, &packet(90_002, at)));
    rig.turn();
    rig.close(1);
    assert!(rig.push(tap(1, 0), TapFlags::VOICE, &packet(90_003, at + SECOND)));
    rig.room(2, false);
    assert!(rig.push(tap(2, 0), TapFlags::VOICE, &packet(90_004, at)));
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(tracks(&call)[0].len(), 30);
    assert!(
        call.audio_end_ns() < call.end.unwrap().at_ns,
        "the order to stop ends the sound"
    );
    for path in segments(folder.path()).unwrap() {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
    assert_eq!(rig.stats.figures().packets_unwanted, 5);
}

#[test]
fn hold_is_told_once_at_each_change() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.talk(1, 30);
    let from = rig.now.get();
    let told = [(0, false), (1, true), (2, true), (3, false), (4, false), (5, true)];
    for (second, on) in told {
        let at_ns = from + second * SECOND;
        rig.told.push_back(Message::Hold { room: 1, at_ns, on });
        rig.turn();
    }
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    let holds = call.events.iter().filter_map(|event| match event.kind {
        EventKind::Held => Some(((event.at_ns - from) / SECOND, true)),
        EventKind::HoldEnded => Some(((event.at_ns - from) / SECOND, false)),
        _ => None,
    });
    assert_eq!(holds.collect::<Vec<_>>(), [(1, true), (3, false), (5, true)]);
}

/// A packet of a leg beside the two of the rig, now.
fn word(rig: &Rig, n: u32) -> Packet {
    Packet {
        ext_seq: n,
        rtp_ts: n * 960,
        arrival_ns: rig.now.get(),
        flags: Flags::VOICE,
        level: 60,
        payload: vec![0xf8, n as u8, 1].into(),
    }
}

#[test]
fn what_is_said_while_the_customer_is_on_hold_is_not_kept_and_mutes_are_told_once() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.talk(1, 10);
    let hold = |rig: &mut Rig, on| {
        let at_ns = rig.now.get();
        rig.told.push_back(Message::Hold { room: 1, at_ns, on });
    };
    hold(&mut rig, true);
    // Agent and colleague speak with one another: the shard taps what somebody hears.
    let aside = word(&rig, 90_000);
    assert!(rig.push(tap(1, 1), TapFlags::VOICE, &aside));
    rig.turn();
    let late = word(&rig, 90_001);
    rig.turn();
    hold(&mut rig, false);
    assert!(
        rig.push(tap(1, 1), TapFlags::VOICE, &late),
        "drained after the end of the hold"
    );
    rig.turn();
    let back = word(&rig, 90_002);
    assert!(rig.push(tap(1, 1), TapFlags::VOICE, &back));
    let (customer, agent) = (leg(1, 0), leg(1, 1));
    for legs in [vec![], vec![customer], vec![customer], vec![agent], vec![]] {
        let at_ns = rig.now.get();
        rig.told.push_back(Message::Muted { room: 1, at_ns, legs });
        rig.turn();
    }
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(tracks(&call)[1].len(), 11, "ten before the hold, one after it");
    assert_eq!(rig.stats.figures().packets_unwanted, 2);
    let mutes = call.events.iter().filter_map(|event| match event.kind {
        EventKind::Muted => Some((event.leg, true)),
        EventKind::MuteEnded => Some((event.leg, false)),
        _ => None,
    });
    assert_eq!(
        mutes.collect::<Vec<_>>(),
        [(customer, true), (customer, false), (agent, true), (agent, false)]
    );
}

#[test]
fn an_unrecorded_room_leaves_its_quality_and_an_empty_one_leaves_nothing() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, false);
    rig.room(2, false);
    let from = rig.now.get();
    for n in 1..=13 {
        rig.second(1, 1, from + n * SECOND);
    }
    rig.close(1);
    rig.close(2);
    rig.turns(60);
    let job = rig.jobs.try_recv().unwrap();
    assert_eq!((job.call, job.recording), (1, None));
    let call = read_call(&job).unwrap();
    assert!(call.tracks.is_empty());
    assert_eq!((call.quality.len(), call.quality[0].rows.len()), (1, 13));
    assert_eq!(
        (call.quality[0].first_second_ns, call.quality[0].leg),
        (from + SECOND, leg(1, 1))
    );
    assert!(rig.jobs.try_recv().is_err());
}

#[test]
fn a_recording_without_a_packet_ends_as_a_job_all_the_same() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.close(1);
    rig.turns(60);
    let job = rig.jobs.try_recv().unwrap();
    assert_eq!(job.recording, Some(1_001));
    assert!(read_call(&job).unwrap().tracks.is_empty());
}

#[test]
fn what_is_not_yet_synced_is_never_older_than_half_a_second_and_a_turn() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    let mut waiting = 0;
    for n in 0..200 {
        rig.speak(1, n);
        let before = rig.stats.figures().bytes_synced;
        rig.turn();
        waiting = if rig.stats.figures().bytes_synced > before {
            0
        } else {
            waiting + TURN
        };
        assert!(waiting <= BATCH_EVERY_NS + TURN);
    }
}

#[test]
fn a_full_disk_marks_the_call_and_later_calls_are_whole_again() {
    let folder = Folder::new();
    let disk = Shaky::sound();
    let mut rig = Rig::new(&folder, disk.clone());
    rig.drain = rig.drain.with_buffer_bytes(20_000);
    rig.room(1, true);
    disk.bytes_left.store(30_000, Ordering::Relaxed);
    let sent = rig.talk(1, 400);
    let full = rig.stats.figures();
    assert!(full.failing && full.packets_dropped > 0 && full.write_failures > 1);
    assert!(full.backlog_bytes < 24_000, "{}", full.backlog_bytes);
    assert_eq!(full.packets + full.packets_dropped, 800);
    disk.bytes_left.store(usize::MAX, Ordering::Relaxed);
    rig.close(1);
    rig.turns(120);
    let job = rig.jobs.try_recv().unwrap();
    let call = read_call(&job).unwrap();
    assert!(call.degraded());
    assert_eq!((call.dropped_packets, call.missing_blocks), (full.packets_dropped, 0));
    for (got, all) in tracks(&call).iter().zip(&sent) {
        assert!(got.iter().all(|packet| all.contains(packet)));
        assert!(!got.is_empty() && got.len() < all.len());
    }
    assert_eq!(rig.degraded.lock().unwrap().last(), Some(&(1, full.packets_dropped)));
    assert!(!rig.stats.figures().failing);
    rig.room(2, true);
    let sent = rig.talk(2, 100);
    rig.close(2);
    rig.turns(60);
    let later = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(tracks(&later), sent);
    assert!(!later.degraded());
    // A new start reads the same from the segments, torn ones included.
    let ledger = Ledger::open(folder.path(), 0).unwrap();
    let found = recover(segments(folder.path()).unwrap(), &ledger);
    assert_eq!(found.jobs.len(), 2);
    assert_eq!(read_call(&found.jobs[0]).unwrap(), call);
    assert_eq!(read_call(&found.jobs[1]).unwrap(), later);
}

#[test]
fn packets_are_kept_up_to_the_bound_and_dropped_at_it() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let used = 4 * (40 + 16) + 4;
    rig.drain = rig.drain.with_buffer_bytes(used);
    let one = |n| Packet {
        ext_seq: n,
        rtp_ts: n * 960,
        arrival_ns: SECOND,
        flags: Flags::VOICE,
        level: 1,
        payload: vec![1; 40].into(),
    };
    for n in 0..5 {
        assert!(rig.push(tap(1, 0), TapFlags::VOICE, &one(n)));
    }
    rig.drained();
    assert_eq!(
        (rig.stats.figures().packets, rig.stats.figures().packets_dropped),
        (5, 0)
    );
    assert!(rig.push(tap(1, 0), TapFlags::VOICE, &one(5)));
    rig.drained();
    assert_eq!(
        (rig.stats.figures().packets, rig.stats.figures().packets_dropped),
        (5, 1)
    );
}

#[test]
fn a_failed_sync_is_final_and_nothing_is_lost_or_doubled() {
    let folder = Folder::new();
    let disk = Shaky::sound();
    let mut rig = Rig::new(&folder, disk.clone());
    rig.room(1, true);
    let mut sent = rig.talk(1, 60);
    disk.bad_syncs.store(2, Ordering::Relaxed);
    for n in 60..360 {
        for (all, one) in sent.iter_mut().zip(rig.speak(1, n)) {
            all.push(one);
        }
        rig.turn();
    }
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(tracks(&call), sent);
    assert!(!call.degraded());
    assert_eq!(rig.stats.figures().write_failures, 2);
    assert_eq!(
        segments(folder.path()).unwrap().len(),
        3,
        "a segment per failure and the good one"
    );
    // The abandoned segments hold the same blocks once more: still each counts once.
    let ledger = Ledger::open(folder.path(), 0).unwrap();
    let found = recover(segments(folder.path()).unwrap(), &ledger);
    assert_eq!(read_call(&found.jobs[0]).unwrap(), call);
}

#[test]
fn a_ring_that_overflows_marks_the_rooms_of_its_shard() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.talk(1, 10);
    rig.told.push_back(Message::TapDropped { shard: 1, packets: 50 });
    rig.turns(30);
    assert!(rig.degraded.lock().unwrap().is_empty());
    rig.told.push_back(Message::TapDropped { shard: 0, packets: 3 });
    rig.turns(30);
    assert_eq!(rig.stats.figures().packets_ring_full, 53);
    assert_eq!(*rig.degraded.lock().unwrap(), [(1, 3)]);
    rig.close(1);
    rig.turns(60);
    assert_eq!(read_call(&rig.jobs.try_recv().unwrap()).unwrap().dropped_packets, 3);
}

#[test]
fn packets_of_a_leg_not_yet_known_are_kept_up_to_their_bound() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    let beyond = 2;
    for n in 0..ORPHANS_MAX as u32 + beyond {
        let packet = Packet {
            ext_seq: n,
            rtp_ts: n * 960,
            arrival_ns: SECOND,
            flags: Flags::VOICE,
            level: 1,
            payload: vec![1; 4].into(),
        };
        assert!(rig.push(tap(1, 0), TapFlags::VOICE, &packet));
    }
    rig.drained();
    rig.room(1, true);
    rig.drained();
    let figures = rig.stats.figures();
    assert_eq!(
        (figures.packets, figures.packets_unwanted),
        (ORPHANS_MAX as u64, u64::from(beyond))
    );
}

#[test]
fn a_segment_takes_no_byte_beyond_its_size() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.writer = rig
        .writer
        .with_segment_bytes(recording::spool::SEGMENT_HEADER_BYTES + 100);
    let mut sizes = Vec::new();
    for bytes in [60, 40, 1, 99] {
        rig.stats.backlog.fetch_add(bytes, Ordering::Relaxed);
        let mark = Mark {
            call: 1,
            bytes: bytes as u32,
            ending: None,
        };
        rig.writer.push(writer::Batch {
            bytes: vec![7; bytes],
            marks: vec![mark],
        });
        rig.written();
        sizes.push(segments(folder.path()).unwrap().len());
    }
    assert_eq!(sizes, [1, 1, 2, 2]);
}

#[test]
fn who_leaves_and_comes_back_is_told_once_each() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let (room, leg, at_ns) = (1, leg(1, 1), rig.now.get());
    for _ in 0..2 {
        rig.told.push_back(Message::LegLeft { room, leg, at_ns });
    }
    rig.turn();
    for tap in [90, 91] {
        let part = ports::Part::Agent;
        rig.told.push_back(Message::LegJoined {
            room,
            leg,
            part,
            tap,
            at_ns,
        });
    }
    rig.turn();
    let packet = Packet {
        ext_seq: 1,
        rtp_ts: 2,
        arrival_ns: at_ns,
        flags: Flags::VOICE,
        level: 3,
        payload: vec![4].into(),
    };
    assert!(rig.push(91, TapFlags::VOICE, &packet));
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    let kinds: Vec<_> = call
        .events
        .iter()
        .filter(|event| event.leg == leg)
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, [EventKind::LegJoined, EventKind::LegLeft, EventKind::LegJoined]);
    assert_eq!(tracks(&call)[1], [packet], "the new number leads to the same leg");
}

#[test]
fn a_writer_that_is_gone_promises_nothing_more_and_whoever_was_promised_is_told() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    let handle = Handle::new();
    handle.stats().running.store(true, Ordering::Relaxed);
    rig.room(1, true);
    rig.room(2, false);
    for message in rig.told.drain(..) {
        handle.tell(message);
    }
    let told = Arc::<std::sync::Mutex<Vec<u128>>>::default();
    let tell = Arc::clone(&told);
    let drain = Drain::new(handle.stats(), Box::new(move |room, _| tell.lock().unwrap().push(room)));
    assert_eq!(handle.promise(), ports::Recorder::Ready);
    let (batches, to_write) = channel();
    drop(to_write);
    drain_thread(drain, &handle, &Clock::start(), Vec::new(), &batches);
    assert_ne!(handle.promise(), ports::Recorder::Ready);
    assert_eq!(*told.lock().unwrap(), [1], "the room that is recorded, and no other");
    assert!(
        !handle.take(std::time::Duration::ZERO).1,
        "nobody fills the box in vain"
    );
}
