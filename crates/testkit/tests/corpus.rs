//! Replays the committed fuzz corpus, and what little changes make of it, through the bodies of the fuzz targets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use testkit::counting::{Counting, aside, counted, forget, looking};
use testkit::fuzz::{Body, TARGETS, seeds};
use testkit::properties::seed;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Largest file of the corpus in bytes: what does not fit a datagram, a feed or an offer teaches nothing.
const FILE_BYTES_MAX: usize = 32 * 1_024;

/// How many times as many changed inputs a long run has (`HELPLINE_TEST_SIZE=long`).
const TIMES_LONG: usize = 20;

/// Long scripts of a target, and short ones of which each is made: about as many steps as a body takes.
const SCRIPTS: usize = 1_000;
const SCRIPTS_IN_A_ROW: usize = 24;

/// Most bytes that one input may make us allocate at once: what anybody can send must not cost memory. The tables of a
/// relay or a shard, which a body sets up before it reads its input, are not the input's doing, and the bodies leave them
/// out of the count.
const ALLOCATION_BYTES_MAX: usize = 64 * 1_024;

/// Shows the input that broke something.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the input: {:?}", self.0);
        }
    }
}

/// Bytes of the largest allocation that this input makes us do.
fn largest(body: Body, input: &[u8]) -> usize {
    let _shown = Shown(input);
    forget();
    looking(|| body(input));
    counted().largest
}

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
            let largest = largest(body, bytes);
            assert!(
                largest <= ALLOCATION_BYTES_MAX,
                "{} makes us allocate {largest} bytes at once",
                path.display()
            );
        }
    }
}

#[test]
fn what_an_input_makes_us_allocate_is_seen() {
    fn as_it_says(input: &[u8]) {
        std::hint::black_box(vec![1_u8; usize::from(input.first().copied().unwrap_or(0)) * 1_024]);
    }
    assert_eq!(largest(as_it_says, &[64]), ALLOCATION_BYTES_MAX);
    assert_eq!(largest(as_it_says, &[65]), 65 * 1_024);
    fn set_up(_: &[u8]) {
        std::hint::black_box(aside(|| vec![1_u8; 2 * ALLOCATION_BYTES_MAX]));
        std::hint::black_box(vec![1_u8; 7]);
    }
    assert_eq!(largest(set_up, &[]), 7, "what is set up is left out, and no more");
}

/// Chance below a limit, by the seed of this run.
fn chance() -> impl FnMut(usize) -> usize {
    // An xorshift never leaves 0.
    let mut state = seed().max(1);
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below.max(1)
    }
}

/// How many times as many inputs as before a commit.
fn times() -> usize {
    let long = std::env::var("HELPLINE_TEST_SIZE").is_ok_and(|size| size == "long");
    if long { TIMES_LONG } else { 1 }
}

/// One to four bytes put in, left out or replaced, or the end cut off.
fn change(bytes: &mut Vec<u8>, draw: &mut impl FnMut(usize) -> usize) {
    for _ in 0..=draw(4) {
        let at = draw(bytes.len());
        match draw(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), draw(256) as u8),
            _ if at < bytes.len() => bytes[at] = draw(256) as u8,
            _ => bytes.push(draw(256) as u8),
        }
    }
}

/// One short script reaches no state that many in a row do.
#[test]
fn scripts_in_a_row_with_little_changes_break_nothing() {
    let mut draw = chance();
    for (target, body) in TARGETS.iter().filter(|(target, _)| ["script", "turn"].contains(target)) {
        let inputs = inputs(target);
        for _ in 0..times() * SCRIPTS {
            let mut bytes = Vec::new();
            for _ in 0..SCRIPTS_IN_A_ROW {
                let mut part = inputs[draw(inputs.len())].1.clone();
                if draw(3) > 0 {
                    change(&mut part, &mut draw);
                }
                bytes.extend(part);
                bytes.push(draw(256) as u8);
            }
            let largest = largest(*body, &bytes);
            assert!(
                largest <= ALLOCATION_BYTES_MAX,
                "{target}: {largest} bytes at once, by {bytes:?}"
            );
        }
    }
}

/// A poor man's fuzzer, so that a body that always fails or never looks is found without one.
#[test]
fn the_corpus_with_little_changes_breaks_nothing() {
    let mut draw = chance();
    let times = times();
    for (target, body) in TARGETS {
        let inputs = inputs(target);
        let mut most = 0;
        // A handshake takes milliseconds, a packet less than one hundredth.
        let rounds = times * if target == "dtls" { 100 } else { 20_000 };
        for round in 0..rounds {
            let mut bytes = inputs[round % inputs.len()].1.clone();
            change(&mut bytes, &mut draw);
            let largest = largest(body, &bytes);
            assert!(
                largest <= ALLOCATION_BYTES_MAX,
                "{target}: {largest} bytes at once, by {bytes:?}"
            );
            most = most.max(largest);
        }
        println!("{target}: {rounds} inputs, at most {most} bytes at once");
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
