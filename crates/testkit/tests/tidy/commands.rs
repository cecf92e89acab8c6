//! The documents' commands: whoever copies one must get what it promises, and not a green run of nothing.
//!
//! Looks at `--only NAME`, `--test NAME FILTER` and `--bench NAME`. A word all in capitals stands for one of the
//! reader's choice. What the commands do when they are run, the tests themselves say.

use crate::{assert_none, documents::tracked, root};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Options of `cargo test` and `cargo bench` that take a word of their own.
const WITH_VALUE: &[&str] = &["-p", "--package", "--profile", "--features", "--test", "--bench"];

#[test]
fn every_scenario_that_is_named_exists() {
    let mut findings = Vec::new();
    let mut named = 0;
    for (path, text) in tracked() {
        if !path.ends_with(".md") && !path.ends_with(".ts") {
            continue;
        }
        for rest in text.split("--only ").skip(1) {
            // A name in quotation marks would have a space in it, which no file of ours has.
            let name = rest
                .split(|c: char| !(c.is_alphanumeric() || "-_\"".contains(c)))
                .next()
                .unwrap_or_default();
            named += 1;
            if !is_choice(name) && !root().join(format!("web/e2e/{name}.e2e.ts")).exists() {
                findings.push(format!("{path}: --only {name}"));
            }
        }
    }
    assert!(named > 0, "the documents name no scenario: is this test blind?");
    assert_none("A command names a scenario that is not in web/e2e:", &findings);
}

#[test]
fn every_test_and_bench_that_is_named_exists() {
    let mut findings = Vec::new();
    let mut named = 0;
    for (path, text) in tracked() {
        if !path.ends_with(".md") {
            continue;
        }
        let mut last: Vec<String> = Vec::new();
        for code in codes(&text) {
            let mut words: Vec<String> = code.split_whitespace().map(str::to_owned).collect();
            // `... NAME` is the command before with another filter.
            if words.first().is_some_and(|word| word == "...") {
                let mut whole = last.clone();
                whole.pop();
                whole.extend(words.into_iter().skip(1));
                words = whole;
            } else if code.contains("cargo test") {
                last.clone_from(&words);
            }
            let command = Command::read(&words);
            named += usize::from(command.test.is_some() || command.bench.is_some());
            if let Some(what) = command.missing() {
                findings.push(format!("{path}: `{code}`: {what}"));
            }
        }
    }
    assert!(named > 0, "the documents name no test: is this test blind?");
    assert_none("A command names a test that does not exist:", &findings);
}

/// What a reader sees as code: each inline span in one line, each line of a fenced block.
fn codes(text: &str) -> Vec<String> {
    let pieces: Vec<&str> = text.split('`').collect();
    let mut found = Vec::new();
    for (index, piece) in pieces.iter().enumerate().skip(1).step_by(2) {
        // Three marks in a row leave two empty pieces before the block.
        if pieces.get(index - 1).is_some_and(|before| before.is_empty()) {
            found.extend(piece.lines().skip(1).map(str::to_owned));
        } else if !piece.is_empty() {
            found.push(piece.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    found
}

/// A word that stands for one of the reader's choice, such as `NAME`.
fn is_choice(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase())
}

/// What a command says about tests.
#[derive(Default)]
struct Command {
    package: Option<String>,
    test: Option<String>,
    bench: Option<String>,
    filter: Option<String>,
}

impl Command {
    /// Empty for words that run no test.
    fn read(words: &[String]) -> Self {
        let mut command = Self::default();
        let begin = words.windows(2).position(|two| two[0] == "cargo" && two[1] == "test");
        let options = words.first().is_some_and(|word| word.starts_with("--"));
        let rest = match begin {
            Some(at) => &words[at + 2..],
            None if options => words,
            None if words.iter().any(|word| word == "--bench") => words,
            None => return command,
        };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                break;
            }
            if WITH_VALUE.contains(&word.as_str()) {
                let value = rest.next().filter(|value| !is_choice(value)).cloned();
                match word.as_str() {
                    "-p" | "--package" => command.package = value,
                    "--test" => command.test = value,
                    "--bench" => command.bench = value,
                    _ => {}
                }
            } else if begin.is_some() && !word.starts_with('-') {
                command.filter = Some(word.trim_end_matches(',').to_owned());
            }
        }
        command
    }

    /// What of it there is not.
    fn missing(&self) -> Option<String> {
        if let Some(bench) = &self.bench
            && !root().join(format!("benches/benches/{bench}.rs")).exists()
        {
            return Some(format!("no bench {bench}"));
        }
        let packages = match &self.package {
            Some(name) => match package(name) {
                Some(folder) => vec![folder],
                None => return Some(format!("no package {name}")),
            },
            None => members(),
        };
        let tests: Vec<String> = match &self.test {
            Some(name) => {
                let of = |folder: &PathBuf| {
                    let (file, room) = (folder.join(format!("tests/{name}.rs")), folder.join("tests").join(name));
                    if file.exists() {
                        Some(tests_of(&file))
                    } else {
                        room.exists().then(|| tests_of(&room))
                    }
                };
                let found: Vec<Vec<String>> = packages.iter().filter_map(of).collect();
                if found.is_empty() {
                    return Some(format!("no test file {name}"));
                }
                found.concat()
            }
            None if self.filter.is_some() => packages.iter().flat_map(|folder| tests_of(folder)).collect(),
            None => return None,
        };
        match &self.filter {
            Some(filter) if !tests.iter().any(|test| test.contains(filter.as_str())) => {
                Some(format!("no test matches {filter}"))
            }
            _ => tests.is_empty().then(|| "it has no test".to_owned()),
        }
    }
}

/// The folders of all packages.
fn members() -> Vec<PathBuf> {
    let in_folder = |folder: PathBuf| {
        let entries = fs::read_dir(folder).expect("a folder of the workspace").flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.join("Cargo.toml").exists())
            .collect::<Vec<_>>()
    };
    [in_folder(root()), in_folder(root().join("crates"))].concat()
}

/// The folder of a package by its name.
fn package(name: &str) -> Option<PathBuf> {
    let line = format!("name = \"{name}\"");
    members().into_iter().find(|folder| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("a readable manifest");
        manifest.lines().find(|text| text.starts_with("name = ")) == Some(&line)
    })
}

/// The tests in a file or below a folder, each with its modules before it as far as files make them.
fn tests_of(place: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(place, "", &mut found);
    found
}

fn collect(place: &Path, modules: &str, found: &mut Vec<String>) {
    if place.is_dir() {
        for path in fs::read_dir(place)
            .expect("a folder")
            .flatten()
            .map(|entry| entry.path())
        {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let inner = if ["main", "mod", "lib", "src", "tests"].contains(&stem.as_str()) {
                modules.to_owned()
            } else {
                format!("{modules}{stem}::")
            };
            if stem != "target" && (path.is_dir() || path.extension().is_some_and(|e| e == "rs")) {
                collect(&path, &inner, found);
            }
        }
        return;
    }
    let mut marked = false;
    for line in fs::read_to_string(place).expect("sources are UTF-8").lines() {
        let line = line.trim_start();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && std::mem::take(&mut marked)
        {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            found.push(format!("{modules}{name}"));
        }
    }
}

#[test]
fn a_command_is_read_as_cargo_reads_it() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for wrong in [
        "cargo test -p helpline --test whole nobody_wrote_this",
        "cargo test -p helpline --test hole drain",
        "cargo test -p nobody --test whole",
        "cargo test -p media-server nobody_wrote_this -- --nocapture",
        "--test nobody_wrote_this",
        "cargo xtask bench --bench nothing",
    ] {
        assert!(Command::read(&words(wrong)).missing().is_some(), "{wrong}");
    }
    for right in [
        "A=1 cargo test --profile test-release -p helpline --test whole drain -- --nocapture",
        "cargo test --profile test-release -p NAME",
        "cargo xtask bench --bench forward",
        "a text with cargo in it",
    ] {
        assert_eq!(Command::read(&words(right)).missing(), None, "{right}");
    }
    assert_eq!(codes("a `b\nc` d\n```\ne f\ng\n```\n"), ["b c", "e f", "g"]);
}
