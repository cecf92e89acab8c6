//! Makes the known signals and judges what was heard; for tests that are not written in Rust.
//!
//! `hl-sound make up|down FILE`, `hl-sound compare SOURCE HEARD [CHANNEL [SKIP_SECONDS]]` (prints JSON).

use std::{path::Path, process::ExitCode};
use testkit::sound::{compare, signal, wav};

const HELP: &str = "hl-sound make up|down FILE\nhl-sound compare SOURCE HEARD [CHANNEL [SKIP_SECONDS]]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["make", "up", file] => make(signal::Direction::Up, file),
        ["make", "down", file] => make(signal::Direction::Down, file),
        ["compare", source, heard] => judge(source, heard, "0", "0"),
        ["compare", source, heard, channel] => judge(source, heard, channel, "0"),
        ["compare", source, heard, channel, skip] => judge(source, heard, channel, skip),
        _ => Err(HELP.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn make(direction: signal::Direction, file: &str) -> Result<(), String> {
    wav::write(Path::new(file), &signal::chirp(direction), signal::RATE)
}

fn judge(source: &str, heard: &str, channel: &str, skip: &str) -> Result<(), String> {
    let number = |word: &str| word.parse::<usize>().map_err(|e| format!("{word}: {e}"));
    let (source, source_rate) = wav::read(Path::new(source), 0)?;
    let (heard, heard_rate) = wav::read(Path::new(heard), number(channel)?)?;
    let verdict = compare::compare((&source, source_rate), (&heard, heard_rate), number(skip)?);
    let windows: Vec<_> = verdict
        .windows
        .iter()
        .map(|w| (w.correlation * 1e4).round() / 1e4)
        .collect();
    let places: Vec<_> = verdict.windows.iter().map(|w| w.place_s).collect();
    let report = serde_json::json!({
        "median": verdict.median,
        "silent": verdict.silent,
        "windows": windows,
        "places": places,
    });
    println!("{report}");
    Ok(())
}
