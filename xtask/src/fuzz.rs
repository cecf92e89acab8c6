//! Runs the libFuzzer targets of `fuzz/`: builds them with a nightly compiler, feeds each for some minutes, counts.
//!
//! Never installs a compiler: it says how. What was fuzzed is what is shipped: the lock file is the workspace's.
//!
//! Inputs that reach new code are kept in `fuzz/grown/TARGET` and are where the next run begins; `fuzz/corpus/TARGET`,
//! which the tests replay, is only read. What breaks lies in `fuzz/artifacts/TARGET`.

use crate::{
    setup::{self, FOR_FUZZ},
    shell::{self, Outcome, command},
    tally::Tally,
};
use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

/// The compiler that has the sanitizers.
const TOOLCHAIN: &str = "nightly";
/// What is done without an option, minutes per target.
const MINUTES: u64 = 10;
/// What `cargo xtask test --long` does, minutes per target.
pub(crate) const MINUTES_OF_LONG: u64 = 1;
/// What makes a program that libFuzzer can steer and that stops at the first bad access: coverage, AddressSanitizer, and
/// the checks of a debug build.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Clink-dead-code -Zsanitizer=address \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";
/// Longest input of most targets, bytes: more than a datagram.
const INPUT_BYTES: u32 = 4_096;
/// Longest input of the others: a description, a flight of a handshake, a message, a stream.
const LONGER: [(&str, u32); 5] = [
    ("sdp", 40_000),
    ("whip", 40_000),
    ("dtls", 12_000),
    ("message", 16_384),
    ("turn_stream", 8_192),
];
/// Longest time of one input, seconds: beyond it, it is a finding. In the product's build it is a millisecond; sanitizers and
/// checks make that some tens, and a script that lets hours pass some hundreds.
/// Higher: an input whose time grows with its square passes. Lower: a busy machine makes findings, for libFuzzer counts by
/// the clock on the wall.
const INPUT_S: u32 = 5;
/// Most memory of a target, megabytes: beyond it, the input is a finding.
const MEMORY_MB: u32 = 3_000;

/// `cargo xtask fuzz [TARGET …] [--minutes N]`.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    let (targets, minutes) = read(arguments, &targets()?)?;
    if let Some(reason) = missing() {
        return Err(reason);
    }
    let mut tally = Tally::default();
    if tally.check("tools", || setup::install(FOR_FUZZ)) {
        fuzz(&mut tally, &targets, minutes);
    }
    tally.close()
}

/// Every target for a minute. Who asked for all that is slow and has not what it takes is told so by a failure.
pub(crate) fn long(tally: &mut Tally) {
    let able = missing().map_or(Ok(()), Err);
    each(
        tally,
        able.and_then(|()| setup::install(FOR_FUZZ)).and_then(|()| targets()),
    );
}

/// Feeds all of them, or fails for the reason why there are none.
fn each(tally: &mut Tally, targets: Outcome<Vec<String>>) {
    match targets {
        Ok(targets) => fuzz(tally, &targets, MINUTES_OF_LONG),
        Err(reason) => drop(tally.check("fuzzing", || Err(reason))),
    }
}

/// Why nothing can be fuzzed here; `None` when it can.
fn missing() -> Option<String> {
    let compiler = shell::output(&mut nightly(&["rustc", "--version"]));
    compiler.is_none().then(|| {
        format!(
            "the sanitizers need a {TOOLCHAIN} compiler: `rustup toolchain install {TOOLCHAIN} --profile minimal`, \
             then try again"
        )
    })
}

/// A command of the nightly compiler, run in `fuzz/`.
fn nightly(words: &[&str]) -> Command {
    let mut whole = vec!["run", TOOLCHAIN];
    whole.extend(words);
    command("fuzz", "rustup", &whole)
}

/// Every target there is, by its source.
fn targets() -> Outcome<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// The wanted targets, all if none is named, and minutes for each.
fn read(arguments: &[&str], all: &[String]) -> Outcome<(Vec<String>, u64)> {
    let (mut wanted, mut minutes) = (Vec::new(), MINUTES);
    let mut words = arguments.iter();
    while let Some(&word) = words.next() {
        if word == "--minutes" {
            let number = words.next().and_then(|text| text.parse().ok()).filter(|n| *n > 0);
            minutes = number.ok_or("--minutes needs a number from 1 on")?;
        } else if all.iter().any(|name| name == word) {
            wanted.push(word.to_owned());
        } else {
            return Err(format!("no target is called `{word}`; there are: {}", all.join(", ")));
        }
    }
    Ok((if wanted.is_empty() { all.to_vec() } else { wanted }, minutes))
}

/// Builds, then feeds one after the other; prints a table.
fn fuzz(tally: &mut Tally, targets: &[String], minutes: u64) {
    let mut place = None;
    if !tally.check("fuzz targets", || {
        place = Some(build(targets)?);
        Ok(())
    }) {
        return;
    }
    let Some(place) = place else { return };
    let mut table = vec![format!(
        "{:<16} {:>12} {:>8} {:>10} {:>10}",
        "target", "inputs", "cover", "kept", "findings"
    )];
    for target in targets {
        tally.check(&format!("fuzz {target}"), || {
            let figures = feed(&place, target, minutes * 60)?;
            table.push(format!(
                "{target:<16} {:>12} {:>8} {:>10} {:>10}",
                figures.inputs, figures.cover, figures.kept, figures.findings
            ));
            println!("{}", table.last().map_or("", String::as_str));
            if figures.findings > 0 || !figures.ended_well {
                let log = shell::root().join(log(target));
                return Err(format!("see fuzz/artifacts/{target} and {}", log.display()));
            }
            Ok(())
        });
    }
    println!("\n{}", table.join("\n"));
}

/// Where a target's words go, relative to the root.
fn log(target: &str) -> String {
    format!("fuzz/target/{target}.log")
}

/// Builds the targets; the folder of the programs, relative to the root.
fn build(targets: &[String]) -> Outcome<String> {
    let about = shell::output(&mut nightly(&["rustc", "--version", "--verbose"]));
    let about = about.ok_or("the nightly compiler does not say what it is")?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("the nightly compiler does not say its host")?;
    // The versions of the product; cargo adds the fuzzer's own library.
    let (lock, copy) = (shell::root().join("Cargo.lock"), shell::root().join("fuzz/Cargo.lock"));
    fs::copy(lock, copy).map_err(|e| format!("Cargo.lock: {e}"))?;
    let mut words = vec![
        "cargo",
        "build",
        "--release",
        "--target",
        host,
        "--target-dir",
        "target",
    ];
    for target in targets {
        words.extend(["--bin", target]);
    }
    shell::run(nightly(&words).env("RUSTFLAGS", FLAGS))?;
    Ok(format!("fuzz/target/{host}/release"))
}

/// What became of one target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    /// Inputs that it was given.
    inputs: u64,
    /// Places in the code that they reached, as libFuzzer counts.
    cover: u64,
    /// Inputs in the kept folder now.
    kept: usize,
    /// Inputs that broke it, of this run.
    findings: usize,
    /// That the program itself said so.
    ended_well: bool,
}

/// Feeds one target for `seconds`.
fn feed(place: &str, target: &str, seconds: u64) -> Outcome<Figures> {
    let root = shell::root();
    let (grown, artifacts) = (format!("fuzz/grown/{target}"), format!("fuzz/artifacts/{target}"));
    for folder in [&grown, &artifacts] {
        fs::create_dir_all(root.join(folder)).map_err(|e| format!("{folder}: {e}"))?;
    }
    let before = files(&root.join(&artifacts));
    let said = root.join(log(target));
    let file = File::create(&said).map_err(|e| format!("{}: {e}", said.display()))?;
    let length = LONGER
        .iter()
        .find(|(name, _)| *name == target)
        .map_or(INPUT_BYTES, |(_, n)| *n);
    let mut fuzzer = command(
        "",
        root.join(place).join(target),
        &[&grown, &format!("fuzz/corpus/{target}")],
    );
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={length}"))
        .arg(format!("-timeout={INPUT_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-artifact_prefix={artifacts}/"))
        .arg("-print_final_stats=1")
        .stderr(file);
    let status = fuzzer.status().map_err(|e| format!("{target} did not start: {e}"))?;
    let text = fs::read(&said).map_err(|e| format!("{}: {e}", said.display()))?;
    let (inputs, cover) = told(&String::from_utf8_lossy(&text));
    Ok(Figures {
        inputs,
        cover,
        kept: files(&root.join(&grown)),
        findings: files(&root.join(&artifacts)).saturating_sub(before),
        ended_well: status.success(),
    })
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, |entries| entries.flatten().count())
}

/// Inputs and reached places, by the words of libFuzzer: its last line of progress, and its closing figures.
fn told(text: &str) -> (u64, u64) {
    let after = |word: &str| {
        let (_, rest) = text.rsplit_once(word)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    (
        after("stat::number_of_executed_units:").unwrap_or(0),
        after(" cov: ").unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_minutes_are_read_and_a_wrong_name_says_what_there_is() {
        let all = targets().expect("the folder of targets");
        assert!(all.iter().any(|name| name == "sdp"));
        assert_eq!(read(&[], &all), Ok((all.clone(), MINUTES)));
        let wanted = vec!["sdp".to_owned(), "rtp".to_owned()];
        assert_eq!(read(&["sdp", "--minutes", "3", "rtp"], &all), Ok((wanted, 3)));
        for wrong in [&["--minutes"][..], &["--minutes", "0"], &["--minutes", "x"]] {
            assert!(read(wrong, &all).is_err(), "{wrong:?}");
        }
        let refusal = read(&["spd"], &all).expect_err("no such target");
        assert!(all.iter().all(|name| refusal.contains(name)), "{refusal}");
        for (name, _) in LONGER {
            assert!(all.iter().any(|known| known == name), "{name} is no target any more");
        }
    }

    #[test]
    fn the_long_run_fails_where_nothing_can_be_fuzzed() {
        let mut tally = Tally::default();
        each(&mut tally, Err("no compiler".to_owned()));
        assert!(tally.close().is_err());
    }

    #[test]
    fn the_figures_of_libfuzzer_are_read() {
        let text = "#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#900\tNEW    cov: 345 ft: 400 corp: 9/80b\n\
            Done 1000 runs in 61 second(s)\nstat::number_of_executed_units: 1000\nstat::new_units_added: 8\n";
        assert_eq!(told(text), (1_000, 345));
        assert_eq!(told("died at once"), (0, 0));
    }
}
