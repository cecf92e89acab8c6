//! What the recorder takes and promises while its disk fills, fails or stands still.

use std::sync::atomic::Ordering;

use ports::{Policy, Recorder};

use super::super::watermark::{Marks, REFUSE_OPTIONAL_PERCENT, REFUSE_REQUIRED_PERCENT, RELEASE_PERCENT};
use super::super::writer::LOOK_NS;
use super::super::*;
use super::rig::{DISK_BYTES, Folder, Rig, SECOND, Shaky, TURN, tracks};

/// Bytes of the shaky disk for a share.
fn bytes(percent: u8) -> u64 {
    DISK_BYTES / 100 * u64::from(percent)
}

/// A rig whose writer has seen its disk with `used` bytes.
fn filled(folder: &Folder, used: u64) -> (Rig, Shaky) {
    let disk = Shaky::sound();
    disk.used.store(used, Ordering::Relaxed);
    let mut rig = Rig::new(folder, disk.clone());
    rig.turn();
    (rig, disk)
}

/// What is left of a talk of a second in a room of this policy: packets per side, whether it is marked.
fn recorded(rig: &mut Rig, room: u128, policy: Policy) -> (usize, bool) {
    rig.room_of(room, Some(policy));
    let sent = rig.talk(room, 50);
    rig.close(room);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    let kept = tracks(&call);
    assert!(kept[0].is_empty() || kept == sent);
    (kept[0].len(), call.degraded())
}

#[test]
fn an_optional_recording_is_refused_at_its_mark_and_a_required_one_is_not() {
    let mark = bytes(REFUSE_OPTIONAL_PERCENT);
    for (used, optional) in [(mark - 1, (50, false)), (mark, (0, true)), (mark + 1, (0, true))] {
        let folder = Folder::new();
        let (mut rig, _) = filled(&folder, used);
        assert_eq!(recorded(&mut rig, 1, Policy::Optional), optional, "{used} bytes used");
        assert_eq!(recorded(&mut rig, 2, Policy::Required), (50, false));
        let figures = rig.stats.figures();
        let refused = if optional.1 { 100 } else { 0 };
        assert_eq!((figures.packets_refused, figures.packets_dropped), (refused, 0));
        assert_eq!(figures.packets, 200 - refused);
    }
}

#[test]
fn beyond_the_last_mark_a_required_call_that_comes_all_the_same_is_recorded() {
    let folder = Folder::new();
    let (mut rig, _) = filled(&folder, bytes(REFUSE_REQUIRED_PERCENT));
    assert_eq!(rig.stats.figures().level, Level::Full);
    assert_eq!(recorded(&mut rig, 1, Policy::Required), (50, false));
}

#[test]
fn a_refused_recording_says_so_at_its_beginning_and_at_its_end_only() {
    let folder = Folder::new();
    let (mut rig, _) = filled(&folder, bytes(REFUSE_OPTIONAL_PERCENT));
    rig.room_of(1, Some(Policy::Optional));
    rig.talk(1, 500);
    assert_eq!(rig.stats.figures().recording_rooms, 0, "it is not recorded");
    let early = rig.degraded.lock().unwrap().clone();
    assert_eq!(early.len(), 1, "{early:?}");
    rig.close(1);
    rig.turns(60);
    let told = rig.degraded.lock().unwrap().clone();
    assert_eq!(told[1..], [(1, 1_000)], "all of them at the end");
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!((call.recording, call.dropped_packets), (Some(1_001), 1_000));
}

#[test]
fn a_running_recording_goes_on_when_the_disk_fills_and_new_ones_wait_for_room() {
    let folder = Folder::new();
    let (mut rig, disk) = filled(&folder, bytes(REFUSE_OPTIONAL_PERCENT) - 1);
    let looks = usize::try_from(LOOK_NS / TURN + 1).unwrap();
    rig.room_of(1, Some(Policy::Optional));
    rig.talk(1, 50);
    disk.used.store(bytes(REFUSE_OPTIONAL_PERCENT), Ordering::Relaxed);
    rig.turns(looks);
    rig.talk(1, 50);
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(tracks(&call)[1].len(), 100);
    disk.used
        .store(bytes(REFUSE_OPTIONAL_PERCENT - RELEASE_PERCENT), Ordering::Relaxed);
    rig.turns(looks);
    assert_eq!(recorded(&mut rig, 2, Policy::Optional), (0, true), "not yet");
    disk.used
        .store(bytes(REFUSE_OPTIONAL_PERCENT - RELEASE_PERCENT) - 1, Ordering::Relaxed);
    rig.turns(looks);
    assert_eq!(recorded(&mut rig, 3, Policy::Optional), (50, false));
}

#[test]
fn the_promise_follows_the_disk() {
    for (used, promise) in [
        (bytes(REFUSE_OPTIONAL_PERCENT) - 1, Recorder::Ready),
        (bytes(REFUSE_OPTIONAL_PERCENT), Recorder::RequiredOnly),
        (bytes(REFUSE_REQUIRED_PERCENT) - 1, Recorder::RequiredOnly),
        (bytes(REFUSE_REQUIRED_PERCENT), Recorder::Unavailable),
    ] {
        let folder = Folder::new();
        let (rig, _) = filled(&folder, used);
        assert_eq!(rig.stats.promise(), promise, "{used} bytes used");
    }
}

#[test]
fn the_operators_marks_are_those_that_count() {
    let folder = Folder::new();
    let disk = Shaky::sound();
    let mut rig = Rig::new(&folder, disk.clone());
    rig.writer = rig.writer.with_marks(Marks::LAST_BYTE);
    disk.used.store(DISK_BYTES - 1, Ordering::Relaxed);
    rig.turn();
    assert_eq!(rig.stats.promise(), Recorder::Ready);
    assert_eq!(recorded(&mut rig, 1, Policy::Optional), (50, false));
    disk.used.store(DISK_BYTES, Ordering::Relaxed);
    rig.turns(usize::try_from(LOOK_NS / TURN + 1).unwrap());
    assert_eq!(rig.stats.promise(), Recorder::Unavailable);
}

#[test]
fn a_disk_that_fails_promises_nothing_until_it_takes_what_waited() {
    let folder = Folder::new();
    let disk = Shaky::sound();
    let mut rig = Rig::new(&folder, disk.clone());
    assert_eq!(rig.stats.promise(), Recorder::Ready);
    rig.room(1, true);
    rig.talk(1, 100);
    assert_eq!(rig.stats.figures().required_rooms, 1);
    disk.bytes_left.store(0, Ordering::Relaxed);
    rig.talk(1, 100);
    assert_eq!(rig.stats.promise(), Recorder::Unavailable);
    assert_eq!(rig.stats.figures().required_rooms, 0, "the alert sees it");
    disk.bytes_left.store(usize::MAX, Ordering::Relaxed);
    rig.talk(1, 100);
    assert_eq!(rig.stats.promise(), Recorder::Ready);
    assert_eq!(rig.stats.figures().required_rooms, 1);
    rig.close(1);
    rig.turns(60);
    assert_eq!(rig.stats.figures().required_rooms, 0);
    assert_eq!(tracks(&read_call(&rig.jobs.try_recv().unwrap()).unwrap())[0].len(), 300);
}

#[test]
fn a_disk_that_stands_still_delays_no_packet_and_promises_nothing() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.drain = rig.drain.with_buffer_bytes(20_000);
    rig.room(1, true);
    // The writer is in a sync that does not return: only the drain runs. Every packet is taken off the ring in the
    // turn in which it came, whatever becomes of it.
    let mut waiting = Vec::new();
    for n in 0..1_000 {
        rig.speak(1, n);
        let told = std::mem::take(&mut rig.told);
        waiting.extend(rig.drain.step(rig.now.get(), told, &mut rig.taps));
        let figures = rig.stats.figures();
        assert_eq!(figures.packets + figures.packets_dropped, 2 * u64::from(n + 1));
        rig.now.set(rig.now.get() + TURN);
    }
    let figures = rig.stats.figures();
    assert!(figures.packets_dropped > 0 && figures.overflowing && figures.backlog_bytes < 30_000);
    assert_eq!(rig.stats.promise(), Recorder::Unavailable);
    // It returns.
    for batch in waiting {
        rig.writer.push(batch);
    }
    rig.turns(60);
    assert_eq!(rig.stats.promise(), Recorder::Ready);
    rig.close(1);
    rig.turns(60);
    let call = read_call(&rig.jobs.try_recv().unwrap()).unwrap();
    assert_eq!(call.dropped_packets, figures.packets_dropped);
}

#[test]
fn every_sync_is_timed_a_failed_one_too() {
    let folder = Folder::new();
    let disk = Shaky::sound();
    let mut rig = Rig::new(&folder, disk.clone());
    disk.sync_ns.store(SECOND / 4, Ordering::Relaxed);
    disk.bad_syncs.store(1, Ordering::Relaxed);
    rig.room(1, true);
    rig.talk(1, 250);
    let seconds = &rig.series.sync;
    let figures = rig.stats.figures();
    assert!(figures.syncs > 1 && figures.write_failures == 1);
    assert_eq!(seconds.get_sample_count(), figures.syncs + 1);
    assert!((seconds.get_sample_sum() - 0.25 * (figures.syncs + 1) as f64).abs() < 1e-9);
}

#[test]
fn a_journal_that_failed_once_is_forgotten_when_nothing_waits() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.stats.failing.store(true, Ordering::Relaxed);
    rig.turn();
    assert_eq!(rig.stats.promise(), Recorder::Ready);
}
