//! Speech through a clean call: what the recording holds is what was sent, bit by bit, and sounds like it, in the ears
//! of a foreign decoder and of the reference implementation of PESQ.
//!
//! Only in the long size: it takes tools that `cargo xtask test --long` installs, and the time that the talking takes.

mod clip;
mod talk;
mod tools;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ogg::PacketReader;
use recording::opus_packet::{silence, split_self_delimited};
use testkit::calls::{Desk, Log, Voice, client};
use testkit::sound::wav;
use uuid::Uuid;

use crate::binary::{Binary, Folder, ONE, now, until};
use crate::pair::{ring, stored};
use clip::{Clip, FRAME, RATE};
use talk::Cue;
use tools::Score;

/// Least PESQ of synthetic speech; its own clean value at this rate is about 4.1, that of people 4.3.
const SYNTHETIC_MIN: f64 = 3.8;
/// Least PESQ of natural speech.
const NATURAL_MIN: f64 = 4.2;
/// Least STOI of either: PESQ looks for the best shift in time, so it would not see a lane that is late.
const STOI_MIN: f64 = 0.95;
/// PESQ of a file with itself (ITU-T P.862.2 maps a perfect score to this).
const IDENTITY: f64 = 4.644;
/// What another speaker's sound may score at most.
const OTHER_MAX: f64 = 2.0;
/// What the STOI of a lane that is a second late may be at most.
const LATE_MAX: f64 = 0.5;
/// Longest time until the call is up and recorded.
const UP_LIMIT: Duration = Duration::from_secs(20);
/// Packets of silence in the recording before somebody speaks: one second.
const BEFORE: u64 = 50;
/// Longest time for a clip: the longest there is, and the silence around it.
const SAID_LIMIT: Duration = Duration::from_secs(40);

/// One side of a call, judged.
struct Row {
    name: String,
    side: &'static str,
    floor: f64,
    reference: PathBuf,
    heard: PathBuf,
}

/// A side while it talks.
struct Talking {
    voice: Voice,
    cue: std::sync::Arc<Cue>,
}

async fn talking(desk: &Desk, grant: &str, seed: u32, clip: &Clip) -> Talking {
    let mut peer = client(seed).expect("a certificate");
    let answer = desk.attach(grant, peer.offer()).await.expect("attached");
    peer.answer(now(), &answer).expect("a usable answer");
    let cue = Cue::new();
    let source = talk::source(clip.pcm.clone(), cue.clone());
    Talking {
        voice: Voice::start(peer, source).expect("a socket"),
        cue,
    }
}

/// Customer and agent say a clip each at the same time and hang up: the master, and what each sent from which packet.
async fn call(clips: [&Clip; 2]) -> (Vec<u8>, [(Log, usize); 2]) {
    let folder = Folder::new("speech");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("speech").await.expect("an agent");
    let joined = ring(&desk, &agent, "speaker").await;
    let sides = [
        talking(&desk, &joined.customer.grant, 1, clips[0]).await,
        talking(&desk, &joined.agent.grant, 2, clips[1]).await,
    ];
    until("the call is recorded", UP_LIMIT, async || {
        let view = desk.call(joined.call).await.expect("the call");
        (view.recorded && sides.iter().all(|side| side.voice.heard() > 0)).then_some(())
    })
    .await;
    let quiet = sides.each_ref().map(|side| side.voice.sent() + BEFORE);
    until("silence before the speech", UP_LIMIT, async || {
        let past = sides.iter().zip(quiet).all(|(side, until)| side.voice.sent() >= until);
        past.then_some(())
    })
    .await;
    sides.iter().for_each(|side| side.cue.go());
    until("both have spoken", SAID_LIMIT, async || {
        sides.iter().all(|side| side.cue.is_done()).then_some(())
    })
    .await;
    let master = end(&desk, joined.call).await;
    let logs = sides.map(|side| {
        let first = side.cue.first().expect("it has spoken");
        (side.voice.stop().expect("a voice that spoke"), first)
    });
    binary.stop().await;
    (master, logs)
}

async fn end(desk: &Desk, call: Uuid) -> Vec<u8> {
    desk.hang_up(call).await.expect("the call ends");
    let recording = stored(desk, call).await;
    desk.audio(recording.recording_id).await.expect("the master")
}

/// The packets of both lanes of a master, slot by slot.
fn slots(master: &[u8]) -> [Vec<Vec<u8>>; 2] {
    let mut reader = PacketReader::new(Cursor::new(master));
    let mut lanes = [Vec::new(), Vec::new()];
    let mut at = 0;
    while let Some(packet) = reader.read_packet().expect("whole pages") {
        at += 1;
        // OpusHead and OpusTags come first (RFC 7845 §3).
        if at > 2 {
            let (left, right) = split_self_delimited(&packet.data).expect("two streams");
            lanes[0].push(left);
            lanes[1].push(right.to_vec());
        }
    }
    lanes
}

/// Compares a lane with what its side sent, bit by bit; the slot in which the clip begins, and how many packets the
/// lane holds. `first` is the clip's first packet.
///
/// From the first packet that was recorded to the last, every packet sent stands there once, in its order, with
/// nothing between; around them is silence that the recorder made.
fn compare(lane: &[Vec<u8>], sent: &Log, first: usize, clip: &Clip) -> (usize, usize) {
    let sent: Vec<&[u8]> = sent.sent.iter().map(|packet| packet.payload.as_slice()).collect();
    let packets = clip.pcm.len() / FRAME;
    let said = &sent[first..first + packets];
    let slot = lane.windows(packets).position(|window| window == said);
    let slot = slot.unwrap_or_else(|| panic!("the packets of {} do not stand in a row in the recording", clip.name));
    let same = |ours: &Vec<u8>, theirs: &&[u8]| ours.as_slice() == *theirs;
    let before = (lane[..slot].iter().rev().zip(sent[..first].iter().rev())).take_while(|(a, b)| same(a, b));
    let begin = slot - before.count();
    let after = (lane[slot..].iter().zip(&sent[first..])).take_while(|(a, b)| same(a, b));
    let end = slot + after.count();
    let nothing = silence(FRAME as u32).expect("20 ms is a length of Opus");
    for made in lane[..begin].iter().chain(&lane[end..]) {
        // Up to 200 ms at the end are for the decoder to conceal: a first byte alone.
        assert!(
            *made == nothing || made.len() == 1,
            "a packet that {} never sent: {made:02x?}",
            clip.name
        );
    }
    assert!(
        (slot - begin) as u64 >= BEFORE / 2,
        "{} was not recorded from before its speech",
        clip.name
    );
    (slot, end - begin)
}

/// Decodes a master with opus-tools and cuts the clips out of it, at the scored rate.
fn decode(master: &[u8], begins: [usize; 2], clips: [&Clip; 2], folder: &Path) -> [PathBuf; 2] {
    let name = format!("{}+{}", clips[0].name, clips[1].name);
    let (file, both) = (folder.join(format!("{name}.opus")), folder.join(format!("{name}.wav")));
    fs::write(&file, master).expect("the folder takes files");
    let words = ["--quiet", "--no-dither", "--rate", "48000"].map(Path::new);
    tools::run("opusdec", words.iter().chain(&[file.as_path(), both.as_path()]));
    std::array::from_fn(|side| {
        let (pcm, rate) = wav::read(&both, side).expect("two channels of 16 bits");
        assert_eq!(rate, RATE);
        // A player drops the 312 samples by which the encoder looks ahead: a slot's sound begins with its slot.
        let from = begins[side] * FRAME;
        let lane = folder.join(format!("{name}-{side}-48.wav"));
        wav::write(&lane, &pcm[from..from + clips[side].pcm.len()], rate).expect("the folder takes files");
        let scored = folder.join(format!("{name}-{side}-16.wav"));
        clip::to_scored_rate(&lane, &scored);
        scored
    })
}

/// Speaks all clips, two in each call, and compares every packet.
async fn speak(clips: &[Clip], floor: f64, folder: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for pair in clips.chunks(2) {
        let both = [&pair[0], pair.get(1).unwrap_or(&clips[0])];
        let (master, logs) = call(both).await;
        let lanes = slots(&master);
        let mut begins = [0; 2];
        for side in 0..2 {
            let (log, first) = &logs[side];
            let (slot, packets) = compare(&lanes[side], log, *first, both[side]);
            println!("{}: {packets} packets recorded as they were sent", both[side].name);
            begins[side] = slot;
        }
        let heard = decode(&master, begins, both, folder);
        for (side, (clip, heard)) in both.iter().zip(heard).enumerate() {
            rows.push(Row {
                name: clip.name.clone(),
                side: ["customer", "agent"][side],
                floor,
                reference: clip.reference.clone(),
                heard,
            });
        }
    }
    rows
}

/// The scores themselves are tried first: a file with itself, the other side's sound, and a second's delay.
fn try_scores(rows: &[Row], folder: &Path) {
    let (one, other) = (&rows[0], &rows[1]);
    let late = folder.join("late.wav");
    let (from, to) = (one.heard.as_path(), late.as_path());
    tools::run("sox", [from, to].into_iter().chain(["pad", "1"].map(Path::new)));
    let tried = tools::score(&[
        (&one.reference, &one.reference),
        (&one.reference, &other.heard),
        (&other.reference, &one.heard),
        (&one.reference, &late),
    ]);
    println!(
        "itself {:?}, swapped {:?} and {:?}, a second late {:?}",
        tried[0], tried[1], tried[2], tried[3]
    );
    assert!((tried[0].pesq - IDENTITY).abs() < 0.001, "{:?}", tried[0]);
    assert!(tried[1].pesq < OTHER_MAX && tried[2].pesq < OTHER_MAX, "{tried:?}");
    assert!(tried[3].stoi < LATE_MAX, "{:?}", tried[3]);
}

fn report(rows: &[Row], scores: &[Score]) {
    println!(
        "{:<24} {:<9} {:>6} {:>6} {:>6}",
        "clip", "lane", "PESQ", "floor", "STOI"
    );
    for (row, score) in rows.iter().zip(scores) {
        let (name, side) = (&row.name, row.side);
        println!(
            "{name:<24} {side:<9} {:>6.3} {:>6.1} {:>6.3}",
            score.pesq, row.floor, score.stoi
        );
    }
}

/// Whether this run is the long one with all its tools; says why not.
fn is_due() -> bool {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|is| is == value);
    if !set("HELPLINE_TEST_SIZE", "long") {
        println!("skipped: speech is scored in the long size, cargo xtask test --long");
        return false;
    }
    let missing = tools::missing();
    if let Some(missing) = &missing {
        assert!(!set("HELPLINE_TEST_REQUIRE", "all"), "missing: {missing}");
        println!("skipped: speech cannot be scored without {missing}");
    }
    missing.is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_speech_is_what_was_said() {
    if !is_due() {
        return;
    }
    let _turn = ONE.lock().await;
    let folder = &tools::artefacts();
    let mut rows = speak(&clip::synthetic(folder), SYNTHETIC_MIN, folder).await;
    match std::env::var_os("HELPLINE_SPEECH_DIR") {
        Some(source) => {
            let clips = clip::natural(Path::new(&source), folder);
            rows.extend(speak(&clips, NATURAL_MIN, folder).await);
        }
        None => println!("skipped: natural voices, for HELPLINE_SPEECH_DIR is not set"),
    }
    try_scores(&rows, folder);
    let pairs: Vec<(&Path, &Path)> = rows
        .iter()
        .map(|row| (row.reference.as_path(), row.heard.as_path()))
        .collect();
    let scores = tools::score(&pairs);
    report(&rows, &scores);
    for (row, score) in rows.iter().zip(&scores) {
        assert!(
            score.pesq >= row.floor && score.stoi >= STOI_MIN,
            "{}: {score:?}, floor {}",
            row.name,
            row.floor
        );
    }
}
