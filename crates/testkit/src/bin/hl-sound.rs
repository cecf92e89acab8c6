//! Makes the known signals and judges what was heard; for tests that are not written in Rust.
//!
//! `hl-sound make up|down FILE`, `hl-sound compare SOURCE HEARD [CHANNEL [SKIP_SECONDS]]`,
//! `hl-sound trace SOURCE HEARD CHANNEL WINDOW_MS` (the last two print JSON).

use std::{path::Path, process::ExitCode};
use testkit::sound::{compare, signal, wav};

const HELP: &str = "hl-sound make up|down FILE\nhl-sound compare SOURCE HEARD [CHANNEL [SKIP_SECONDS]]\n\
    hl-sound trace SOURCE HEARD CHANNEL WINDOW_MS";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["make", "up", file] => make(signal::Direction::Up, file),
        ["make", "down", file] => make(signal::Direction::Down, file),
        ["compare", source, heard] => judge(source, heard, "0", "0"),
        ["compare", source, heard, channel] => judge(source, heard, channel, "0"),
        ["compare", source, heard, channel, skip] => judge(source, heard, channel, skip),
        ["trace", source, heard, channel, window] => trace(source, heard, channel, window),
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

fn number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|e| format!("{word}: {e}"))
}

fn judge(source: &str, heard: &str, channel: &str, skip: &str) -> Result<(), String> {
    let (source, source_rate) = wav::read(Path::new(source), 0)?;
    let (heard, heard_rate) = wav::read(Path::new(heard), number(channel)?)?;
    let verdict = compare::compare((&source, source_rate), (&heard, heard_rate), number(skip)?);
    let mut report = of(&verdict.windows);
    report["median"] = verdict.median.into();
    report["silent"] = verdict.silent.into();
    println!("{report}");
    Ok(())
}

fn trace(source: &str, heard: &str, channel: &str, window: &str) -> Result<(), String> {
    let (source, source_rate) = wav::read(Path::new(source), 0)?;
    let (heard, heard_rate) = wav::read(Path::new(heard), number(channel)?)?;
    let windows = compare::trace((&source, source_rate), (&heard, heard_rate), number(window)?);
    println!("{}", of(&windows));
    Ok(())
}

/// Correlations to four digits, and where in the source they are, in seconds.
fn of(windows: &[compare::Window]) -> serde_json::Value {
    let correlations: Vec<_> = windows.iter().map(|w| (w.correlation * 1e4).round() / 1e4).collect();
    let places: Vec<_> = windows.iter().map(|w| w.place_s).collect();
    serde_json::json!({ "windows": correlations, "places": places })
}
