//! Waveforms over a store in a folder: drawn once, kept, drawn anew, joined, refused, erased.

use recording::master::{Assembly, Layout, Master, PART_TAG, assemble, beside};
use recording::{Flags, Lane, Packet, Track};

use super::*;
use crate::recorder::tests::Folder;
use crate::storage::keys::{Keys, PEAKS};

const SECOND_NS: u64 = 1_000_000_000;

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

/// A side that sends `payload(n)` every `samples`.
fn track(lane: Lane, samples: u32, payload: impl Fn(u32) -> Vec<u8>) -> Track {
    let packets = (0..4 * 48_000 / samples).map(|n| Packet {
        ext_seq: n,
        rtp_ts: n * samples,
        arrival_ns: u64::from(n * samples) * SECOND_NS / 48_000,
        flags: Flags::default(),
        level: 20,
        payload: payload(n).into(),
    });
    Track {
        leg: u128::from(lane == Lane::Agent),
        lane,
        packets: packets.collect(),
    }
}

/// A packet of noise by hand: any bytes are sound to a decoder.
fn noise(toc: u8, n: u32) -> Vec<u8> {
    let spread = u64::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    [&[toc], spread.as_slice(), &spread].concat()
}

/// Four seconds of noise. Sides that lie apart cannot share a packet length.
fn master(apart: bool) -> Master {
    let agent = track(Lane::Agent, 960, |n| {
        noise(if apart && n % 2 == 0 { 0x78 } else { 0xf8 }, n)
    });
    let customer = if apart {
        track(Lane::Customer, 2_880, |n| noise(0x18, n))
    } else {
        track(Lane::Customer, 960, |n| noise(0xf8, n + 7))
    };
    assemble(&Assembly {
        tracks: &[customer, agent],
        start_ns: 0,
        end_ns: 4 * SECOND_NS,
        customer_left: true,
        serial: 1,
        tags: &[],
        explained: &[],
    })
}

/// A store with one recording, and one who draws.
struct Lab {
    folder: Folder,
    storage: Storage,
    keys: Keys,
    waveforms: Waveforms,
}

impl Lab {
    fn new(apart: bool) -> Lab {
        let folder = Folder::new();
        let storage = Storage::local(&folder.path().join("store")).unwrap();
        let keys = Keys::new(7, 1_700_000_000, 0);
        let master = master(apart);
        assert_eq!(master.layout == Layout::Split, apart);
        run(async {
            storage.put(&keys.audio(), master.audio.into()).await.unwrap();
            if let Some(second) = master.second_file {
                storage.put(&keys.second(), second.into()).await.unwrap();
            }
        });
        Lab {
            waveforms: start(&storage),
            folder,
            storage,
            keys,
        }
    }

    fn master(&self) -> Sound {
        Sound::Master(self.keys.audio())
    }

    fn ask(&self) -> Result<Waveform, WaveformFault> {
        ask(&self.waveforms.handle(), &self.master())
    }

    fn drawn(&self) -> u64 {
        self.waveforms.handle.0.metrics.drawn.get_sample_count()
    }

    fn path(&self, key: &str) -> std::path::PathBuf {
        self.folder.path().join("store").join(key)
    }

    fn kept(&self) -> std::path::PathBuf {
        self.path(&keys::beside(&self.keys.audio(), PEAKS).unwrap())
    }
}

fn start(storage: &Storage) -> Waveforms {
    Waveforms::start(storage.clone(), Clock::start(), &prometheus::Registry::new()).unwrap()
}

/// One whose thread was never started.
fn idle(storage: &Storage) -> Handle {
    Handle::new(storage.clone(), Clock::start(), &prometheus::Registry::new()).unwrap()
}

/// Waits for the drawing itself, however busy the machine is.
fn ask(handle: &Handle, sound: &Sound) -> Result<Waveform, WaveformFault> {
    run(handle.ask_within(Duration::from_secs(60), sound, 0..4_000, 50))
}

#[test]
fn a_waveform_is_drawn_once_and_outlives_the_process() {
    for apart in [false, true] {
        let lab = Lab::new(apart);
        let first = lab.ask().unwrap();
        assert_eq!((first.duration_ms, first.span_ms.clone()), (4_000, 0..4_000));
        let loud = |lane: &Vec<(i8, i8)>| lane.iter().filter(|(low, high)| low < high).count();
        assert!(
            first.lanes.iter().all(|lane| lane.len() == 50 && loud(lane) > 25),
            "{first:?}"
        );
        assert_ne!(first.lanes[0], first.lanes[1]);
        // Without the sound nothing can be drawn any more.
        std::fs::remove_file(lab.path(&lab.keys.audio())).unwrap();
        assert_eq!((lab.ask().unwrap(), lab.drawn()), (first.clone(), 1));
        lab.waveforms.stop();
        let again = start(&lab.storage);
        assert_eq!(ask(&again.handle(), &Sound::Master(lab.keys.audio())).unwrap(), first);
        assert_eq!(again.handle.0.metrics.drawn.get_sample_count(), 0);
        again.stop();
    }
}

/// The colleague of the recording of [`master`]: two of its seconds.
fn voice(number: u8) -> Vec<u8> {
    let lane = Lane::Beside(number);
    let mut spoken = track(lane, 960, |n| noise(0xf8, n + 99));
    spoken.packets.retain(|packet| (50..150).contains(&packet.ext_seq));
    let assembly = Assembly {
        tracks: &[spoken],
        start_ns: 0,
        end_ns: 4 * SECOND_NS,
        customer_left: true,
        serial: 1,
        tags: &[(PART_TAG, "partner")],
        explained: &[],
    };
    beside(&assembly, number, &[]).audio
}

#[test]
fn each_voice_is_drawn_by_itself_on_the_time_of_the_recording() {
    let lab = Lab::new(false);
    let of = |number: usize| Sound::Voice(lab.keys.beside(number));
    for number in 0..2 {
        run(lab.storage.put(&lab.keys.beside(number), voice(number as u8).into())).unwrap();
    }
    let ask = |sound: &Sound| ask(&lab.waveforms.handle(), sound);
    let first = ask(&of(0)).unwrap();
    assert_eq!((first.duration_ms, first.lanes.len()), (4_000, 1));
    let loud: Vec<usize> = (0..50).filter(|&n| first.lanes[0][n].0 < first.lanes[0][n].1).collect();
    // A point is 80 ms; a decoder is a few milliseconds late.
    assert!(
        (11..=14).contains(&loud[0]) && (36..=39).contains(loud.last().unwrap()),
        "{loud:?}"
    );
    assert_eq!((lab.ask().unwrap().lanes.len(), lab.drawn()), (2, 2));
    let kept = lab.path(&keys::peaks(&of(0)).unwrap());
    assert!(kept.exists() && lab.kept().exists() && kept.parent() == lab.kept().parent());
    std::fs::remove_file(lab.path(&lab.keys.beside(0))).unwrap();
    assert_eq!((ask(&of(0)).unwrap(), lab.drawn()), (first, 2), "kept");
    // What is kept of the recording is no picture of a voice: it is drawn anew.
    std::fs::copy(lab.kept(), lab.path(&keys::peaks(&of(1)).unwrap())).unwrap();
    assert_eq!((ask(&of(1)).unwrap().lanes.len(), lab.drawn()), (1, 3));
    // And a file with two sides is no voice's.
    let master = lab.path(&lab.keys.audio());
    std::fs::copy(master, lab.path(&lab.keys.beside(2))).unwrap();
    assert_eq!(ask(&of(2)), Err(WaveformFault::Damaged));
    assert_eq!(ask(&of(3)), Err(RecordingFault::Missing.into()));
    lab.waveforms.stop();
}

#[test]
fn a_kept_waveform_that_is_gone_cut_or_changed_is_drawn_anew() {
    let lab = Lab::new(false);
    let first = lab.ask().unwrap();
    let whole = std::fs::read(lab.kept()).unwrap();
    let mut changed = whole.clone();
    changed[100] ^= 1;
    for (n, bytes) in [&whole[..whole.len() / 2], b"", &changed].into_iter().enumerate() {
        std::fs::write(lab.kept(), bytes).unwrap();
        assert_eq!((lab.ask().unwrap(), lab.drawn()), (first.clone(), n as u64 + 2));
        assert_eq!(std::fs::read(lab.kept()).unwrap(), whole);
    }
    std::fs::remove_dir_all(lab.kept().parent().unwrap()).unwrap();
    assert_eq!((lab.ask().unwrap(), lab.drawn()), (first, 5));
    lab.waveforms.stop();
}

#[test]
fn peaks_that_a_former_version_stored_stay_as_its_manifest_has_them() {
    let lab = Lab::new(false);
    let former = lab.keys.object("peaks");
    run(lab.storage.put(&former, Bytes::from_static(b"HLPK\x01"))).unwrap();
    assert_eq!(lab.ask().unwrap().duration_ms, 4_000);
    assert_eq!(std::fs::read(lab.path(&former)).unwrap(), b"HLPK\x01");
    lab.waveforms.stop();
}

#[test]
fn all_who_ask_at_once_get_one_drawing() {
    let lab = Lab::new(false);
    let ask = || {
        let (handle, sound) = (lab.waveforms.handle(), lab.master());
        tokio::spawn(async move { handle.ask_within(Duration::from_secs(60), &sound, 0..4_000, 50).await })
    };
    let answers = run(async {
        let mut answers = Vec::new();
        for asked in [ask(), ask(), ask(), ask()] {
            answers.push(asked.await.unwrap().unwrap());
        }
        answers
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(lab.drawn(), 1);
    lab.waveforms.stop();
}

#[test]
fn who_cannot_be_answered_in_time_is_told_so_and_one_too_many_is_refused() {
    let storage = Storage::over(Arc::new(object_store::memory::InMemory::new()));
    let handle = idle(&storage);
    let ask = |n: usize| {
        let sound = Sound::Master(Keys::new(n as u128, 0, 0).audio());
        run(handle.ask_within(Duration::ZERO, &sound, 0..1, 1)).unwrap_err()
    };
    for n in 0..queue::WAITING_MAX {
        assert_eq!(ask(n), WaveformFault::Drawing { percent: 0 });
    }
    assert_eq!(ask(queue::WAITING_MAX), WaveformFault::Busy);
    assert_eq!(
        ask(0),
        WaveformFault::Drawing { percent: 0 },
        "who asks again keeps his place"
    );
    assert_eq!(handle.0.metrics.failures("busy"), 1);
    for sound in [Sound::Master, Sound::Voice] {
        let foreign = run(handle.ask(sound("elsewhere/audio.opus".into()), 0..1, 1)).unwrap_err();
        assert_eq!(foreign, RecordingFault::Missing.into());
    }
}

#[test]
fn who_waits_when_the_process_ends_is_told_at_once() {
    let storage = Storage::over(Arc::new(object_store::memory::InMemory::new()));
    let handle = idle(&storage);
    let waits = handle.clone();
    let sound = Sound::Master(Keys::new(1, 0, 0).audio());
    run(async {
        let waiting = tokio::spawn(async move { waits.ask(sound, 0..1, 1).await });
        // Polled until it has taken its place.
        while handle.0.queue().take(0).is_none() {
            tokio::task::yield_now().await;
        }
        handle.0.queue().close();
        handle.0.queue().over(Err(WaveformFault::Busy));
        assert_eq!(waiting.await.unwrap(), Err(WaveformFault::Busy));
    });
}

#[test]
fn of_a_recording_that_is_damaged_or_gone_nothing_is_kept() {
    let lab = Lab::new(true);
    let path = lab.path(&lab.keys.second());
    let whole = std::fs::read(&path).unwrap();
    let counted = |reason: &str| lab.waveforms.handle.0.metrics.failures(reason);
    for (n, bytes) in [&whole[..whole.len() - 1], b""].into_iter().enumerate() {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(lab.ask(), Err(WaveformFault::Damaged));
        assert_eq!(counted("damaged"), n as u64 + 1);
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(lab.ask(), Err(RecordingFault::Missing.into()));
    assert_eq!((counted("missing"), counted("store"), lab.drawn()), (1, 0, 0));
    assert!(!lab.kept().exists());
    std::fs::write(&path, &whole).unwrap();
    assert!(lab.ask().is_ok(), "and once it is back, it is drawn");
    lab.waveforms.stop();
}

#[test]
fn a_drawing_that_ends_after_the_recording_was_erased_leaves_nothing() {
    let lab = Lab::new(false);
    let (audio, kept) = (lab.keys.audio(), keys::beside(&lab.keys.audio(), PEAKS).unwrap());
    let shared = &lab.waveforms.handle.0;
    run(shared.keep(&audio, &kept, Bytes::from_static(b"x"))).unwrap();
    assert!(lab.kept().exists());
    std::fs::remove_file(lab.path(&audio)).unwrap();
    run(shared.keep(&audio, &kept, Bytes::from_static(b"x"))).unwrap();
    assert!(!lab.kept().exists());
}

#[test]
fn what_cannot_be_kept_is_answered_all_the_same() {
    let lab = Lab::new(false);
    // A file where the folder should be.
    std::fs::write(lab.kept().parent().unwrap(), b"in the way").unwrap();
    let first = lab.ask().unwrap();
    assert_eq!((lab.ask().unwrap(), lab.drawn()), (first, 2));
    lab.waveforms.stop();
}
