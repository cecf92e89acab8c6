//! Rules over the text of the sources.

use crate::{assert_none, root};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Longest source file in lines: beyond it a reader needs a table of contents, and that is two files.
const FILE_LINES_MAX: usize = 600;

/// Longer files, with the reason; this list only shrinks.
const LONGER: &[(&str, &str)] = &[];

/// Crates that are told the time and the chance.
const PURE: &[&str] = &[
    "crates/call-model",
    "crates/stun",
    "crates/media-core",
    "crates/recording",
    "crates/wire",
];

/// Parts of other crates of which the same is true.
const PURE_FOLDERS: &[&str] = &["turn-relay/src/core/"];

/// What a pure crate must not even name.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "OffsetDateTime::now",
    "Utc::now",
    "thread_rng",
    "rand::",
    "getrandom",
    "std::net::UdpSocket",
    "std::net::TcpStream",
    "std::fs",
    "File::open",
    "std::env",
    "std::thread",
];

/// Impure words that stay for a reason: file, word, how often, why. The counts only fall.
const IMPURE_ALLOWED: &[(&str, &str, usize, &str)] = &[];

/// Sleeps in tests that stay: file, how many, why. A test never sleeps until something has happened, which may be too
/// short, nor to show that nothing does, which a slow machine makes true: it looks for an event or counts turns of the
/// loop (`helpline_desk_turns_total`).
const SLEEPS: &[(&str, usize, &str)] = &[
    (
        "crates/desk/tests/outage.rs",
        4,
        "two between looks with a limit; two are the outage itself",
    ),
    (
        "crates/desk/tests/race.rs",
        1,
        "somebody who acts again and again while the race lasts",
    ),
    ("crates/desk/tests/recorder.rs", 1, "between looks with a limit"),
    ("crates/desk/tests/scene/eye.rs", 1, "between looks with a limit"),
    ("crates/desk/tests/scene/mod.rs", 4, "between looks with a limit"),
    ("crates/desk/tests/settings.rs", 1, "between looks with a limit"),
    ("server/tests/panels/prometheus.rs", 1, "between looks with a limit"),
    ("server/tests/whole/binary.rs", 1, "between looks with a limit: `until`"),
    (
        "server/tests/whole/crash.rs",
        1,
        "the moment of the crash, drawn by a seed",
    ),
    (
        "server/tests/whole/outage.rs",
        3,
        "how long the database is away, and the talk before and after it",
    ),
];

/// Every Rust source of the workspace: path from the root, text.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in [
        "server",
        "media-server",
        "signaling",
        "turn-relay",
        "api",
        "crates",
        "xtask",
        "benches",
        "loadtest",
        "fuzz",
    ] {
        collect(&root().join(folder), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(relative(&path), fs::read_to_string(&path).expect("sources are UTF-8"));
        }
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .map_or_else(|_| PathBuf::from(path), Path::to_path_buf)
        .to_string_lossy()
        .into_owned()
}

/// The product's part of a file: what stands before its unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.contains("/benches/") || path.ends_with("tests.rs")
}

#[test]
fn every_source_opens_with_what_it_is() {
    let findings: Vec<String> = sources()
        .iter()
        .filter(|(_, text)| !opens_with_words(text))
        .map(|(path, _)| path.clone())
        .collect();
    assert_none("A file does not open with `//!`:", &findings);
}

/// `//!` may follow inner attributes such as `#![no_main]`.
fn opens_with_words(text: &str) -> bool {
    text.lines()
        .find(|line| !line.starts_with("#![") && !line.is_empty())
        .is_some_and(|line| line.starts_with("//!"))
}

#[test]
fn no_source_is_longer_than_a_reader_can_hold() {
    let sources = sources();
    let mut findings: Vec<String> = sources
        .iter()
        .filter(|(path, text)| text.lines().count() > FILE_LINES_MAX && !LONGER.iter().any(|(known, _)| known == path))
        .map(|(path, text)| format!("{path}: {} lines", text.lines().count()))
        .collect();
    for (known, _) in LONGER {
        if sources
            .get(*known)
            .is_none_or(|text| text.lines().count() <= FILE_LINES_MAX)
        {
            findings.push(format!("{known} is short now: take it off the list"));
        }
    }
    assert_none("A file is too long:", &findings);
    let mut longest: Vec<_> = sources
        .iter()
        .map(|(path, text)| (text.lines().count(), path))
        .collect();
    longest.sort_unstable_by(|a, b| b.cmp(a));
    for (lines, path) in longest.iter().take(10) {
        println!("{lines:>5} {path}");
    }
}

#[test]
fn nothing_unfinished_is_left() {
    // Assembled, so that this file does not find itself.
    let words = [
        ["to", "do!("],
        ["dbg", "!("],
        ["unimpl", "emented!("],
        ["FIX", "ME"],
        ["XX", "X:"],
        ["TO", "DO"],
    ]
    .map(|w| w.concat());
    let mut findings = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            findings.extend(
                words
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{path}:{}: {word}", number + 1)),
            );
        }
    }
    assert_none("Unfinished work is left in the sources:", &findings);
}

#[test]
fn pure_crates_are_told_the_time_and_the_chance() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let in_crate = PURE.iter().any(|pure| path.starts_with(&format!("{pure}/src/")));
        let in_folder = PURE_FOLDERS.iter().any(|folder| path.starts_with(folder));
        if is_test(&path) || !(in_crate || in_folder) {
            continue;
        }
        let code: String = product(&text)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        for word in IMPURE {
            let seen = code.matches(word).count();
            let allowed = IMPURE_ALLOWED
                .iter()
                .find(|(p, w, ..)| *p == path && w == word)
                .map_or(0, |(_, _, n, _)| *n);
            if seen != allowed {
                findings.push(format!("{path}: `{word}` {seen} times, {allowed} allowed"));
            }
        }
    }
    assert_none("A pure crate reads the world by itself:", &findings);
}

#[test]
fn no_test_sleeps_to_wait() {
    let mut findings = Vec::new();
    let mut expected: BTreeMap<&str, usize> = SLEEPS.iter().map(|(path, count, _)| (*path, *count)).collect();
    for (path, text) in sources() {
        let tests = if is_test(&path) {
            text.as_str()
        } else {
            text.strip_prefix(product(&text)).unwrap_or_default()
        };
        let code = tests.lines().filter(|line| !line.trim_start().starts_with("//"));
        let seen = code.map(sleeps).sum::<usize>();
        let allowed = expected.remove(path.as_str()).unwrap_or(0);
        if seen != allowed {
            findings.push(format!("{path}: {seen} times, {allowed} allowed"));
        }
    }
    findings.extend(
        expected
            .keys()
            .map(|path| format!("{path} is gone: take it off the list")),
    );
    assert_none("A test sleeps:", &findings);
}

/// Calls of a function `sleep`, `sleep_until` or `sleep_ms` in a line.
fn sleeps(line: &str) -> usize {
    let whole = |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"');
    ["sleep(", "sleep_until(", "sleep_ms("]
        .iter()
        .flat_map(|word| line.match_indices(word))
        .filter(|(at, _)| whole(*at))
        .count()
}

#[test]
fn every_property_is_drawn_by_a_seed_that_can_be_given() {
    // Assembled, so that this file does not find itself.
    let (block, config) = (
        ["propte", "st! {"].concat(),
        ["#![proptest_config(testkit::", "properties::"].concat(),
    );
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let (blocks, configs) = (text.matches(&block).count(), text.matches(&config).count());
        if blocks != configs {
            findings.push(format!("{path}: {blocks} blocks of properties, {configs} with a seed"));
        }
    }
    assert_none("A property does not heed HELPLINE_SEED:", &findings);
}

#[test]
fn every_limit_says_why() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let is_limit =
                (code.starts_with("const ") || code.starts_with("pub const ") || code.starts_with("pub(crate) const "))
                    && code.split(':').next().is_some_and(|name| name.ends_with("_MAX"));
            // Attributes may stand between the words and the constant.
            let above = lines
                .iter()
                .take(index)
                .rev()
                .find(|line| !line.trim_start().starts_with("#["));
            if is_limit && !above.is_some_and(|line| line.trim_start().starts_with("///")) {
                findings.push(format!("{path}:{}: {code}", index + 1));
            }
        }
    }
    assert_none("A limit has no words beside it:", &findings);
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    let rooms = [
        "crates/udp/src/",
        "crates/pages/src/",
        "media-server/src/ring.rs",
        "media-server/src/ring/",
        "media-server/src/affinity.rs",
        "crates/recording/src/",
        "crates/testkit/src/",
        "crates/local-postgres/src/",
        "loadtest/src/",
    ];
    let findings: Vec<String> = sources()
        .iter()
        .filter(|(path, text)| {
            let lifted = text.contains("expect(unsafe_code") || text.contains("allow(unsafe_code");
            lifted && !is_test(path) && !rooms.iter().any(|room| path.starts_with(room))
        })
        .map(|(path, _)| path.clone())
        .collect();
    assert_none("Unsafe code outside its rooms:", &findings);
}
