//! The load generator against the real binary, small: what it sent is what was heard and what was recorded, also over a
//! bad line, after a change of address and after a hold.

use std::path::Path;

use loadtest::Watch;
use serde_json::Value;

use crate::binary::{Binary, Folder, ONE};

/// Runs it to the end in a thread of its own, which it pins to a core.
pub(crate) async fn run(server: &Path, words: &[&str]) -> Value {
    run_watched(server, words, Watch::default()).await
}

/// The same, and `watch` hears when packets begin to count, and when they do so no more.
pub(crate) async fn run_watched(server: &Path, words: &[&str], watch: Watch) -> Value {
    let mut all: Vec<String> = ["loadtest", "calls", "--server"].map(str::to_owned).to_vec();
    all.push(server.display().to_string());
    all.extend(words.iter().map(|word| (*word).to_owned()));
    let (told, figures) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        let figures = loadtest::run_watched(&words, watch).map_err(|fault| fault.to_string());
        // A test that has failed meanwhile hears nothing more.
        drop(told.send(figures));
    });
    let figures = figures.await.expect("the generator does not panic");
    figures.unwrap_or_else(|fault| panic!("{fault}"))
}

pub(crate) fn number(figures: &Value, name: &str) -> f64 {
    let found = name.split('.').fold(figures, |value, part| &value[part]);
    found.as_f64().unwrap_or_else(|| panic!("no {name}: {figures}"))
}

/// Every packet that left in a measured window is in its recording, byte for byte.
pub(crate) fn is_recorded(figures: &Value, recordings: f64) {
    assert_eq!(number(figures, "recordings.recordings"), recordings, "{figures}");
    assert!(figures["recordings"]["first_difference"].is_null(), "{figures}");
    let packets = |name| number(figures, name);
    let expected = packets("recordings.packets_expected");
    assert_eq!(packets("recordings.packets_found"), expected, "{figures}");
    assert_eq!(figures["recorded"], true, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_load_generator_sends_is_heard_and_recorded() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("load");
    let binary = Binary::start(&folder, &[("HELPLINE_MEDIA_SHARDS", "1")], &[]).await;
    let (server, page) = (folder.file("demo.json"), folder.file("report.html"));

    let page_name = page.display().to_string();
    let clean = run(&server, &["--pairs", "4", "--seconds", "2", "--html", &page_name]).await;
    // Eight legs, 50 packets a second each, for two seconds.
    assert!((790.0..=810.0).contains(&number(&clean, "sent")), "{clean}");
    assert_eq!(number(&clean, "delivered_ratio"), 1.0, "{clean}");
    assert_eq!(number(&clean, "duplicates"), 0.0, "{clean}");
    assert_eq!(number(&clean, "calls_remade"), 0.0, "{clean}");
    assert_eq!(number(&clean, "recordings.packets_expected"), number(&clean, "sent"));
    is_recorded(&clean, 4.0);
    // One call before them and no more: what many leave free would be used again, and their memory would not show.
    let finished = binary
        .metrics()
        .await
        .sum("helpline_recording_finalise_seconds_count", "");
    assert_eq!(
        finished, 5.0,
        "recordings of four calls that are measured and of one before"
    );
    assert!(number(&clean, "cpu_us_per_packet") > 0.0 && number(&clean, "floor_us_per_packet") > 0.0);
    let html = std::fs::read_to_string(&page).expect("the report");
    assert!(html.contains("<svg") && html.trim_end().ends_with("</html>"));

    let line = "loss=10%,burst=2,jitter=10ms,reorder=2%";
    let words = [
        "--ramp",
        "2,3",
        "--seconds",
        "2",
        "--profile",
        line,
        "--switch",
        "--hold-packets",
        "400",
    ];
    let bad = run(&server, &words).await;
    assert_eq!(number(&bad, "calls_remade"), 0.0, "{bad}");
    let steps = bad["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 2, "{bad}");
    let lost = number(&bad, "lost_on_purpose");
    assert!(lost > 20.0 && lost < 300.0, "{bad}");
    is_recorded(&bad, 3.0);
    // A change of address costs what was on its way, not more.
    assert!(number(&bad, "delivered_ratio") > 0.95, "{bad}");
    assert!(number(&bad, "hold.delivered_ratio_after") > 0.99, "{bad}");
    assert_eq!(
        number(&bad, "duplicates") + number(&bad, "hold.duplicates_after"),
        0.0,
        "{bad}"
    );
    binary.stop().await;
}
