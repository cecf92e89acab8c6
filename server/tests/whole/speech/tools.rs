//! The foreign programs that make speech, decode it and score it.
//!
//! Never downloads anything: `cargo xtask test --long` brings them, a test looks whether they are there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs on the search path.
const PROGRAMS: [&str; 3] = ["espeak-ng", "sox", "opusdec"];

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a crate lies in the repository")
}

/// The interpreter that has the scores; `cargo xtask test --long` makes it.
fn python() -> PathBuf {
    root().join("target/speech/bin/python")
}

/// What is missing here, if anything.
pub(super) fn missing() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let mut missing: Vec<String> = PROGRAMS.iter().filter(|p| !found(p)).map(|p| (*p).to_owned()).collect();
    if !python().is_file() {
        missing.push("pesq and pystoi in target/speech".to_owned());
    }
    (!missing.is_empty()).then(|| missing.join(", "))
}

/// An empty folder for what is made, left for an ear or a look: clips, recordings, what was heard.
pub(super) fn artefacts() -> PathBuf {
    let folder = root().join("target/test-artifacts/speech");
    // Fails where there was none before.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("target/ takes folders");
    folder
}

/// Runs a program; what it printed.
pub(super) fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|fault| panic!("{program}: {fault}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap_or_else(|fault| panic!("{program}: {fault}"))
}

/// How much of the reference is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    /// Wide-band PESQ, 1 to 4.64.
    pub(super) pesq: f64,
    /// Intelligibility, 0 to 1.
    pub(super) stoi: f64,
}

/// Scores pairs of a reference and what became of it, both mono at 16 kHz.
pub(super) fn score(pairs: &[(&Path, &Path)]) -> Vec<Score> {
    let script = root().join("xtask/score.py");
    let paths = pairs.iter().flat_map(|(reference, degraded)| [*reference, *degraded]);
    let text = run(
        &python().to_string_lossy(),
        std::iter::once(script.as_path()).chain(paths),
    );
    let scores: Vec<Score> = text.lines().map(line).collect();
    assert_eq!(scores.len(), pairs.len(), "{text}");
    scores
}

fn line(text: &str) -> Score {
    let mut numbers = text.split(' ').map(|word| word.parse().expect("a number"));
    let mut next = || numbers.next().expect("two numbers");
    Score {
        pesq: next(),
        stoi: next(),
    }
}
