//! A customer whose line is up before the agent's: he hears the operator's music and prompt, packet by packet, and then the
//! agent in the same stream.

use std::path::PathBuf;
use std::time::Duration;

use testkit::calls::Log;

use crate::binary::{Binary, Folder, ONE, until};
use crate::pair::{SALTS, attach, ring, stored};

/// Music of five seconds, a prompt and some music behind it: an agent must come within ten seconds of his yes.
const PACKETS: u64 = 5 * 50 + 26 + 20;
/// Longest time for that, and for the agent's first word.
const LIMIT: Duration = Duration::from_secs(20);
/// Frames of 20 ms.
const FRAMES_PER_S: usize = 50;

fn asset(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../media-server/assets")).join(name)
}

fn packets(name: &str) -> Vec<Vec<u8>> {
    let file = std::fs::read(asset(name)).expect("the file is there");
    recording::tune::packets(&file).expect("an Opus file")
}

/// The numbers of the stream go on, over music, prompt and voice.
fn one_stream(log: &Log) {
    for two in log.heard.windows(2) {
        assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1), "a gap in the stream");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_hears_music_and_prompt_as_the_operators_files_have_them_and_then_the_agent() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("waiting");
    let (music, prompt) = (asset("hold.opus"), asset("announce.opus"));
    let settings = [
        ("HELPLINE_MEDIA_WAITING_MUSIC", music.to_str().expect("a path")),
        ("HELPLINE_MEDIA_WAITING_PROMPT", prompt.to_str().expect("a path")),
        ("HELPLINE_MEDIA_WAITING_PROMPT_EVERY_S", "5"),
    ];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("waiting").await.expect("an agent");
    let joined = ring(&desk, &agent, "waits").await;
    let customer = attach(&desk, &joined.customer.grant, 1, SALTS[0]).await;
    until("music, prompt and music", LIMIT, async || {
        (customer.heard() >= PACKETS).then_some(())
    })
    .await;
    let log = customer.log();
    let (music, prompt) = (packets("hold.opus"), packets("announce.opus"));
    let (before, behind) = music.split_at(5 * FRAMES_PER_S);
    let programme = before.iter().chain(&prompt).chain(behind);
    for (number, (heard, played)) in log.heard.iter().zip(programme).enumerate() {
        assert_eq!(&heard.payload, played, "packet {number}");
    }

    let voice = attach(&desk, &joined.agent.grant, 2, SALTS[1]).await;
    let said = |payload: &[u8]| payload.len() > 9 && payload[9..].iter().all(|byte| *byte == SALTS[1]);
    until("the agent's voice", LIMIT, async || {
        let log = customer.log();
        log.heard.iter().any(|heard| said(&heard.payload)).then_some(())
    })
    .await;
    let spoken = |log: &Log| log.heard.iter().skip_while(|heard| !said(&heard.payload)).count();
    until("a second of it", LIMIT, async || {
        (spoken(&customer.log()) >= FRAMES_PER_S).then_some(())
    })
    .await;
    let log = customer.log();
    let voices = log.heard.iter().filter(|heard| said(&heard.payload)).count();
    assert_eq!(voices, spoken(&log), "no music once the agent is there");
    one_stream(&log);
    let heard = voice.log().heard;
    assert!(
        heard.len() >= FRAMES_PER_S / 2,
        "the agent heard {} packets",
        heard.len()
    );
    assert!(heard.iter().all(|heard| heard.payload.get(9) == Some(&SALTS[0])));
    desk.hang_up(joined.call).await.expect("the call ends");
    customer.stop().expect("a voice that spoke");
    voice.stop().expect("a voice that spoke");
    let recording = stored(&desk, joined.call).await;
    assert!(
        recording.duration_seconds.is_some_and(|seconds| seconds < 5.0),
        "what was waited is not recorded: {recording:?}"
    );
    binary.stop().await;
}
