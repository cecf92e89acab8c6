//! `helpline turn check` against a server of a few lines that is right, and wrong in each way that the command knows.

pub(crate) mod certificates;
mod fake;
mod real;

use std::collections::BTreeMap;
use std::process::{Command, Output};

use serde_json::Value;

use crate::binary::Folder;
use certificates::{Certificates, Kind};
use fake::{Fake, SECRET, USER, Wrong};

/// Everything that is looked at, in order.
const CHECKS: [&str; 9] = [
    "name",
    "stun-udp",
    "stun-udp-second",
    "turn-udp",
    "turn-tcp",
    "turn-tls",
    "certificate",
    "wrong-credential",
    "foreign-peers",
];

/// Runs the command; nothing of this process's own settings reaches it.
fn check(arguments: &[&str], roots: &std::path::Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helpline"));
    for (name, _) in std::env::vars() {
        if name.starts_with("HELPLINE_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command.args(["turn", "check"]).args(arguments);
    command.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
    command.output().expect("the binary starts")
}

/// What was found of each check, and the whole text for a failure.
struct Found {
    code: Option<i32>,
    results: BTreeMap<String, String>,
    seen: BTreeMap<String, String>,
    text: String,
}

impl Found {
    fn of(output: &Output) -> Found {
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        let mut found = Found {
            code: output.status.code(),
            results: BTreeMap::new(),
            seen: BTreeMap::new(),
            text,
        };
        for line in report["checks"].as_array().expect("checks") {
            let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            found.results.insert(word("check"), word("result"));
            found.seen.insert(word("check"), word("seen"));
            assert_eq!(word("result") == "failed", !word("advice").is_empty(), "{line}");
        }
        assert_eq!(report["ok"] == true, found.code == Some(0), "{}", found.text);
        found
    }

    /// Exactly these have failed.
    fn assert_failed(&self, failed: &[&str]) {
        let seen: Vec<_> = self.results.iter().filter(|(_, result)| *result == "failed").collect();
        let mut names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
        let mut wanted = failed.to_vec();
        names.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{}", self.text);
        assert_eq!(self.code, Some(i32::from(!failed.is_empty())), "{}", self.text);
    }
}

/// Looks at what listens on these ports of this machine, with what else is said.
fn look_at(ports: [u16; 2], certificates: &Certificates, more: &[&str]) -> Found {
    let [port, tls] = ports.map(|port| port.to_string());
    // Whatever else the name is on this machine.
    let here = ["localhost", "--address", "127.0.0.1"];
    let arguments = [&here[..], &["--port", &port, "--tls-port", &tls, "--json"]].concat();
    Found::of(&check(&[&arguments[..], more].concat(), &certificates.roots))
}

/// Looks at `fake` with its own credentials.
fn look(fake: &Fake, certificates: &Certificates, more: &[&str]) -> Found {
    let own = ["--user", USER, "--credential", SECRET, "--timeout-s", "1"];
    look_at(fake.ports, certificates, &[&own, more].concat())
}

#[test]
fn a_good_server_passes_every_check() {
    let folder = Folder::new("turn-good");
    let certificates = Certificates::make(&folder);
    let fake = Fake::start(Wrong::Nothing, certificates.server(Kind::Good));
    let found = look(&fake, &certificates, &[]);
    found.assert_failed(&[]);
    let names: Vec<_> = CHECKS.iter().filter(|name| found.results[**name] == "ok").collect();
    assert_eq!(names.len(), CHECKS.len(), "{}", found.text);
    assert!(!found.text.contains(SECRET), "the credential is not repeated");
}

#[test]
fn every_address_is_looked_at_and_a_dead_one_beside_a_good_one_fails() {
    let folder = Folder::new("turn-addresses");
    let certificates = Certificates::make(&folder);
    let fake = Fake::start(Wrong::Nothing, certificates.server(Kind::Good));
    let [port, tls] = fake.ports.map(|port| port.to_string());
    let ask = |addresses: &[&str]| {
        let addresses = addresses.iter().flat_map(|address| ["--address", address]);
        let at = ["--port", &port, "--tls-port", &tls, "--json", "--timeout-s", "1"];
        let own = ["localhost", "--user", USER, "--credential", SECRET];
        let arguments: Vec<&str> = own.into_iter().chain(at).chain(addresses).collect();
        let output = check(&arguments, &certificates.roots);
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        (output.status.code(), report)
    };
    // Nobody is at the second one of the loopback's addresses, as behind a record that was forgotten.
    let (code, report) = ask(&["127.0.0.1", "127.0.0.2"]);
    assert_eq!((code, &report["ok"]), (Some(1), &Value::Bool(false)), "{report}");
    let mut failed = BTreeMap::new();
    for line in report["checks"].as_array().expect("checks") {
        let address = line["address"].as_str().unwrap_or_default();
        *failed.entry(address.to_owned()).or_insert(0) += i32::from(line["result"] == "failed");
    }
    let expected = [("", 0), ("127.0.0.1", 0), ("127.0.0.2", 5)].map(|(at, n)| (at.to_owned(), n));
    assert_eq!(failed, BTreeMap::from(expected), "{report}");
    assert_eq!(ask(&["127.0.0.1"]).0, Some(0));
}

#[test]
fn each_wrong_is_found_where_it_is_and_nothing_else() {
    let folder = Folder::new("turn-wrong");
    let certificates = Certificates::make(&folder);
    let turn: &[&str] = &["turn-udp", "turn-tcp", "turn-tls"];
    let rows: [(Wrong, &[&str], &str); 9] = [
        (
            Wrong::SilentUdp,
            &["stun-udp", "stun-udp-second", "turn-udp"],
            "does not answer",
        ),
        (Wrong::NoTcp, &["turn-tcp"], "nobody listens"),
        (Wrong::NoTls, &["turn-tls"], "does not speak TLS"),
        (Wrong::AnyCredential, &["wrong-credential"], "anybody may use"),
        (Wrong::ForeignPeers, &["foreign-peers"], "169.254.169.254"),
        (Wrong::Refuses(401), turn, "refuses the credentials (401)"),
        (Wrong::Refuses(403), turn, "does not know the leg"),
        (Wrong::Refuses(486), turn, "quota"),
        (
            Wrong::Nonsense,
            &[
                "stun-udp",
                "stun-udp-second",
                "turn-udp",
                "turn-tcp",
                "turn-tls",
                "wrong-credential",
            ],
            "not as STUN and TURN servers do",
        ),
    ];
    for (wrong, failed, words) in rows {
        let fake = Fake::start(wrong, certificates.server(Kind::Good));
        let found = look(&fake, &certificates, &[]);
        println!("{wrong:?}: {:?}", found.results);
        found.assert_failed(failed);
        assert!(
            found.text.contains(words),
            "{wrong:?}: {words} is missing: {}",
            found.text
        );
    }
}

#[test]
fn a_certificate_is_judged_as_a_browser_judges_it_and_the_allocation_is_tried_all_the_same() {
    let folder = Folder::new("turn-certificates");
    let certificates = Certificates::make(&folder);
    for (kind, words) in [
        (Kind::OtherName, "turn.bank.example"),
        (Kind::Ended, "has ended"),
        (Kind::EndsSoon, "within 14 days"),
        (Kind::NotYet, "not valid yet"),
        (Kind::Unsigned, "nobody that this machine trusts"),
    ] {
        let fake = Fake::start(Wrong::Nothing, certificates.server(kind));
        let found = look(&fake, &certificates, &[]);
        found.assert_failed(&["certificate"]);
        assert_eq!(found.results["turn-tls"], "ok", "{}", found.text);
        let seen = &found.seen["certificate"];
        assert!(seen.contains(words), "{kind:?}: {seen}");
    }
}

#[test]
fn a_relay_of_others_may_lead_anywhere_and_a_shared_secret_makes_its_credentials() {
    let folder = Folder::new("turn-external");
    let certificates = Certificates::make(&folder);
    let fake = Fake::start(Wrong::ForeignPeers, certificates.server(Kind::Good));
    let found = look(&fake, &certificates, &["--external"]);
    found.assert_failed(&[]);
    assert_eq!(found.results["foreign-peers"], "skipped");

    let secret = folder.file("secret");
    std::fs::write(&secret, "shared\n").expect("written");
    let fake = Fake::start(Wrong::SharedSecret("shared"), certificates.server(Kind::Good));
    let with_secret = ["--secret-from", secret.to_str().expect("UTF-8")];
    look_at(fake.ports, &certificates, &with_secret).assert_failed(&[]);
    std::fs::write(&secret, "another\n").expect("written");
    look_at(fake.ports, &certificates, &with_secret).assert_failed(&["turn-udp", "turn-tcp", "turn-tls"]);
}

#[test]
fn what_makes_no_sense_is_wrong_usage_and_a_name_without_address_a_finding() {
    let folder = Folder::new("turn-usage");
    let nowhere = folder.file("no-roots");
    for arguments in [
        &["localhost", "--user", "x"][..],
        &["localhost", "--port", "0"],
        &["localhost", "--timeout-s", "61"],
        &["localhost", "--user", "x", "--credential", "y", "--secret-from", "z"],
        &[],
    ] {
        let output = check(arguments, &nowhere);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = check(&["no-such-host.invalid", "--json"], &nowhere);
    Found::of(&output).assert_failed(&["name"]);
}

#[test]
fn without_a_server_to_ask_the_credentials_are_what_is_missing() {
    let folder = Folder::new("turn-nobody");
    let certificates = Certificates::make(&folder);
    let fake = Fake::start(Wrong::Nothing, certificates.server(Kind::Good));
    let data = folder.file("empty");
    let found = look_at(
        fake.ports,
        &certificates,
        &["--data-dir", data.to_str().expect("UTF-8")],
    );
    found.assert_failed(&["credentials"]);
    assert_eq!(
        found.results["certificate"], "ok",
        "what needs none is looked at all the same"
    );
    assert!(found.text.contains("no service key"), "{}", found.text);
}
