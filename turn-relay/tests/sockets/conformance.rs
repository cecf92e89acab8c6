//! coturn's own client tools against the relay, in both modes: the rows of `docs/TURN.md`, section "Conformance".
//!
//! Only in the long size (`cargo xtask test --long`, which installs the tools): a run of the client takes six seconds.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use turn_relay::{StartFailed, TlsFiles};

use crate::bench::{Bench, for_tools, tool_peers};

const SECRET: &str = "sesame";
/// Seconds after which a run of the client is ended; it takes six.
const RUN_S: &str = "40";
/// Runs at a time: each sleeps most of its time.
const AT_ONCE: usize = 6;
/// How often a run that came to no end is begun again: the machine may have been too busy for it. One that has come to
/// its end counts, whatever it says.
const TRIES: usize = 2;
/// What `timeout` says of a run that came to no end.
const TIMED_OUT: i32 = 124;
/// Runs with damaged requests, of which one must come whole to its end; every other is refused or hangs. The client hangs
/// when it has made a request that nobody can read as STUN, and sends the same bytes again for ever; with coturn's server
/// 3 of 12 come to their end.
const DAMAGED_RUNS: usize = 12;

/// What a run should come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Should {
    /// All that was sent came back.
    Pass,
    /// The client gives up behind this error number.
    Refuse(u16),
    /// It sends, and nothing comes back; or the channel is refused.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    AllowList,
    Virtual,
}

/// Flags beside `-X -e 127.0.0.1`, and what both modes should make of them.
const ROWS: &[(&str, Should, Should)] = &[
    ("-X -e 127.0.0.1 -c", Should::Pass, Should::Pass),
    ("-e 127.0.0.1 -c", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -s", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -D", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -G", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -I", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -B", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -l 1400", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -g", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -t", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -t -s", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -t -S", Should::Pass, Should::Pass),
    ("-x -e ::1 -c", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -Z", Should::Pass, Should::Pass),
    ("-X -e 127.0.0.1 -c -y", Should::Pass, Should::Nothing),
    ("-X -e 127.0.0.1 -c -y -s", Should::Pass, Should::Nothing),
    ("-X -e 127.0.0.1 -c -t -y", Should::Pass, Should::Nothing),
    ("-X -e 127.0.0.1", Should::Refuse(508), Should::Refuse(508)),
    ("-X -e 127.0.0.1 -T", Should::Refuse(442), Should::Refuse(442)),
    ("-X -e 127.0.0.1 -P", Should::Refuse(442), Should::Refuse(442)),
    ("-X -e 127.0.0.1 -c -N", Should::Refuse(400), Should::Refuse(400)),
    ("-X -e 127.0.0.3 -c", Should::Refuse(403), Should::Refuse(403)),
];

/// A relay with its peers, on free ports.
struct Rig {
    bench: Bench,
    ports: [u16; 2],
    peer_port: u16,
    peers: Vec<Child>,
    folder: PathBuf,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for peer in &mut self.peers {
            // It may have ended by itself.
            let _ = peer.kill();
            let _ = peer.wait();
        }
        self.bench.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free for everything now, and the next one too.
fn free_port() -> u16 {
    loop {
        let Ok(found) = TcpListener::bind("127.0.0.1:0") else {
            continue;
        };
        let port = found.local_addr().expect("it is bound").port();
        let is_free = |ip: &str, port: u16| UdpSocket::bind((ip, port)).is_ok();
        let ips = ["127.0.0.1", "127.0.0.2", "::1"];
        if port < 65_000 && ips.iter().all(|ip| is_free(ip, port) && is_free(ip, port + 1)) {
            return port;
        }
    }
}

impl Rig {
    fn new(mode: Mode, quota: Option<u32>) -> Rig {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("helpline-conformance-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let tls = TlsFiles {
            certificate: folder.join("c.pem"),
            key: folder.join("k.pem"),
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(&tls.certificate, made.cert.pem()).expect("written");
        std::fs::write(&tls.key, made.signing_key.serialize_pem()).expect("written");
        loop {
            let port = free_port();
            let (ports, peer_port) = ([port, port + 1], free_port());
            let rules = || ["127.0.0.1", "::1"].map(|ip| ip.parse().expect("an address")).to_vec();
            let mut config = for_tools((mode == Mode::AllowList).then(rules), SECRET, ports, quota);
            config.tls = Some(tls.clone());
            let shards = match mode {
                Mode::AllowList => Vec::new(),
                Mode::Virtual => tool_peers(peer_port),
            };
            let bench = match Bench::start(config, &shards) {
                Ok(bench) => bench,
                // Somebody took a port meanwhile.
                Err(StartFailed::Bind { .. }) => continue,
                Err(fault) => panic!("{fault}"),
            };
            let peer = |ip: &str| {
                let mut peer = Command::new("turnutils_peer");
                peer.args(["-L", ip, "-p", &peer_port.to_string()]);
                peer.stdout(Stdio::null()).stderr(Stdio::null());
                peer.spawn().expect("the tools are there")
            };
            return Rig {
                peers: match mode {
                    Mode::AllowList => vec![peer("127.0.0.1"), peer("::1")],
                    Mode::Virtual => Vec::new(),
                },
                bench,
                ports,
                peer_port,
                folder,
            };
        }
    }

    /// One run of the client: its output and how it ended.
    fn client(&self, flags: &str, user: &[&str]) -> (String, Option<i32>) {
        let port = self.ports[usize::from(flags.contains("-S"))].to_string();
        let peer_port = self.peer_port.to_string();
        let mut client = Command::new("timeout");
        client.args([RUN_S, "turnutils_uclient"]).args(flags.split(' '));
        if !flags.contains("-m ") {
            client.args(["-m", "2"]);
        }
        if !flags.contains("-l ") {
            client.args(["-l", "170"]);
        }
        client.args(["-r", &peer_port, "-n", "20", "-z", "10", "-p", &port]);
        let output = client
            .args(user)
            .arg("127.0.0.1")
            .output()
            .expect("the tools are there");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (text, output.status.code())
    }
}

/// Sent and received, of the last line that says so.
fn counts(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().rfind(|line| line.contains("tot_send_msgs="))?;
    let after = |word: &str| -> Option<u64> {
        let rest = line.split(word).nth(1)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some((after("tot_send_msgs=")?, after("tot_recv_msgs=")?))
}

/// Why a run was not as it should be.
fn judge(should: Should, text: &str, code: Option<i32>) -> Result<String, String> {
    let found = counts(text);
    let refused = |number: u16| text.contains(&format!("error {number} ")) && code == Some(255);
    let fine = match should {
        Should::Pass => code == Some(0) && found.is_some_and(|(sent, received)| sent == received && sent > 0),
        Should::Refuse(number) => refused(number),
        Should::Nothing => refused(403) || found.is_some_and(|(sent, received)| sent > 0 && received == 0),
    };
    let told = match found {
        Some((sent, received)) => format!("{sent} sent, {received} back"),
        None => format!("refused, {code:?}"),
    };
    if fine {
        Ok(told)
    } else {
        let end: Vec<&str> = text.lines().rev().take(6).collect();
        Err(format!("{told}; its last lines, backwards: {end:#?}"))
    }
}

/// Whether this is the long run and the tools are there; says why not.
fn is_due() -> bool {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|is| is == value);
    if !set("HELPLINE_TEST_SIZE", "long") {
        println!("skipped: coturn's tools join in the long size, cargo xtask test --long");
        return false;
    }
    let tools = [
        "turnutils_uclient",
        "turnutils_peer",
        "turnutils_stunclient",
        "turnutils_natdiscovery",
    ];
    let missing = tools.iter().find(|tool| {
        let mut asked = Command::new("which");
        !asked
            .arg(tool)
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    if let Some(tool) = missing {
        assert!(
            !set("HELPLINE_TEST_REQUIRE", "all"),
            "missing: {tool} (apt-get install coturn)"
        );
        println!("skipped: {tool} is not installed (apt-get install coturn)");
        return false;
    }
    true
}

fn rows(mode: Mode) {
    if !is_due() {
        return;
    }
    let rig = Rig::new(mode, None);
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((flags, listed, virtual_)) = ROWS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let should = if mode == Mode::AllowList { *listed } else { *virtual_ };
                    let mut told = Err(String::new());
                    for _ in 0..TRIES {
                        let (text, code) = rig.client(flags, &["-u", "leg1:0", "-W", SECRET]);
                        told = judge(should, &text, code);
                        if code != Some(TIMED_OUT) {
                            break;
                        }
                    }
                    println!("{mode:?} [{flags}] {should:?}: {told:?}");
                    if let Err(why) = told {
                        failed.lock().expect("no row panics").insert(format!("[{flags}] {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no row panics");
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_row_with_listed_peers() {
    rows(Mode::AllowList);
}

#[test]
fn every_row_with_virtual_addresses() {
    rows(Mode::Virtual);
}

#[test]
fn wrong_and_old_credentials_and_a_full_quota_are_refused() {
    if !is_due() {
        return;
    }
    // Of a moment in 2020, correctly signed.
    let old = turn_relay::client::Credentials::of_shared_secret(SECRET.as_bytes(), "1600000000:leg1:0".to_owned());
    for mode in [Mode::AllowList, Mode::Virtual] {
        let rig = Rig::new(mode, Some(2));
        let (text, code) = rig.client("-X -e 127.0.0.1 -c", &["-u", "leg1:0", "-W", "wrong"]);
        assert!(
            text.contains("Cannot complete Allocation") && code == Some(255),
            "{text}"
        );
        let (text, code) = rig.client("-X -e 127.0.0.1 -c", &["-u", &old.username, "-w", &old.password]);
        assert!(
            text.contains("Cannot complete Allocation") && code == Some(255),
            "{text}"
        );
        let (text, code) = rig.client("-X -e 127.0.0.1 -c -m 4", &["-u", "fresh:0", "-W", SECRET]);
        assert!(text.contains("error 486 ") && code == Some(255), "{text}");
    }
}

#[test]
fn damaged_requests_are_survived() {
    if !is_due() {
        return;
    }
    for mode in [Mode::AllowList, Mode::Virtual] {
        let rig = Rig::new(mode, None);
        let run = || rig.client("-X -e 127.0.0.1 -c -R", &["-u", "leg1:0", "-W", SECRET]);
        let runs: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..DAMAGED_RUNS).map(|_| scope.spawn(run)).collect();
            started
                .into_iter()
                .map(|run| run.join().expect("no run panics"))
                .collect()
        });
        let ended = runs.iter().filter(|(_, code)| *code != Some(TIMED_OUT));
        // A damaged request that can be read is refused, and the client gives up with what it was told.
        let refused = |text: &str, code| code == Some(255) && text.contains("error 4");
        let whole = |(sent, received): (u64, u64)| sent > 0 && received * 10 >= sent * 9;
        let (mut wholes, mut wrong) = (0, Vec::new());
        for (text, code) in ended {
            match counts(text) {
                Some(found) if whole(found) => wholes += 1,
                None if refused(text, *code) => {}
                found => wrong.push((found, *code, text.lines().rev().take(6).collect::<Vec<_>>())),
            }
        }
        println!("{mode:?} damaged: {wholes} of {DAMAGED_RUNS} came whole to their end");
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(wholes > 0, "none came whole to its end");
        // And the relay is alive.
        let (text, code) = rig.client("-X -e 127.0.0.1 -c", &["-u", "leg1:0", "-W", SECRET]);
        judge(Should::Pass, &text, code).expect("it passes");
    }
}

#[test]
fn the_behaviour_of_a_nat_is_found_out_by_rfc_5780() {
    if !is_due() {
        return;
    }
    let rig = Rig::new(Mode::Virtual, None);
    let port = rig.ports[0].to_string();
    let ask = |tool: &str, flags: &[&str]| {
        let mut asked = Command::new("timeout");
        asked
            .args(["60", tool])
            .args(flags)
            .args(["-p", &port])
            .arg("127.0.0.1");
        let output = asked.output().expect("the tools are there");
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let plain = ask("turnutils_stunclient", &[]);
    assert!(plain.contains("reflexive addr: 127.0.0.1:"), "{plain}");
    let full = ask("turnutils_stunclient", &["-f"]);
    assert_eq!(full.matches("RFC 5780 response").count(), 3, "{full}");
    let discovery = ask("turnutils_natdiscovery", &["-m", "-f", "-L", "127.0.0.1"]);
    assert!(
        discovery.contains("NAT with Endpoint Independent Mapping!"),
        "{discovery}"
    );
    assert!(
        discovery.contains("NAT with Endpoint Independent Filtering!"),
        "{discovery}"
    );
    assert!(!discovery.to_lowercase().contains("timeout"), "{discovery}");
    println!("stunclient -f: 3 responses; natdiscovery: mapping and filtering independent of the endpoint");
}
