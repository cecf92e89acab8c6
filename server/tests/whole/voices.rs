//! A call that goes through every state with a third and a fourth voice: which of their packets are in which file of the
//! recording, state by state, and where on its time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ogg::PacketReader;
use recording::opus_packet::split_self_delimited;
use serde_json::{Value, json};
use testkit::calls::{Desk, Log, Voice};
use wire::call::CallView;
use wire::leg::{LegGrant, Part};
use wire::recording::Recording;

use crate::binary::{Binary, Folder, ONE, until};
use crate::four::{AGENT, CUSTOMER, FILLING_AT, PARTNER, SOUND_LIMIT, SUPERVISOR, TOC, attach};
use crate::pair::{ring, stored};

/// What fills the packets of a supervisor who whispers.
const WHISPER: u8 = 0x57;
/// Packets of each voice that are judged in a state: a second and a half.
const WINDOW: u64 = 75;
/// Packets before them: what was under way when the state began.
const SETTLED: u64 = 25;
/// Nanoseconds by which two files may differ about the time between two packets: their slots, and a busy machine.
const APART_NS_MAX: i128 = 100_000_000;
/// Milliseconds by which a picture may differ from the spans that are told: a point, the way of a packet and the fading
/// of a decoder.
const EDGE_MS: f64 = 300.0;
/// Nanoseconds of a slot.
const SLOT_NS: i128 = 20_000_000;

/// The files of the recording: both lanes of the master, and those beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum File {
    Customers,
    Agents,
    Beside(usize),
}

/// Slot of every packet of a voice in one file, by the packet's number.
type Slots = BTreeMap<(u8, u64), usize>;

/// Whose packet it is, and its number; `None` for none of the voices.
fn spoken(payload: &[u8]) -> Option<(u8, u64)> {
    let filling = *payload.get(FILLING_AT)?;
    let all = payload[FILLING_AT..].iter().all(|byte| *byte == filling);
    let voices = [CUSTOMER, AGENT, PARTNER, SUPERVISOR, WHISPER];
    let number = u64::from_be_bytes(payload[1..FILLING_AT].try_into().ok()?);
    (payload[0] == TOC && all && voices.contains(&filling)).then_some((filling, number))
}

/// The packets of a file without its two headers (RFC 7845 §3).
fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = PacketReader::new(Cursor::new(file));
    let all = std::iter::from_fn(|| reader.read_packet().expect("whole pages"));
    all.skip(2).map(|packet| packet.data).collect()
}

/// Where each voice's packets are; each is at one place only.
fn slots<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> Slots {
    let mut slots = Slots::new();
    for (slot, packet) in packets.into_iter().enumerate() {
        if let Some(whose) = spoken(packet) {
            assert_eq!(slots.insert(whose, slot), None, "{whose:x?} is there twice");
        }
    }
    slots
}

/// A state, the numbers of everybody's packets in it, and who is to be in which file.
struct State {
    name: &'static str,
    numbers: Vec<(u8, Range<u64>)>,
    files: &'static [(u8, File)],
}

/// Waits until everybody has spoken on for a while.
async fn state(name: &'static str, voices: &[(u8, Voice)], files: &'static [(u8, File)]) -> State {
    let begins: Vec<u64> = voices.iter().map(|(_, voice)| voice.sent() + SETTLED).collect();
    until(name, SOUND_LIMIT, async || {
        let mut all = voices.iter().zip(&begins);
        all.all(|((_, voice), begin)| voice.sent() >= begin + WINDOW)
            .then_some(())
    })
    .await;
    State {
        name,
        numbers: voices
            .iter()
            .zip(begins)
            .map(|((whose, _), begin)| (*whose, begin..begin + WINDOW))
            .collect(),
        files,
    }
}

/// Waits until the voice at place `ear` hears `voice` anew.
async fn hears(voices: &[(u8, Voice)], ear: usize, voice: u8) {
    let (_, listener) = &voices[ear];
    let from = listener.log().heard.len();
    until("a change is heard", SOUND_LIMIT, async || {
        let log = listener.log();
        let mut news = log.heard[from..].iter();
        news.any(|heard| spoken(&heard.payload).is_some_and(|(whose, _)| whose == voice))
            .then_some(())
    })
    .await;
}

const HELD: &[(u8, File)] = &[];
const TALK: &[(u8, File)] = &[(CUSTOMER, File::Customers), (AGENT, File::Agents)];
const CONFERENCE: &[(u8, File)] = &[
    (CUSTOMER, File::Customers),
    (AGENT, File::Agents),
    (PARTNER, File::Beside(0)),
];
const FOUR: &[(u8, File)] = &[
    (CUSTOMER, File::Customers),
    (AGENT, File::Agents),
    (PARTNER, File::Beside(0)),
    (SUPERVISOR, File::Beside(1)),
];
const HANDED: &[(u8, File)] = &[
    (CUSTOMER, File::Customers),
    (PARTNER, File::Agents),
    (SUPERVISOR, File::Beside(1)),
];

/// What each file of the recording holds, by its packets' places.
async fn files_of(desk: &Desk, recording: &Recording) -> BTreeMap<File, Slots> {
    let master = packets(&desk.audio(recording.recording_id).await.expect("the master"));
    let sides: Vec<_> = master
        .iter()
        .map(|packet| split_self_delimited(packet).expect("two streams"))
        .collect();
    let mut files = BTreeMap::from([
        (File::Customers, slots(sides.iter().map(|(left, _)| left.as_slice()))),
        (File::Agents, slots(sides.iter().map(|(_, right)| *right))),
    ]);
    for voice in &recording.voices {
        let bytes = desk
            .voice_audio(recording.recording_id, voice.number)
            .await
            .expect("a file of its own");
        assert_eq!(bytes.len() as u64, voice.size_bytes);
        let own = packets(&bytes);
        assert_eq!(own.len(), master.len(), "as long as the master");
        assert!(voice.coverage > 0.9, "{voice:?}");
        files.insert(
            File::Beside(usize::from(voice.number) - 1),
            slots(own.iter().map(Vec::as_slice)),
        );
    }
    assert!(
        desk.voice_audio(recording.recording_id, 3).await.is_err(),
        "there is no third"
    );
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_every_state_each_voice_is_in_its_file_or_in_none() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("voices");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("voices-agent").await.expect("an agent");
    let joined = ring(&desk, &agent, "voices").await;
    let call = joined.call;
    let path = |what: &str| format!("/api/support/call/{call}/{what}");
    let mut voices = vec![
        (CUSTOMER, attach(&binary, &joined.customer, CUSTOMER).await),
        (AGENT, attach(&binary, &joined.agent, AGENT).await),
    ];
    hears(&voices, 0, AGENT).await;
    hears(&voices, 1, CUSTOMER).await;
    let mut states = vec![state("talk", &voices, TALK).await];

    let partner = desk.agent("voices-partner").await.expect("a colleague");
    desk.go_online(&partner).await.expect("online");
    let asked = json!({ "staffId": partner.id });
    let _: CallView = desk.post_as(&agent, &path("consult"), &asked).await.expect("asked");
    let accepted = desk.say_yes(&partner).await.expect("the colleague says yes");
    voices.push((PARTNER, attach(&binary, &accepted.leg, PARTNER).await));
    hears(&voices, 1, PARTNER).await;
    states.push(state("consult", &voices, HELD).await);
    let go_on = async |what: &str, body: Value| {
        let _: CallView = desk.post_as(&agent, &path(what), &body).await.expect(what);
    };
    go_on("consult/merge", json!({})).await;
    hears(&voices, 0, PARTNER).await;
    states.push(state("conference", &voices, CONFERENCE).await);
    go_on("hold", json!({})).await;
    states.push(state("hold in the conference", &voices, HELD).await);
    go_on("resume", json!({})).await;
    hears(&voices, 0, PARTNER).await;
    go_on("mute", json!({ "part": "partner" })).await;
    states.push(state("the colleague muted", &voices, TALK).await);
    go_on("unmute", json!({ "part": "partner" })).await;
    hears(&voices, 0, PARTNER).await;

    let supervisor = desk
        .member("voices-supervisor", "supervisor")
        .await
        .expect("a supervisor");
    let supervises = async |mode: &str| -> LegGrant {
        let wanted = json!({ "mode": mode });
        desk.post_as(&supervisor, &path("supervise"), &wanted)
            .await
            .expect(mode)
    };
    let leg = supervises("whisper").await;
    voices.push((WHISPER, attach(&binary, &leg, WHISPER).await));
    hears(&voices, 1, WHISPER).await;
    states.push(state("whisper", &voices, CONFERENCE).await);
    // Another mode is another leg.
    let (_, whispering) = voices.pop().expect("the supervisor");
    whispering.stop().expect("a voice that spoke");
    let leg = supervises("barge").await;
    voices.push((SUPERVISOR, attach(&binary, &leg, SUPERVISOR).await));
    hears(&voices, 0, SUPERVISOR).await;
    states.push(state("barge", &voices, FOUR).await);
    go_on("consult/complete", json!({})).await;
    hears(&voices, 0, PARTNER).await;
    states.push(state("handed over", &voices, HANDED).await);
    desk.hang_up(call).await.expect("the call ends");
    let logs: Vec<Log> = voices
        .into_iter()
        .map(|(_, voice)| voice.stop().expect("a voice that spoke"))
        .collect();

    let recording = stored(&desk, call).await;
    let parts: Vec<_> = recording.voices.iter().map(|voice| voice.part).collect();
    assert_eq!(parts, [Part::Partner, Part::Supervisor]);
    let files = files_of(&desk, &recording).await;
    for state in &states {
        judge(state, &files);
    }
    let of = |file: File| files[&file].keys().map(|(whose, _)| *whose).collect::<BTreeSet<u8>>();
    assert_eq!(of(File::Customers), BTreeSet::from([CUSTOMER]));
    assert_eq!(of(File::Agents), BTreeSet::from([AGENT, PARTNER]));
    assert_eq!(of(File::Beside(0)), BTreeSet::from([PARTNER]));
    assert_eq!(of(File::Beside(1)), BTreeSet::from([SUPERVISOR]));
    let conference = states.iter().find(|state| state.name == "conference").expect("a state");
    for number in conference.numbers[2].1.clone() {
        on_time(&files, &logs, number, conference.numbers[0].1.start);
    }
    drawn(&folder, &desk, &recording).await;
    tells(
        &folder,
        &recording
            .voices
            .iter()
            .map(|voice| voice.sha256.clone())
            .collect::<Vec<_>>(),
    );
    binary.stop().await;
}

/// Every packet of the state is in the file that it belongs to, and in no other.
fn judge(state: &State, files: &BTreeMap<File, Slots>) {
    for (voice, numbers) in &state.numbers {
        let wanted: BTreeSet<File> = state
            .files
            .iter()
            .filter(|(own, _)| own == voice)
            .map(|(_, file)| *file)
            .collect();
        for number in numbers.clone() {
            let found: BTreeSet<File> = files
                .iter()
                .filter(|(_, slots)| slots.contains_key(&(*voice, number)))
                .map(|(file, _)| *file)
                .collect();
            assert_eq!(found, wanted, "{}: packet {number} of {voice:x}", state.name);
        }
    }
}

/// The colleague's packet is as far from one of the customer's in the files as the two were sent from one another.
fn on_time(files: &BTreeMap<File, Slots>, logs: &[Log], number: u64, of_customer: u64) {
    let at = |file: &File, voice: u8, number: u64| files[file][&(voice, number)] as i128 * SLOT_NS;
    let apart = at(&File::Beside(0), PARTNER, number) - at(&File::Customers, CUSTOMER, of_customer);
    let sent = |log: &Log, number: u64| log.sent[number as usize].at;
    let (theirs, his) = (sent(&logs[0], of_customer), sent(&logs[2], number));
    let truth = his.saturating_duration_since(theirs).as_nanos() as i128
        - theirs.saturating_duration_since(his).as_nanos() as i128;
    assert!(
        (apart - truth).abs() <= APART_NS_MAX,
        "packet {number}: {apart} for {truth}"
    );
}

/// Each voice is drawn on the time of the recording, silent where the customer was not to hear him, and kept.
async fn drawn(folder: &Folder, desk: &Desk, recording: &Recording) {
    let whole = desk.waveform(recording.recording_id).await.expect("drawn");
    let mut kept = Vec::new();
    for voice in &recording.voices {
        let ask = async || desk.voice_waveform(recording.recording_id, voice.number).await;
        let drawn = ask().await.expect("drawn");
        assert_eq!(
            (drawn.duration_ms, drawn.from_ms, drawn.to_ms),
            (whole.duration_ms, 0, whole.duration_ms)
        );
        assert_eq!(drawn.peaks.len(), whole.customer.len(), "as many points as a side");
        let points = drawn.peaks.as_chunks::<2>().0;
        let point_ms = drawn.duration_ms as f64 / points.len() as f64;
        let loud: Vec<f64> = (0u32..)
            .zip(points)
            .filter(|(_, [low, high])| low < high)
            .map(|(n, _)| f64::from(n) * point_ms)
            .collect();
        assert!(
            loud.len() > points.len() / 20,
            "{} of {} points",
            loud.len(),
            points.len()
        );
        let near = |at: f64, from: u64, to: u64| at > from as f64 - EDGE_MS && at < to as f64 + EDGE_MS;
        for at in loud {
            let heard = voice.heard.iter().any(|span| near(at, span.from_ms, span.to_ms));
            assert!(heard, "voice {} sounds at {at} ms: {:?}", voice.number, voice.heard);
        }
        let name = format!("peaks-beside-{}", voice.number);
        let (peaks, sound) = (
            find(&folder.file(""), &name).expect("it is kept"),
            find(&folder.file(""), &format!("beside-{}.opus", voice.number)).expect("its file"),
        );
        // Without the sound nothing can be drawn: the answer comes from what was kept.
        let aside = sound.with_file_name("aside");
        std::fs::rename(&sound, &aside).expect("moved");
        assert_eq!(ask().await.expect("kept"), drawn);
        std::fs::rename(&aside, &sound).expect("moved back");
        kept.push(peaks);
    }
    assert_eq!(kept.len(), 2);
    assert!(
        desk.voice_waveform(recording.recording_id, 3).await.is_err(),
        "there is no third"
    );
}

/// The manifest names the files with their digests, and who did what when, without saying who that is.
fn tells(folder: &Folder, digests: &[String]) {
    let manifest = find(&folder.file(""), "manifest.json").expect("a manifest");
    let text = std::fs::read_to_string(manifest).expect("readable");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    for (n, voice) in told["beside"].as_array().expect("voices").iter().enumerate() {
        let objects = told["objects"].as_array().expect("objects");
        let object = objects.iter().find(|object| object["name"] == voice["object"]);
        assert_eq!(object.expect("its object")["sha256"], digests[n]);
        assert!(!voice["heard"].as_array().expect("spans").is_empty());
    }
    let kinds: Vec<String> = told["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .filter(|kind| !kind.starts_with("leg_"))
        .map(str::to_owned)
        .collect();
    let order = [
        "held",
        "consult_began",
        "consult_ended",
        "conference_began",
        "muted",
        "mute_ended",
        "whisper_began",
        "whisper_ended",
        "barge_began",
        "took_over",
        "conference_ended",
    ];
    let mut rest = kinds.iter();
    for kind in order {
        assert!(
            rest.any(|told| told == kind),
            "{kind} is not told in its place: {kinds:?}"
        );
    }
    for name in ["voices-agent", "voices-partner", "voices-supervisor"] {
        assert!(!text.contains(name), "{name} is in the manifest");
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    entries.filter_map(Result::ok).find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            find(&path, name)
        } else {
            (path.file_name()? == name).then_some(path)
        }
    })
}
