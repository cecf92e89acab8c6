//! A million hostile datagrams, a client that holds valid keys and sends rubbish, and a call beside them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use testkit::calls::{Log, client, spread};
use testkit::fuzz;
use testkit::peer::Peer;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};
use wire::call::CallStatus;

use crate::binary::{Binary, Dice, Folder, Metrics, ONE, now, until};
use crate::pair::lane;
use crate::pair::{NUMBER, Pair, SALTS, attach, ring, stored};

/// What must arrive and be counted.
const DATAGRAMS: usize = 1_000_000;
/// What is sent: a few may find a full socket.
const SENT: usize = 1_050_000;
/// Sent at once, and the pause after it: 50,000 per second, so that one core is not the measure.
const BURST: usize = 100;
const PAUSE: Duration = Duration::from_millis(2);
/// Sender sockets: each is another address to the server.
const SOCKETS: usize = 8;
/// Longest datagram: an Ethernet frame's.
const DATAGRAM_MAX: usize = 1_500;
/// Rubbish of the client that holds keys.
const ROUNDS: u64 = 4_000;
/// Longest time for them: each takes 1 ms and what else the machine has to do.
const INSIDE_MAX: Duration = Duration::from_secs(180);
/// Longest time for something to be seen.
const LIMIT: Duration = Duration::from_secs(30);
/// What the undisturbed call may lose to a full socket: one packet of a thousand.
const HEARD_MIN: f64 = 0.999;

/// Packets that may be heard before the recording begins, which is at the agent's first one: a second of them.
const BEGIN_PACKETS_MAX: usize = 50;

/// All that the server says of datagrams that it did not serve as media.
fn refused(metrics: &Metrics) -> f64 {
    metrics.known("helpline_media_drops_total") + metrics.known("helpline_stun_requests_total")
}

/// One datagram made worse, in one of six ways.
fn worse(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    match dice.below(6) {
        0 => bytes.truncate(dice.below(bytes.len() + 1)),
        1 => {
            for _ in 0..=dice.below(8) {
                if !bytes.is_empty() {
                    let at = dice.below(bytes.len());
                    bytes[at] ^= 1 << dice.below(8);
                }
            }
        }
        2 => {
            let from = dice.below(bytes.len() + 1);
            let len = dice.below(bytes.len() - from + 1);
            bytes[from..from + len].fill_with(|| dice.next() as u8);
        }
        3 => {
            let len = dice.below(DATAGRAM_MAX);
            bytes.resize_with(bytes.len() + len, || dice.next() as u8);
        }
        4 => {
            let other = &seeds[dice.below(seeds.len())];
            let keep = dice.below(bytes.len() + 1);
            bytes.truncate(keep);
            bytes.extend_from_slice(&other[dice.below(other.len() + 1)..]);
        }
        _ => {
            // The first byte decides which parser sees it (RFC 7983 §7): each gets its share.
            bytes.clear();
            let len = 1 + dice.below(200);
            bytes.resize_with(len, || dice.next() as u8);
        }
    }
    bytes.truncate(DATAGRAM_MAX);
    bytes
}

async fn flood(dice: &mut Dice, to: &[SocketAddr]) {
    let mut seeds = Vec::new();
    for seed in fuzz::seeds(now()) {
        match seed.target {
            "stun" | "rtp" | "rtcp" => seeds.push(seed.bytes),
            "dtls" => seeds.extend(fuzz::feed(&seed.bytes).into_iter().map(<[u8]>::to_vec)),
            _ => {}
        }
    }
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"));
    }
    let mut pace = interval(PAUSE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..SENT / BURST {
        pace.tick().await;
        for _ in 0..BURST {
            let bytes = worse(dice, &seeds);
            let socket = &sockets[dice.below(SOCKETS)];
            let to = to[dice.below(to.len())];
            socket.send_to(&bytes, to).await.expect("loopback takes it");
        }
    }
}

/// A client that has joined, holds keys, and uses them: rubbish inside of sealed packets, sealed packets made worse,
/// repeated, and everything else from an address that the server knows.
fn insider(mut peer: Peer, dice: &mut Dice) -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    let to = peer.destination().ok_or_else(|| io::Error::other("no answer"))?;
    let seeds: Vec<Vec<u8>> = fuzz::seeds(now()).into_iter().map(|seed| seed.bytes).collect();
    let mut buffer = [0; 2_048];
    let mut spoken = 0;
    let end = now() + INSIDE_MAX;
    while spoken < ROUNDS {
        if now() > end {
            return Err(io::Error::other(format!("the insider got through {spoken} rounds")));
        }
        peer.timeout(now()).map_err(io::Error::other)?;
        while let Some(datagram) = peer.poll() {
            socket.send_to(&datagram, to)?;
        }
        if peer.is_up() {
            spoken += 1;
            let mut rubbish = vec![0; dice.below(400)];
            rubbish.fill_with(|| dice.next() as u8);
            if let Some(len) = peer.speak(&mut buffer, &rubbish, dice.next() as u32, 30, true) {
                let sealed = buffer[..len].to_vec();
                socket.send_to(&sealed, to)?;
                socket.send_to(&sealed, to)?;
                // Longer ones would not fit into a path's MTU anyway.
                socket.send_to(&worse(dice, &[sealed]), to)?;
            }
            socket.send_to(&worse(dice, &seeds), to)?;
        }
        if let Ok(len) = socket.recv(&mut buffer) {
            peer.datagram(now(), &mut buffer[..len]).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// Checks one lane of the undisturbed call's recording by the numbers of its packets: the tap lies before the forwarding,
/// so all that the other side heard is in it, in order; and what a full socket lost is no more than it was heard to lose.
fn is_recorded(numbers: &[u64], listened: &Log) {
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        panic!("an empty lane");
    };
    assert!(numbers.is_sorted_by(|a, b| a < b), "the recording is out of order");
    let whole = (last - first + 1) as f64;
    let share = numbers.len() as f64 / whole;
    assert!(share >= HEARD_MIN, "{share} of {whole} packets are recorded");
    let number = |payload: &[u8]| u64::from_be_bytes(payload[NUMBER].try_into().expect("eight bytes"));
    let heard: Vec<u64> = listened.heard.iter().map(|heard| number(&heard.payload)).collect();
    let begun = heard.iter().filter(|number| *number >= first).count();
    assert!(heard.len() - begun <= BEGIN_PACKETS_MAX, "the recording began late");
    for number in heard.iter().filter(|number| *number >= first) {
        assert!(
            numbers.binary_search(number).is_ok(),
            "packet {number} was heard and is not recorded"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_hostile_datagrams_disturb_no_call() {
    let _turn = ONE.lock().await;
    let mut dice = Dice::thrown();
    let folder = Folder::new("hostile");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let good = desk.agent("good").await.expect("an agent");
    let pair = Pair::join(&desk, &good, "undisturbed", 1).await;
    pair.sound().await;
    let before = binary.metrics().await;

    let mut to = binary.at.media.clone();
    to.extend(&binary.at.stun);
    flood(&mut dice, &to).await;
    let counted = until("the datagrams are counted", LIMIT, async || {
        let counted = refused(&binary.metrics().await) - refused(&before);
        (counted >= DATAGRAMS as f64).then_some(counted)
    })
    .await;

    let victim = desk.agent("victim").await.expect("an agent");
    let joined = ring(&desk, &victim, "insider").await;
    let listener = attach(&desk, &joined.agent.grant, 9, SALTS[1]).await;
    let mut peer = client(8).expect("a certificate");
    let answer = desk
        .attach(&joined.customer.grant, peer.offer())
        .await
        .expect("attached");
    peer.answer(now(), &answer).expect("a usable answer");
    let mut own = Dice::thrown();
    let insider = tokio::task::spawn_blocking(move || insider(peer, &mut own));
    insider.await.expect("no panic").expect("it got through");
    let after = binary.metrics().await;
    for reason in ["unauthentic", "replayed", "malformed"] {
        let label = format!("reason=\"{reason}\"");
        let grew = after.sum("helpline_media_drops_total", &label) - before.sum("helpline_media_drops_total", &label);
        assert!(grew > 0.0, "nothing was dropped as {reason}");
    }
    desk.hang_up(joined.call).await.expect("the call ends");
    drop(listener);
    // Rubbish is recorded as silence or as it came, and the file is whole either way.
    let recording = stored(&desk, joined.call).await;
    assert!(recording.duration_seconds.is_some());

    let call = pair.call;
    desk.hang_up(call).await.expect("the call ends");
    let logs = pair.stop();
    for (said, listened) in [(&logs[0], &logs[1]), (&logs[1], &logs[0])] {
        let last = listened.heard.last().expect("it heard something").at;
        let first = listened.heard[0].at;
        let said = said
            .sent
            .iter()
            .filter(|sent| sent.at >= first && sent.at <= last)
            .count();
        let share = listened.heard.len() as f64 / said as f64;
        println!("{counted} hostile datagrams counted of {SENT}; heard {share:.5} of {said} packets");
        assert!(share >= HEARD_MIN, "heard {share} of {said}");
    }
    let recording = stored(&desk, call).await;
    let master = desk.audio(recording.recording_id).await.expect("the master");
    for side in 0..2 {
        is_recorded(&lane(&master, side, &logs[side]), &logs[1 - side]);
    }
    quiet(&binary).await;
    binary.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leg_with_foreign_keys_never_gets_up() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("keys");
    let binary = Binary::start(&folder, &[], &[]).await;
    let desk = binary.desk();
    let agent = desk.agent("keys").await.expect("an agent");
    let before = binary.metrics().await;

    // A certificate that is not the one of the offer: who sits on the path cannot stand in for the caller.
    let joined = ring(&desk, &agent, "fingerprint").await;
    let mut peer = client(4).expect("a certificate");
    let line = peer.offer();
    let other = client(5).expect("a certificate").offer();
    let foreign = swap(&line, &other, "a=fingerprint:");
    let answer = desk.attach(&joined.customer.grant, foreign).await.expect("attached");
    peer.answer(now(), &answer).expect("a usable answer");
    let voice = testkit::calls::Voice::start(peer, testkit::calls::spurt(SALTS[0])).expect("a socket");
    until("the handshake fails", LIMIT, async || {
        let name = "helpline_dtls_failures_total";
        let grew = binary.metrics().await.known(name) > before.known(name);
        grew.then_some(())
    })
    .await;
    assert_eq!(voice.heard(), 0);
    drop(voice);
    let view = until("the call ends", LIMIT, async || {
        let view = desk.call(joined.call).await.expect("the call");
        view.ended_at.is_some().then_some(view)
    })
    .await;
    assert_eq!(view.status, CallStatus::Failed);

    // A password that is not the answer's: who knows only the address cannot take the leg.
    let joined = ring(&desk, &agent, "password").await;
    let mut peer = client(6).expect("a certificate");
    let answer = desk
        .attach(&joined.customer.grant, peer.offer())
        .await
        .expect("attached");
    let guessed = format!("a=ice-pwd:{:032x}", spread(6));
    let answer = swap(&answer, &guessed, "a=ice-pwd:");
    peer.answer(now(), &answer).expect("a usable answer");
    let voice = testkit::calls::Voice::start(peer, testkit::calls::spurt(SALTS[0])).expect("a socket");
    until("the checks are refused", LIMIT, async || {
        let label = "reason=\"bad_integrity\"";
        let name = "helpline_media_drops_total";
        let grew = binary.metrics().await.sum(name, label) - before.sum(name, label);
        (grew >= 3.0).then_some(())
    })
    .await;
    assert_eq!((voice.sent(), voice.heard()), (0, 0));
    drop(voice);
    desk.hang_up(joined.call).await.expect("the call ends");
    quiet(&binary).await;
    binary.stop().await;
}

/// `text` with its line of this beginning taken from `other`.
fn swap(text: &str, other: &str, begins: &str) -> String {
    let theirs = other
        .lines()
        .find(|line| line.starts_with(begins))
        .expect("such a line");
    let lines = text
        .lines()
        .map(|line| if line.starts_with(begins) { theirs } else { line });
    lines.flat_map(|line| [line, "\r\n"]).collect()
}

/// Nothing panicked, in any thread.
pub(crate) async fn quiet(binary: &Binary) {
    let metrics = binary.metrics().await;
    for name in [
        "helpline_media_panics_total",
        "helpline_recording_finalise_panics_total",
    ] {
        assert_eq!(metrics.known(name), 0.0, "{name}");
    }
    let log = binary.log();
    let panic = log.lines().find(|line| line.contains("panicked"));
    assert_eq!(panic, None);
}
