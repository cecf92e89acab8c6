//! What a supervisor and a health check hear of the real process, from its start to its end.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::binary::{Binary, Folder, ONE, command};

/// Longest wait for a word.
const WORD_LIMIT: Duration = Duration::from_secs(60);
/// What the supervisor asks for, microseconds: a word a second.
const WATCHDOG_US: &str = "3000000";
/// What a start that is under way says, again and again.
const MORE_TIME: &str = "EXTEND_TIMEOUT_USEC=60000000";

fn next(listener: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let len = listener.recv(&mut bytes).expect("a word in time");
    String::from_utf8(bytes[..len].to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_is_told_the_begin_the_life_and_the_end_and_a_health_check_gets_its_answer() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("supervised");
    let path = folder.file("notify");
    let listener = UnixDatagram::bind(&path).expect("a socket");
    listener.set_read_timeout(Some(WORD_LIMIT)).expect("an option");
    let named = path.to_str().expect("a path that is text").to_owned();
    let settings = [("NOTIFY_SOCKET", named.as_str()), ("WATCHDOG_USEC", WATCHDOG_US)];
    let binary = Binary::start(&folder, &settings, &["--end-if-hung"]).await;
    assert_eq!(next(&listener), MORE_TIME);
    let ready = std::iter::repeat_with(|| next(&listener)).find(|words| words != MORE_TIME);
    assert_eq!(ready.as_deref(), Some("READY=1"));
    assert_eq!(next(&listener), "WATCHDOG=1");
    assert_eq!(next(&listener), "WATCHDOG=1");

    for arguments in [&["health"][..], &["health", "--ready"]] {
        let asked = command(arguments, &folder, &[]).output().expect("the program runs");
        let said = String::from_utf8_lossy(&asked.stdout);
        assert!(asked.status.success(), "{arguments:?}: {asked:?}");
        assert!(said.contains("\"status\":\"ok\""), "{arguments:?}: {said}");
    }
    binary.stop().await;
    let end = std::iter::repeat_with(|| next(&listener)).find(|words| words != "WATCHDOG=1");
    assert_eq!(end.as_deref(), Some("STOPPING=1"));

    let asked = command(&["health"], &folder, &[]).output().expect("the program runs");
    assert_eq!(asked.status.code(), Some(1), "nobody is there any more");
}
