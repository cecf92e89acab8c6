//! Calls through spool, store and journal, with a store that fails, a spool that is damaged and a maker that breaks.

use std::sync::mpsc::{Sender, channel};

use ports::{RecordingFault, RecordingStep, Recordings};
use recording::spool::{self, AudioBlock, End, PacketRef, Part, SegmentHeader, Start, Tag};
use recording::{Flags, master};

use super::*;
use crate::recorder::Place;
use crate::recorder::tests::Folder;

const SECOND: u64 = 1_000_000_000;
const EPOCH: u64 = 7;

/// A call of two legs without packets.
pub(super) fn call(id: u128, recording: Option<u128>, seconds: u64) -> RecordedCall {
    RecordedCall {
        call: id,
        recording,
        required: false,
        customer_left: true,
        start_ns: 0,
        end: Some(End {
            at_ns: seconds * SECOND,
            reason: "hangup".into(),
        }),
        last_ns: seconds * SECOND,
        node_epoch: EPOCH,
        wall_ns_at_zero: 1_700_000_000 * SECOND,
        legs: vec![(1, Part::Customer), (2, Part::Agent)],
        beside: Vec::new(),
        tracks: Vec::new(),
        quality: Vec::new(),
        events: Vec::new(),
        dropped_packets: 0,
        missing_blocks: 0,
    }
}

/// Writes a segment with one call of the given seconds and gives its job.
fn spooled(folder: &Folder, id: u128, recording: Option<u128>, seconds: u64) -> Job {
    let header = SegmentHeader {
        node: "node".into(),
        node_epoch: EPOCH,
        shard: 0,
        wall_ns_at_zero: 1_700_000_000 * SECOND,
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes).unwrap();
    let began = bytes.len() as u32;
    let legs = vec![(1, Part::Customer), (2, Part::Agent)];
    let start = Start {
        recording,
        required: false,
        customer_left: true,
        start_ns: 5 * SECOND,
        legs,
    };
    spool::start(&mut bytes, Tag::of_call(id, 0), &start).unwrap();
    let mut counter = 1;
    for second in 0..seconds {
        for (leg, part) in [(1, Part::Customer), (2, Part::Agent)] {
            let tag = Tag {
                call: id,
                leg,
                part,
                counter,
            };
            counter += 1;
            let mut block = AudioBlock::new();
            for i in 0..50 {
                let n = (second * 50 + i) as u32;
                // Noise by hand: any bytes are a packet of one frame to the framing.
                let payload = [0xf8, n as u8, (n >> 8) as u8, leg as u8];
                let packet = PacketRef {
                    ext_seq: n,
                    rtp_ts: n * 960,
                    arrival_ns: 5 * SECOND + u64::from(n) * 20_000_000,
                    flags: Flags::default(),
                    level: 20,
                    payload: &payload,
                };
                block.push(&packet).unwrap();
            }
            block.finish(&mut bytes, tag);
        }
    }
    let end_ns = (5 + seconds) * SECOND;
    spool::end(
        &mut bytes,
        Tag::of_call(id, counter),
        &End {
            at_ns: end_ns,
            reason: "hangup".into(),
        },
    )
    .unwrap();
    let path = folder.path().join(format!("{id}.seg"));
    std::fs::write(&path, &bytes).unwrap();
    let places = vec![Place {
        path,
        ranges: std::iter::once(began..bytes.len() as u32).collect(),
    }];
    Job {
        node_epoch: EPOCH,
        call: id,
        recording,
        reason: "hangup".into(),
        end_ns,
        places,
        confirmed: None,
    }
}

/// A finaliser at work over a store in a folder.
struct Lab {
    folder: Folder,
    jobs: Sender<Job>,
    finaliser: Finaliser,
    stored: Arc<Stored>,
    registry: prometheus::Registry,
    runtime: tokio::runtime::Runtime,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn settings() -> Settings {
    Settings {
        node: "node".into(),
        node_epoch: EPOCH,
    }
}

impl Lab {
    fn new() -> Lab {
        let folder = Folder::new();
        let storage = Storage::local(&folder.path().join("store")).unwrap();
        let (jobs, finished) = channel();
        let ledger = Arc::new(Ledger::open(folder.path(), 0).unwrap());
        let registry = prometheus::Registry::new();
        let handle = recorder::Handle::new();
        let started = Finaliser::start(settings(), Clock::start(), storage, ledger, finished, handle, &registry);
        let (finaliser, stored) = started.unwrap();
        Lab {
            folder,
            jobs,
            finaliser,
            stored,
            registry,
            runtime: runtime(),
        }
    }

    /// The steps once there are `count`, by the signal that the desk waits for.
    fn steps(&self, count: usize) -> Vec<RecordingStep> {
        let waited = async {
            while self.stored.steps(100).len() < count {
                self.stored.steps_changed().await;
            }
        };
        let within = Duration::from_secs(20);
        self.runtime
            .block_on(async { tokio::time::timeout(within, waited).await })
            .expect("the steps come");
        self.stored.steps(100)
    }

    fn failures(&self) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|f| f.name() == "helpline_recording_upload_failures_total");
        family.expect("the metric").get_metric()[0].get_counter().get_value()
    }
}

fn words(steps: &[RecordingStep]) -> Vec<&'static str> {
    steps.iter().map(|step| step.kind.word()).collect()
}

#[test]
fn a_finished_call_is_stored_told_and_released() {
    let lab = Lab::new();
    let job = spooled(&lab.folder, 3, Some(44), 4);
    lab.jobs.send(job).unwrap();
    let steps = lab.steps(2);
    assert_eq!(words(&steps), ["ended", "confirmed"]);
    let StepKind::Confirmed {
        audio,
        manifest,
        duration_ms,
        layout,
        coverage,
        reason,
        degraded,
        ..
    } = steps[1].kind.clone()
    else {
        panic!("{steps:?}");
    };
    assert_eq!(
        (duration_ms, layout, reason.as_str(), degraded),
        (4_000, ports::Layout::TwoChannel, "hangup", false)
    );
    assert!(coverage.iter().all(|&c| c > 0.99), "{coverage:?}");
    for file in [&audio, &manifest] {
        let bytes = std::fs::read(lab.folder.path().join("store").join(&file.key)).unwrap();
        assert_eq!(
            (bytes.len() as u64, crate::storage::sha256(&bytes)),
            (file.size, file.sha256)
        );
    }
    assert!(audio.key.starts_with("recordings/2023/11/14/"), "{}", audio.key);
    let slice = lab.runtime.block_on(lab.stored.read(audio.key.clone(), 0..4)).unwrap();
    assert_eq!((&slice.bytes[..], slice.total), (&b"OggS"[..], audio.size));
    let manifest = std::fs::read(lab.folder.path().join("store").join(&manifest.key)).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let objects: Vec<_> = manifest["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["name"])
        .collect();
    assert_eq!(objects, ["audio", "side"], "what is derived is no part of a recording");
    let derived = lab
        .folder
        .path()
        .join("store")
        .join(&audio.key)
        .with_file_name("derived");
    assert!(!derived.exists(), "nothing is drawn before somebody asks");
    let picture = lab
        .runtime
        .block_on(lab.stored.waveform(ports::Sound::Master(audio.key), 0..4_000, 100))
        .unwrap();
    assert!(derived.exists());
    assert_eq!(
        (picture.duration_ms, picture.lanes[0].len(), picture.lanes[1].len()),
        (4_000, 100, 100)
    );
    let missing = lab.runtime.block_on(lab.stored.waveform(
        ports::Sound::Master("recordings/x/audio.opus".into()),
        0..1,
        1,
    ));
    assert_eq!(missing.unwrap_err(), RecordingFault::Missing.into());
    lab.stored.acknowledge_step(steps[0].recording, "ended");
    assert_eq!(words(&lab.stored.steps(9)), ["confirmed"]);
    lab.stored.acknowledge_step(steps[1].recording, "confirmed");
    lab.stored.acknowledge_step(steps[1].recording, "confirmed");
    assert!(lab.stored.steps(9).is_empty());
    let journal = std::fs::read_to_string(lab.folder.path().join("journal")).unwrap();
    assert!(journal.contains("confirmed") && journal.contains("acknowledged"));
    lab.finaliser.stop();
}

#[test]
fn a_store_that_fails_is_tried_again_and_others_need_not_wait_for_it() {
    let lab = Lab::new();
    // A file where the folder should be: the store fails until it is gone.
    let blocked = lab.folder.path().join("store/recordings");
    std::fs::write(&blocked, b"in the way").unwrap();
    lab.jobs.send(spooled(&lab.folder, 3, Some(44), 1)).unwrap();
    lab.jobs.send(spooled(&lab.folder, 4, None, 1)).unwrap();
    let steps = lab.steps(2);
    assert_eq!(words(&steps), ["ended", "quality_only"], "what needs no store is told");
    assert!(lab.failures() >= 1.0);
    std::fs::remove_file(&blocked).unwrap();
    assert_eq!(words(&lab.steps(3))[2], "confirmed");
    lab.finaliser.stop();
}

#[test]
fn a_restart_tells_what_was_stored_and_stores_nothing_again() {
    let lab = Lab::new();
    let job = spooled(&lab.folder, 3, Some(44), 1);
    lab.jobs.send(job.clone()).unwrap();
    let first = lab.steps(2);
    let journal = std::fs::read_to_string(lab.folder.path().join("journal")).unwrap();
    let line = journal.lines().find(|line| line.contains("confirmed")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    lab.finaliser.stop();

    let again = Lab::new();
    again
        .jobs
        .send(Job {
            confirmed: Some(line["note"].clone()),
            ..job.clone()
        })
        .unwrap();
    let second = again.steps(2);
    assert_eq!(first[1].kind, second[1].kind);
    assert!(!again.folder.path().join("store/recordings").exists());
    again.finaliser.stop();
}

#[test]
fn a_second_recording_under_the_same_id_gets_a_folder_of_its_own() {
    let lab = Lab::new();
    lab.jobs.send(spooled(&lab.folder, 3, Some(44), 1)).unwrap();
    lab.steps(2);
    let longer = spooled(&lab.folder, 4, Some(44), 2);
    lab.jobs.send(longer).unwrap();
    let steps = lab.steps(4);
    let keys: Vec<String> = steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Confirmed { audio, .. } => Some(audio.key.clone()),
            _ => None,
        })
        .collect();
    assert_ne!(keys[0], keys[1]);
    assert!(
        keys.iter()
            .all(|key| lab.folder.path().join("store").join(key).exists())
    );
    lab.finaliser.stop();
}

/// A worker without its thread.
fn worker(folder: &Folder, make: fn(&RecordedCall) -> Made) -> Worker {
    let storage = Storage::local(&folder.path().join("store")).unwrap();
    let ledger = Arc::new(Ledger::open(folder.path(), 0).unwrap());
    let clock = Clock::start();
    let waveforms = Waveforms::start(storage.clone(), clock, &prometheus::Registry::new()).unwrap();
    Worker {
        settings: settings(),
        clock,
        storage: storage.clone(),
        ledger: Arc::clone(&ledger),
        stored: Arc::new(Stored::new(storage, ledger, clock, waveforms.handle())),
        metrics: Metrics::new(&prometheus::Registry::new()).unwrap(),
        recorder: recorder::Handle::new(),
        runtime: runtime(),
        make,
        waiting: VecDeque::new(),
        parked: Vec::new(),
    }
}

#[test]
fn a_call_that_breaks_us_is_parked_under_a_name_and_the_next_goes_on() {
    let folder = Folder::new();
    let mut worker = worker(&folder, |call| {
        assert_ne!(call.call, 3, "this one breaks");
        make::make(call)
    });
    worker.take(spooled(&folder, 3, Some(43), 1));
    worker.take(spooled(&folder, 4, Some(44), 1));
    let gone = Job {
        places: vec![Place {
            path: folder.path().join("none"),
            ranges: vec![],
        }],
        ..spooled(&folder, 5, Some(45), 1)
    };
    worker.take(gone);
    let mut damaged = spooled(&folder, 6, Some(46), 1);
    damaged.places[0].ranges.clear();
    worker.take(damaged);
    while worker.turn() {}
    worker.count();
    let parked: Vec<(u128, &str)> = worker.parked.iter().map(|(w, word)| (w.job.call, *word)).collect();
    assert_eq!(
        parked,
        [(3, "finaliser_broke"), (5, "spool_missing"), (6, "spool_damaged")]
    );
    assert_eq!(
        (
            worker.metrics.panics.get(),
            worker.metrics.parked.get(),
            worker.waiting.len()
        ),
        (1, 3, 0)
    );
    let confirmed = worker
        .stored
        .steps(9)
        .into_iter()
        .filter(|step| step.kind.word() == "confirmed");
    assert_eq!(confirmed.map(|step| step.call.0).collect::<Vec<_>>(), [4]);
}

#[test]
fn a_call_without_packets_is_stored_as_a_silent_one() {
    let made = make::make(&call(3, Some(4), 7));
    assert_eq!(
        (made.master.layout, made.master.duration_ms),
        (master::Layout::Empty, 7_000)
    );
    assert!(made.audio.starts_with(b"OggS"));
    assert_eq!(
        made.audio,
        make::make(&call(3, Some(4), 7)).audio,
        "every attempt makes the same"
    );
}

#[test]
fn timestamps_that_nothing_confirmed_are_counted_for_every_lane() {
    let metrics = Metrics::new(&prometheus::Registry::new()).expect("a fresh registry");
    let lane = |timestamps: u64| {
        let mut lane = recording::master::LaneSide::default();
        lane.rejects.timestamps = timestamps;
        lane.rejects.duplicates = 50;
        lane
    };
    let mut side = make::make(&call(3, Some(4), 7)).master.side;
    side.lanes = [lane(1), lane(2)];
    side.beside = vec![lane(4), lane(8)];
    metrics.stored(&side);
    assert_eq!(metrics.timestamp_rejects(), 15);
}

#[test]
fn waits_double_up_to_their_limit() {
    for call in [0, 7, u128::MAX] {
        let waits: Vec<u64> = (0..40).map(|tries| wait(call, tries)).collect();
        for (tries, wait) in waits.iter().enumerate() {
            let least = if tries >= 9 { RETRY_NS_MAX } else { RETRY_NS << tries };
            assert!((least..=least + least / 4).contains(wait), "{tries}: {wait}");
        }
    }
}
