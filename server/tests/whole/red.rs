//! Whether redundant audio is taken, and before what, is the operator's: from the file's key through the desk's grant to
//! the answer.

use testkit::calls::client;

use crate::binary::{Binary, Folder, ONE};
use crate::pair::ring;

/// Payload type of redundant audio in the offer.
const RED: &str = "63";

/// The payload types of an answer's first section, in its order.
fn payload_types(answer: &str) -> Vec<&str> {
    let section = answer.lines().find(|line| line.starts_with("m=audio "));
    section
        .expect("a section of audio")
        .split_ascii_whitespace()
        .skip(3)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redundant_audio_stands_where_the_setting_puts_it() {
    let _turn = ONE.lock().await;
    for setting in [None, Some("prefer"), Some("off")] {
        let folder = Folder::new(&format!("red-{}", setting.unwrap_or("unset")));
        let settings: Vec<_> = setting.map(|word| ("HELPLINE_MEDIA_RED", word)).into_iter().collect();
        let binary = Binary::start(&folder, &settings, &[]).await;
        let desk = binary.desk();
        let agent = desk.agent("red").await.expect("an agent");
        let joined = ring(&desk, &agent, "red").await;
        let offer = client(1).expect("a certificate").offer();
        let plain = payload_types(&offer);
        let [opus] = plain[..] else {
            panic!("the client offers Opus alone, not {plain:?}")
        };
        let with_red = offer
            .replace(&format!("SAVPF {opus}\r\n"), &format!("SAVPF {opus} {RED}\r\n"))
            .replace(
                &format!("a=rtpmap:{opus} "),
                &format!("a=rtpmap:{RED} red/48000/2\r\na=fmtp:{RED} {opus}/{opus}\r\na=rtpmap:{opus} "),
            );
        let answer = desk.attach(&joined.customer.grant, with_red).await.expect("an answer");
        let expected = match setting {
            None => vec![opus, RED],
            Some("prefer") => vec![RED, opus],
            Some(_) => vec![opus],
        };
        assert_eq!(payload_types(&answer), expected, "{setting:?}");
        binary.stop().await;
    }
}
