//! Load generator: what a media server costs per packet, beside what the bare kernel costs in the same run; what joins
//! do to calls that are on; how many listeners a shard serves; what hours leave behind.
//!
//! A library with a thin binary, so that the tests of the whole product can run it against a server of theirs. Never
//! asserts on a time: it prints figures.

mod calls;
mod chart;
mod child;
mod client;
mod clock;
mod coturn;
mod echo;
mod fanout;
mod faults;
mod flood;
mod floor;
mod generator;
mod html;
mod joins;
mod making;
mod media;
mod options;
mod pace;
mod payload;
mod progress;
mod rank;
mod raw;
mod recorded;
mod recording;
mod relay;
mod report;
mod road;
mod sampler;
mod server;
mod soak;
mod speaking;
mod spurt;
mod system;
mod turn;
mod watch;

use std::error::Error;
use std::time::Duration;

use clap::Parser;

pub use options::Arguments;
use options::Command;
use server::Server;
pub use watch::{Moment, Watch};

/// What ended a run.
pub type Fault = Box<dyn Error + Send + Sync>;

/// Time in which caches and socket queues settle before anything is counted.
const WARM: Duration = Duration::from_secs(2);

/// Runs what the words of a command line say, the program's name first; the figures.
///
/// # Errors
/// What kept the run from its end, or what is wrong with the words.
pub fn run_words(words: &[&str]) -> Result<serde_json::Value, Fault> {
    run_watched(words, Watch::default())
}

/// The same. `watch` is told when a measured window begins and when it is over, by `calls` alone: what is done to a server
/// in between happens while packets count.
///
/// # Errors
/// As of [`run_words`].
pub fn run_watched(words: &[&str], watch: Watch) -> Result<serde_json::Value, Fault> {
    let arguments = Arguments::try_parse_from(words)?;
    let report = measure(&arguments, watch)?.ok_or("this command has no figures")?;
    write_page(&arguments, &report)?;
    Ok(report.figures)
}

/// Runs what the arguments say, and prints it.
///
/// # Errors
/// What kept the run from its end.
pub fn run(arguments: &Arguments) -> Result<(), Fault> {
    let Some(report) = measure(arguments, Watch::default())? else {
        return Ok(());
    };
    if arguments.wants_json() {
        println!("{}", report.figures);
    } else {
        print!("{}", report::lines(&report.figures));
    }
    write_page(arguments, &report)
}

fn write_page(arguments: &Arguments, report: &report::Report) -> Result<(), Fault> {
    let Some(path) = arguments.html() else { return Ok(()) };
    std::fs::write(path, html::page(report)).map_err(|fault| format!("{}: {fault}", path.display()).into())
}

fn measure(arguments: &Arguments, watch: Watch) -> Result<Option<report::Report>, Fault> {
    let command = &arguments.command;
    match command {
        Command::ServeMedia { shards } => {
            media::serve(*shards)?;
            return Ok(None);
        }
        Command::ServeRelay { own_thread } => {
            relay::serve(*own_thread)?;
            return Ok(None);
        }
        Command::ServeEcho => {
            echo::serve()?;
            return Ok(None);
        }
        Command::Calls(_)
        | Command::Floor(_)
        | Command::Joins(_)
        | Command::Fanout(_)
        | Command::Recording(_)
        | Command::Soak(_)
        | Command::Turn(_) => {}
    }
    let cores = std::thread::available_parallelism()?.get();
    // On one core the generator and the server would only measure each other.
    if cores < 2 {
        return Err("two cores are needed: one for the generator, one for the shard".into());
    }
    system::allow_sockets()?;
    let core = cores - 1;
    let report = match command {
        Command::Calls(options) => {
            let run = calls::Run {
                watch,
                ..options.run()?
            };
            calls::run(&run, &Server::read(&options.server)?, core)?
        }
        Command::Floor(options) => {
            let pace = options.pace.pace();
            system::pin(None, core)?;
            let floor = floor::measure(options.pairs, options.span.time(), pace, options.manner())?;
            report::floor(options, &floor)
        }
        Command::Joins(options) => joins::run(options, core)?,
        Command::Fanout(options) => fanout::run(options, core)?,
        Command::Recording(options) => recording::run(options, core)?,
        Command::Soak(options) => soak::run(options, &Server::read(&options.server)?, core)?,
        Command::Turn(options) => turn::run(options, core)?,
        Command::ServeMedia { .. } | Command::ServeRelay { .. } | Command::ServeEcho => return Ok(None),
    };
    Ok(Some(report.warned()))
}
