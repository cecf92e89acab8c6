//! Tests of what a crash leaves: cut segments, damage, steps repeated, segments freed, and the threads themselves.

use std::fs;
use std::sync::Arc;

use media_core::TapId;
use media_core::tap::{Flags as TapFlags, Record, TapSink};
use ports::{Part, Policy};

use super::super::recover::{recover, segments};
use super::super::*;
use super::rig::{EPOCH, Folder, Rig, SECOND, Shaky, tracks};
use crate::tap::ring;

/// Numbers without pattern, the same in every run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn a_crash_anywhere_loses_nothing_that_was_synced() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    let mut sent = [Vec::new(), Vec::new()];
    // (bytes on disk, packets per side that they hold) after every sync.
    let mut synced = vec![(0, 0)];
    for n in 0..400 {
        for (all, one) in sent.iter_mut().zip(rig.speak(1, n)) {
            all.push(one);
        }
        let before = rig.stats.figures().bytes_synced;
        rig.turn();
        let after = rig.stats.figures().bytes_synced;
        if after > before {
            synced.push((after as usize + recording::spool::SEGMENT_HEADER_BYTES, sent[0].len()));
        }
    }
    drop(rig);
    let [path] = segments(folder.path()).unwrap().try_into().unwrap();
    let whole = fs::read(&path).unwrap();
    assert_eq!(whole.len(), synced.last().unwrap().0);
    let mut state = 0x9E37_79B9_7F4A_7C15;
    for _ in 0..100 {
        let cut = random(&mut state) as usize % whole.len();
        let spool = Folder::new();
        let copy = spool.path().join(path.file_name().unwrap());
        fs::write(&copy, &whole[..cut]).unwrap();
        let ledger = Ledger::open(spool.path(), 0).unwrap();
        let found = recover(segments(spool.path()).unwrap(), &ledger);
        let due = synced
            .iter()
            .filter(|(bytes, _)| *bytes <= cut)
            .map(|(_, packets)| *packets)
            .max()
            .unwrap();
        let Some(job) = found.jobs.first() else {
            assert_eq!(due, 0, "cut at {cut}");
            continue;
        };
        assert_eq!((job.reason.as_str(), job.call), (NODE_CRASH, 1));
        let call = read_call(job).unwrap();
        for (got, all) in tracks(&call).iter().zip(&sent) {
            assert!(got.len() >= due, "cut at {cut}: {} of {due}", got.len());
            assert_eq!(got[..], all[..got.len()], "cut at {cut}");
        }
        assert_eq!(call.end.unwrap().at_ns, call.last_ns);
    }
}

#[test]
fn recovering_twice_is_recovering_once() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.room(2, true);
    rig.talk(1, 100);
    rig.close(2);
    rig.turns(60);
    assert_eq!(rig.jobs.try_recv().unwrap().call, 2);
    drop(rig);
    let start = || {
        let ledger = Ledger::open(folder.path(), 0).unwrap();
        let found = recover(segments(folder.path()).unwrap(), &ledger);
        (ledger, found)
    };
    let (_, first) = start();
    let (_, again) = start();
    assert_eq!(first.jobs, again.jobs);
    let reasons: Vec<_> = first.jobs.iter().map(|job| (job.call, job.reason.as_str())).collect();
    assert_eq!(reasons, [(1, NODE_CRASH), (2, "hangup")]);
    assert_eq!(first.crashed, 1);
    // What was confirmed is handed on as such, what was acknowledged is not handed on, and then the spool is empty.
    let (ledger, _) = start();
    ledger
        .confirmed(first.jobs[0].key(), serde_json::json!({"size": 7}))
        .unwrap();
    ledger.acknowledged(first.jobs[1].key(), 0).unwrap();
    assert_eq!(ledger.sweep(SECOND).unwrap(), 0, "call 1 still needs the segment");
    let (ledger, found) = start();
    assert_eq!(found.jobs.len(), 1);
    assert_eq!(found.jobs[0].confirmed, Some(serde_json::json!({"size": 7})));
    ledger.acknowledged(first.jobs[0].key(), 0).unwrap();
    assert_eq!(ledger.sweep(SECOND).unwrap(), 1);
    assert!(segments(folder.path()).unwrap().is_empty());
    let (ledger, found) = start();
    assert!(found.jobs.is_empty());
    assert!(ledger.keys().is_empty(), "nothing is left to remember");
}

#[test]
fn a_segment_goes_when_all_its_calls_are_acknowledged_and_kept_long_enough() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    let kept = Arc::new(Ledger::open(folder.path(), 5 * SECOND).unwrap());
    kept.recovered();
    let (send, jobs) = channel();
    let header = SegmentHeader {
        node: "n".into(),
        node_epoch: EPOCH,
        shard: 0,
        wall_ns_at_zero: 0,
    };
    let disk = Box::new(FileSystem);
    let writer = Writer::new(
        disk,
        folder.path().to_owned(),
        header,
        Arc::clone(&kept),
        send,
        Arc::clone(&rig.stats),
        rig.series.sync.clone(),
    );
    rig.writer = writer.with_segment_bytes(20_000);
    rig.room(1, true);
    rig.room(2, true);
    let mut last = Vec::new();
    for n in 0..300 {
        rig.speak(1, n);
        last.push(rig.speak(2, n));
        rig.turn();
    }
    rig.close(1);
    rig.close(2);
    rig.turns(60);
    let ended: Vec<Job> = jobs.try_iter().collect();
    assert_eq!(ended.len(), 2);
    let before = kept.segments();
    assert!(
        before > 3 && ended.iter().all(|job| job.places.len() > 3),
        "the calls span segments"
    );
    assert_eq!(tracks(&read_call(&ended[1]).unwrap())[0].len(), 300);
    let now = rig.now.get();
    kept.acknowledged(ended[0].key(), now).unwrap();
    assert_eq!(kept.sweep(now + 100 * SECOND).unwrap(), 0);
    kept.acknowledged(ended[1].key(), now).unwrap();
    assert_eq!(kept.sweep(now + 5 * SECOND - 1).unwrap(), 0);
    assert_eq!(
        kept.sweep(now + 5 * SECOND).unwrap(),
        before - 1,
        "all but the one that is written to"
    );
    assert_eq!(segments(folder.path()).unwrap().len(), 1);
}

#[test]
fn a_damaged_segment_costs_its_block_and_a_foreign_file_is_left_alone() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    let sent = rig.talk(1, 300);
    rig.turns(30);
    drop(rig);
    let [path] = segments(folder.path()).unwrap().try_into().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&path, &bytes).unwrap();
    let foreign = folder.path().join("0.hlsp");
    fs::write(&foreign, [b'x'; 200]).unwrap();
    let ledger = Ledger::open(folder.path(), 0).unwrap();
    let found = recover(segments(folder.path()).unwrap(), &ledger);
    assert_eq!((found.segments, found.unreadable), (1, 1));
    assert!(found.corrupt_bytes > 0);
    let call = read_call(&found.jobs[0]).unwrap();
    assert_eq!(call.missing_blocks, 1);
    let missing: usize = tracks(&call)
        .iter()
        .zip(&sent)
        .map(|(got, all)| all.len() - got.len())
        .sum();
    assert!(
        (1..=26).contains(&missing),
        "at most half a second of one side: {missing}"
    );
    ledger.acknowledged(found.jobs[0].key(), 0).unwrap();
    ledger.sweep(SECOND).unwrap();
    assert!(foreign.exists() && !path.exists());
}

#[test]
fn a_call_whose_spool_somebody_removed_is_handed_on_empty() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.talk(1, 30);
    rig.close(1);
    rig.turns(60);
    let job = rig.jobs.try_recv().unwrap();
    for path in segments(folder.path()).unwrap() {
        fs::remove_file(path).unwrap();
    }
    assert!(read_call(&job).is_err());
    let ledger = Ledger::open(folder.path(), 0).unwrap();
    let found = recover(segments(folder.path()).unwrap(), &ledger);
    let call = read_call(&found.jobs[0]).unwrap();
    assert_eq!(
        (call.recording, call.degraded(), call.tracks.len()),
        (Some(1_001), true, 0)
    );
    assert_eq!(call.end.unwrap().reason, "hangup");
}

#[test]
fn the_threads_record_stop_and_take_up_again() {
    let folder = Folder::new();
    let spool = folder.path().join("spool");
    let clock = Clock::start();
    let settings = |node_epoch| Settings {
        folder: spool.clone(),
        node: "node".into(),
        order: crate::affinity::Order::Equal,
        node_epoch,
        keep_after_stored_ns: KEEP_AFTER_STORED_NS,
        // The disk is the machine's own, and others fill it.
        marks: Marks::LAST_BYTE,
    };
    let start = |epoch, taps| {
        let handle = Handle::new();
        let (send, jobs) = channel();
        let degraded = Box::new(|_, _| panic!("nothing is lost"));
        let series = Series::new(&prometheus::Registry::new()).unwrap();
        let recorder = Recorder::start(
            settings(epoch),
            handle.clone(),
            clock,
            taps,
            send,
            degraded,
            series.clone(),
        )
        .unwrap();
        (handle, recorder, jobs, series)
    };
    let (mut producer, consumer) = ring(1_024);
    let (handle, recorder, jobs, _) = start(1, vec![consumer]);
    handle.tell(Message::LegJoined {
        room: 5,
        leg: 6,
        part: Part::Customer,
        tap: 7,
        at_ns: 0,
    });
    handle.tell(Message::Start {
        room: 5,
        recording: 8,
        policy: Policy::Required,
        customer_left: false,
    });
    let packet = [&[0x80, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], b"opus"].concat();
    let arrival_ns = clock.now_ns();
    let level = 9;
    let flags = TapFlags::default();
    assert!(producer.push(Record {
        arrival_ns,
        leg: TapId(7),
        ext_seq: 1,
        flags,
        level,
        packet: &packet
    }));
    recorder.stop();
    let [job] = jobs.iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((job.reason.as_str(), job.recording), ("shutdown", Some(8)));
    let call = read_call(&job).unwrap();
    assert_eq!(&call.tracks[0].packets[0].payload[..], b"opus");
    assert!(call.required && !call.customer_left);
    assert_eq!((handle.figures().packets, handle.figures().running), (1, false));
    assert_eq!(
        handle.promise(),
        ports::Recorder::Unavailable,
        "nobody records any more"
    );
    assert!(
        handle.figures().space.capacity > handle.figures().space.free,
        "the real disk was looked at"
    );
    let (_, recorder, jobs, series) = start(2, Vec::new());
    recorder.stop();
    assert_eq!(jobs.iter().collect::<Vec<_>>(), std::slice::from_ref(&job));
    assert_eq!(series.counted(), [0, 1], "it had ended, nobody knew yet");
    let (_, recorder, jobs, _) = start(3, Vec::new());
    recorder.ledger().acknowledged(job.key(), 0).unwrap();
    recorder.stop();
    drop(jobs);
    let (_, recorder, jobs, series) = start(4, Vec::new());
    recorder.stop();
    assert_eq!(jobs.iter().count(), 0);
    assert_eq!(series.counted(), [0, 0]);
}
