//! The waveform of a recording: drawn when somebody asks, kept over a restart, drawn anew when what was kept is cut.

use std::fs;
use std::path::{Path, PathBuf};

use crate::binary::{Binary, Folder, ONE, until};
use crate::pair::{Pair, stored};

/// Packets that each side hears before the call ends: two seconds.
const TALK_PACKETS: u64 = 100;
/// Longest time for two seconds of talk on a busy machine.
const TALK_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// The one file of this name below a folder.
fn find(below: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(below).ok()?.filter_map(Result::ok).find_map(|entry| {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&entry.path(), name)
        } else {
            (entry.file_name() == name).then(|| entry.path())
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waveform_is_drawn_when_asked_for_kept_over_a_restart_and_drawn_anew_when_cut() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("waveform");
    let binary = Binary::start(&folder, &[], &[]).await;
    let agent = binary.desk().agent("ann").await.expect("an agent");
    let pair = Pair::join(&binary.desk(), &agent, "customer", 1).await;
    until("two seconds of sound", TALK_LIMIT, async || {
        pair.voices
            .iter()
            .all(|voice| voice.heard() >= TALK_PACKETS)
            .then_some(())
    })
    .await;
    binary.desk().hang_up(pair.call).await.expect("hung up");
    let call = pair.call;
    pair.stop();
    let recording = stored(&binary.desk(), call).await.recording_id;

    let audio = find(&folder.file(""), "audio.opus").expect("the master lies in the data folder");
    let kept = audio.with_file_name("derived").join("peaks");
    assert!(!kept.exists(), "nothing is drawn before somebody asks");
    let manifest = fs::read_to_string(audio.with_file_name("manifest.json")).expect("a manifest");
    assert!(!manifest.contains("peaks"), "{manifest}");

    let drawn = binary.desk().waveform(recording).await.expect("a waveform");
    for lane in [&drawn.customer, &drawn.agent] {
        assert!(lane.iter().any(|&peak| peak != 0), "{drawn:?}");
    }
    assert!(drawn.duration_ms >= 2_000 && kept.exists());
    let times = async |binary: &Binary| {
        let metrics = binary.metrics().await;
        metrics.sum("helpline_recording_waveform_seconds_count", "")
    };

    // Without the sound nothing can be drawn: the second answer comes from what was kept, and after a restart as well.
    let aside = audio.with_file_name("aside");
    fs::rename(&audio, &aside).expect("moved");
    assert_eq!(binary.desk().waveform(recording).await.expect("kept"), drawn);
    assert!((times(&binary).await - 1.0).abs() < f64::EPSILON);
    binary.stop().await;
    let binary = Binary::start(&folder, &[], &[]).await;
    assert_eq!(binary.desk().waveform(recording).await.expect("kept"), drawn);
    fs::rename(&aside, &audio).expect("moved back");

    let bytes = fs::read(&kept).expect("kept");
    fs::write(&kept, &bytes[..bytes.len() / 2]).expect("cut");
    assert_eq!(binary.desk().waveform(recording).await.expect("drawn anew"), drawn);
    assert_eq!(fs::read(&kept).expect("kept anew"), bytes);
    assert!((times(&binary).await - 1.0).abs() < f64::EPSILON);
    binary.stop().await;
}
