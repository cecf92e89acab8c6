//! A foreign WebRTC stack (aiortc) in a call with itself: it talks into the room and hears it, by the script that
//! `docs/foreign-clients.md` tells people to use.
//!
//! Only in the long size: `cargo xtask test --long` installs the stack, and the talking takes its time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::calls::{Desk, Voice};

use crate::binary::{Binary, Folder, ONE, until};
use crate::pair::{attach, ring, stored};

/// Least share of what is heard that is the tone which the other side says; Opus and the mixing of frames cost some.
const PURITY_MIN: f64 = 0.8;
/// Seconds that each side talks, beyond connecting.
const SECONDS: &str = "6";
/// Least seconds of sound that arrive of them.
const HEARD_MIN: f64 = 4.0;
/// Longest time until the state of a call follows its media.
const LIMIT: Duration = Duration::from_secs(20);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate lies in the repository")
}

fn python() -> PathBuf {
    root().join("target/foreign/bin/python")
}

/// Whether this run is the long one and the stack is there; says why not.
fn is_due() -> bool {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|is| is == value);
    if !set("HELPLINE_TEST_SIZE", "long") {
        println!("skipped: a foreign stack joins in the long size, cargo xtask test --long");
        return false;
    }
    let there = python().is_file();
    if !there {
        assert!(
            !set("HELPLINE_TEST_REQUIRE", "all"),
            "missing: aiortc in target/foreign"
        );
        println!("skipped: no aiortc in target/foreign");
    }
    there
}

/// The script on a leg, and what it tells at its end.
async fn join(base: String, grant: String, more: &[&str]) -> Value {
    let mut command = Command::new(python());
    command.arg(root().join("docs/examples/join.py"));
    command
        .args(["--seconds", SECONDS, "--grant", &grant])
        .args(more)
        .arg(base);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("it is waited for").expect("Python starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault}: {output:?}"))
}

fn hears(told: &Value) {
    assert!(told["seconds"].as_f64().expect("seconds") >= HEARD_MIN, "{told}");
    assert!(told["purity"].as_f64().expect("a share") >= PURITY_MIN, "{told}");
}

async fn status(desk: &Desk, call: uuid::Uuid) -> String {
    let view = desk.call(call).await.expect("the call");
    serde_json::to_value(view.status)
        .expect("a word")
        .as_str()
        .expect("a word")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_stack_talks_into_a_room_and_hears_it() {
    if !is_due() {
        return;
    }
    let _turn = ONE.lock().await;
    let folder = Folder::new("foreign");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("foreign").await.expect("an agent");
    let joined = ring(&desk, &agent, "foreigner").await;
    let base = binary.base();
    let (customer, other) = tokio::join!(
        join(
            base.clone(),
            joined.customer.grant,
            &["--tone", "440", "--listen", "1000"]
        ),
        join(
            base.clone(),
            joined.agent.grant,
            &["--tone", "1000", "--listen", "440", "--stay"]
        ),
    );
    println!("customer {customer}\nagent {other}");
    for side in [&customer, &other] {
        assert_eq!(
            (side["post"].as_u64(), side["patch"].as_u64()),
            (Some(201), Some(204)),
            "{side}"
        );
        assert_eq!(side["direction"], "sendrecv");
        hears(side);
    }
    assert_eq!(customer["delete"], 200);
    until("the customer's good-bye ends the call", LIMIT, async || {
        (status(&desk, joined.call).await == "completed").then_some(())
    })
    .await;
    let recording = stored(&desk, joined.call).await;
    assert!(
        recording.duration_seconds.is_some_and(|seconds| seconds >= HEARD_MIN),
        "{recording:?}"
    );
    binary.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_stack_publishes_by_whip_and_hears_nothing() {
    if !is_due() {
        return;
    }
    let _turn = ONE.lock().await;
    let folder = Folder::new("whip");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("whip").await.expect("an agent");
    let joined = ring(&desk, &agent, "publisher").await;
    let voice: Voice = attach(&desk, &joined.agent.grant, 7, 0xA6).await;
    let told = join(binary.base(), joined.customer.grant, &["--whip", "--tone", "660"]).await;
    println!("publisher {told}");
    assert_eq!(
        (told["post"].as_u64(), told["patch"].as_u64()),
        (Some(201), Some(204)),
        "{told}"
    );
    assert_eq!(told["direction"], "recvonly", "by whatever offer");
    assert_eq!(told["seconds"], 0.0, "it hears nothing");
    assert_eq!(told["delete"], 200);
    // 50 packets a second.
    let heard = voice.heard();
    assert!(heard as f64 >= HEARD_MIN * 50.0, "{heard} packets reached the agent");
    voice.stop().expect("a voice that spoke");
    binary.stop().await;
}
