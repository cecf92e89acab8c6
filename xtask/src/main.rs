//! The project's own commands: `cargo xtask up | test | e2e | web | bench | fuzz`.
//!
//! A crate without dependencies, so that the first command of a newcomer compiles in a second. It never decides what
//! is right or wrong with the product: it installs, builds, runs the checks and counts their results.
#![forbid(unsafe_code)]

mod bench;
mod checks;
mod clock;
mod foreign;
mod fuzz;
mod rust;
mod scenarios;
mod setup;
mod shell;
mod speech;
mod tally;
mod up;
mod web;

use shell::Outcome;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask up [--no-run]      install what is missing, build all, start the demo and print its addresses
cargo xtask test [--quick]     every check and test; --quick leaves out browsers and installs nothing
                 [--long]      adds what is slow: Firefox, a foreign client, speech quality, fuzzing, large repetitions
cargo xtask e2e [--only NAME]  whole product in real browsers against the real binary; NAME.e2e.ts of web/e2e alone, at full length
cargo xtask web                build the pages into web/dist
cargo xtask bench [--keep]     micro-benches and the kernel floor; marks what is dearer than when it was last kept
cargo xtask fuzz [TARGET …] [--minutes N]
                               the libFuzzer targets of fuzz/, ten minutes each by default; needs a nightly compiler
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.split_first() {
        Some((&"up", rest)) => up::run(rest),
        Some((&"test", rest)) => checks::run(rest),
        Some((&"e2e", rest)) => checks::end_to_end(rest),
        Some((&"web", _)) => setup::install(setup::FOR_WEB).and_then(|()| web::build()),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"fuzz", rest)) => fuzz::run(rest),
        Some((&"help" | &"--help" | &"-h", _)) => {
            print!("{HELP}");
            Ok(())
        }
        other => {
            eprint!("{HELP}");
            Err(match other {
                Some((word, _)) => format!("unknown command: {word}"),
                None => "which command?".to_owned(),
            })
        }
    };
    finish(outcome)
}

fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}
