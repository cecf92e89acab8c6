//! The command against the real relay: alone, and inside of the whole server, which it asks for credentials by itself.

use std::sync::Arc;

use ports::{Accepted, FromRelay, LegId, LegState, RelayLegs, RelayShard, RelaySink};
use prometheus::Registry;
use turn_relay::{Config, Metrics, Mode, Neighbours, Relay, RelayHandle, TlsFiles};

use super::certificates::{Certificates, Kind};
use super::{CHECKS, Found, check};
use crate::binary::{Binary, Folder, ONE};

/// The leg that media knows.
const KNOWN: LegId = LegId(7);

struct OneLeg;

impl RelayLegs for OneLeg {
    fn state(&self, leg: LegId) -> LegState {
        if leg == KNOWN {
            LegState::Granted
        } else {
            LegState::Unknown
        }
    }
}

/// A shard that says nothing.
struct Silent;

impl RelaySink for Silent {
    fn deliver(&mut self, _: FromRelay<'_>) -> Accepted {
        Accepted::Taken
    }

    fn flush(&mut self) {}
}

fn relay(files: TlsFiles) -> RelayHandle {
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let mut config = Config::new(Mode::Virtual, &[loopback], &[0, 0], "localhost");
    config.tls = Some(files);
    let sink = || -> Box<dyn RelaySink> { Box::new(Silent) };
    let shard = RelayShard {
        // Not an address that a check tries as a foreign one.
        candidates: vec!["203.0.113.5:40000".parse().expect("an address")],
        sinks: (0..config.workers()).map(|_| sink()).collect(),
    };
    let neighbours = Neighbours {
        shards: vec![shard],
        legs: Arc::new(OneLeg),
    };
    let metrics = Metrics::new(&Registry::new()).expect("a fresh registry");
    Relay::start(config, neighbours, metrics).expect("free ports")
}

fn look(relay: &RelayHandle, leg: LegId, certificates: &Certificates) -> Found {
    let grant = relay.credentials().mint(leg).expect("it is not draining");
    let [port, tls] = [0, 1].map(|place| relay.addresses()[place].port().to_string());
    let arguments = [
        "localhost",
        "--port",
        &port,
        "--tls-port",
        &tls,
        "--json",
        "--timeout-s",
        "3",
    ];
    let credentials = ["--user", &grant.username, "--credential", &grant.credential];
    Found::of(&check(&[&arguments[..], &credentials].concat(), &certificates.roots))
}

#[test]
fn our_own_relay_passes_every_check_and_leaves_no_allocation() {
    let folder = Folder::new("turn-real");
    let certificates = Certificates::make(&folder);
    let relay = relay(certificates.files(Kind::Good, &folder));
    let found = look(&relay, KNOWN, &certificates);
    found.assert_failed(&[]);
    let good = CHECKS.iter().filter(|name| found.results[**name] == "ok").count();
    assert_eq!(good, CHECKS.len(), "{}", found.text);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let left = runtime.block_on(relay.control().list());
    assert_eq!(left.len(), 0, "{left:?}");
}

#[test]
fn a_leg_that_the_node_does_not_know_and_a_relay_that_drains_are_named() {
    let folder = Folder::new("turn-real-refusals");
    let certificates = Certificates::make(&folder);
    let relay = relay(certificates.files(Kind::Good, &folder));
    let ways = ["turn-udp", "turn-tcp", "turn-tls"];
    let found = look(&relay, LegId(8), &certificates);
    found.assert_failed(&ways);
    assert!(found.text.contains("does not know the leg"), "{}", found.text);

    let grant = relay.credentials().mint(KNOWN).expect("it is not draining yet");
    relay.control().drain(true);
    let [port, tls] = [0, 1].map(|place| relay.addresses()[place].port().to_string());
    let arguments = ["localhost", "--port", &port, "--tls-port", &tls, "--json"];
    let credentials = ["--user", &grant.username, "--credential", &grant.credential];
    let found = Found::of(&check(&[&arguments[..], &credentials].concat(), &certificates.roots));
    found.assert_failed(&ways);
    assert!(found.text.contains("508"), "{}", found.text);
}

/// Looks at the running server with what lies in its folder, and nothing else.
fn look_beside(binary: &Binary, folder: &Folder, certificates: &Certificates) -> Found {
    let [port, tls] = [0, 1].map(|place| binary.at.stun[place].port().to_string());
    let data = folder.file("");
    let data = data.to_str().expect("UTF-8");
    let arguments = [
        "localhost",
        "--port",
        &port,
        "--tls-port",
        &tls,
        "--json",
        "--data-dir",
        data,
    ];
    Found::of(&check(&arguments, &certificates.roots))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_running_server_no_credential_is_given_and_what_browsers_are_told_is_compared() {
    let _turn = ONE.lock().await;
    let folder = Folder::new("turn-whole");
    let certificates = Certificates::make(&folder);
    let files = certificates.files(Kind::Good, &folder);
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (certificate, key) = (path(&files.certificate), path(&files.key));
    let settings = [
        ("HELPLINE_TURN_PUBLIC_HOST", "localhost"),
        ("HELPLINE_TURN_TLS_CERTIFICATE", certificate.as_str()),
        ("HELPLINE_TURN_TLS_KEY", key.as_str()),
    ];
    let binary = Binary::start(&folder, &settings, &[]).await;
    let found = look_beside(&binary, &folder, &certificates);
    found.assert_failed(&[]);
    let good = CHECKS.iter().filter(|name| found.results[**name] == "ok").count();
    assert_eq!(good, CHECKS.len(), "{}", found.text);
    assert_eq!(found.results["advertised"], "ok", "{}", found.text);
    binary.stop().await;

    let binary = Binary::start(&folder, &settings[..1], &[]).await;
    let found = look_beside(&binary, &folder, &certificates);
    found.assert_failed(&["advertised", "turn-tls"]);
    assert!(
        found.seen["turn-tls"].contains("instead of a handshake"),
        "{}",
        found.text
    );
    binary.stop().await;
}
