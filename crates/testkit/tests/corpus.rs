//! Replays the committed fuzz corpus, and what little changes make of it, through the bodies of the fuzz targets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use testkit::fuzz::{TARGETS, seeds};

/// Largest file of the corpus in bytes: what does not fit a datagram, a feed or an offer teaches nothing.
const FILE_BYTES_MAX: usize = 32 * 1_024;

/// How many times as many changed inputs a long run has (`HELPLINE_TEST_SIZE=long`).
const TIMES_LONG: usize = 20;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus().join(target)).expect("every target has a folder");
    let files = entries.map(|entry| entry.expect("a readable folder").path());
    let mut inputs: Vec<_> = files
        .map(|path| {
            let bytes = fs::read(&path).expect("a readable file");
            (path, bytes)
        })
        .collect();
    inputs.sort();
    inputs
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other origin; nothing depends on it"
)]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn the_kept_corpus_breaks_nothing() {
    for (target, body) in TARGETS {
        let inputs = inputs(target);
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for (path, bytes) in &inputs {
            assert!(bytes.len() <= FILE_BYTES_MAX, "{} is too large", path.display());
            body(bytes);
        }
    }
}

/// A poor man's fuzzer, so that a body that always fails or never looks is found without one.
#[test]
fn the_corpus_with_little_changes_breaks_nothing() {
    let mut state = 0x1234_5678_9ABC_DEF1u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below.max(1)
    };
    let long = std::env::var("HELPLINE_TEST_SIZE").is_ok_and(|size| size == "long");
    let times = if long { TIMES_LONG } else { 1 };
    for (target, body) in TARGETS {
        let inputs = inputs(target);
        // A handshake takes milliseconds, a packet less than one hundredth.
        let rounds = times * if target == "dtls" { 100 } else { 20_000 };
        for round in 0..rounds {
            let mut bytes = inputs[round % inputs.len()].1.clone();
            for _ in 0..=draw(4) {
                let at = draw(bytes.len());
                match draw(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at.min(bytes.len()), draw(256) as u8),
                    _ if at < bytes.len() => bytes[at] = draw(256) as u8,
                    _ => bytes.push(draw(256) as u8),
                }
            }
            body(&bytes);
        }
    }
}

#[test]
fn every_seed_is_in_the_corpus() {
    for seed in seeds(now()) {
        let path = corpus().join(seed.target).join(seed.name);
        let kept = fs::read(&path).unwrap_or_else(|_| panic!("{} is missing: run hl-seeds", path.display()));
        // A recorded handshake is another one each time.
        assert!(
            (seed.target, seed.name) == ("dtls", "handshake") || kept == seed.bytes,
            "{} is no longer what hl-seeds makes",
            path.display()
        );
    }
}

#[test]
fn every_target_is_handed_to_the_fuzzer() {
    let folder = corpus().join("../fuzz_targets");
    let manifest = fs::read_to_string(corpus().join("../Cargo.toml")).expect("the fuzzer's manifest");
    for (target, _) in TARGETS {
        let source = fs::read_to_string(folder.join(format!("{target}.rs"))).expect("a source per target");
        assert!(source.contains(&format!("testkit::fuzz::{target}(data)")), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
}
