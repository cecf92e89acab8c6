//! The one binary: command line, configuration, wiring, shutdown. No business rule is decided here.
//!
//! Exit codes: 0 good, 1 error, 2 wrong usage, 64 bad configuration (before any port is bound).
#![forbid(unsafe_code)]

mod addresses;
mod cli;
mod database;
mod ending;
mod health;
mod keys;
mod listeners;
mod load;
mod migrate;
mod plan;
mod random;
mod relay;
mod relay_addresses;
mod relay_plan;
mod secrets;
mod serve;
mod settings;
mod supervisor;
mod told;
mod turn;
mod turn_service;
mod turn_settings;
mod user;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, ConfigWhat, Turn};

/// The system's own allocator keeps an arena per thread, and what one thread frees serves no other: with 600 legs up the
/// process took twice the memory, half of it free.
#[global_allocator]
static ALLOCATOR: pages::Pages<mimalloc::MiMalloc> = pages::Pages(mimalloc::MiMalloc);

/// Bad configuration (`EX_USAGE` of sysexits).
const BAD_CONFIGURATION: u8 = 64;

fn main() -> ExitCode {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(Fault::Configuration(text)) => {
            eprintln!("helpline: {text}");
            ExitCode::from(BAD_CONFIGURATION)
        }
        Err(Fault::Other(text)) => {
            eprintln!("helpline: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Why a command did not do what was asked; the text is for the operator.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The configuration is at fault; nothing was started.
    Configuration(String),
    /// Anything else.
    Other(String),
}

impl Fault {
    pub(crate) fn other(fault: impl std::fmt::Display) -> Fault {
        Fault::Other(fault.to_string())
    }
}

/// What the allocator is to do, which it reads before `main`: give freed memory back at once, and take none before it is
/// used. Half the memory with 300 calls.
const ALLOCATOR_OPTIONS: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ARENA_EAGER_COMMIT", "0")];

/// Begins anew, as the same process, with [`ALLOCATOR_OPTIONS`] where the environment says nothing of them.
fn with_allocator_options() {
    let missing = |(name, _): &(&str, &str)| std::env::var_os(name).is_none();
    let options: Vec<_> = ALLOCATOR_OPTIONS.into_iter().filter(missing).collect();
    let program = std::env::current_exe();
    if let (false, Ok(program)) = (options.is_empty(), program) {
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1)).envs(options);
        // It returns only when it failed; more memory is no reason not to serve.
        let fault = std::os::unix::process::CommandExt::exec(&mut again);
        eprintln!("helpline: the allocator keeps its defaults: {fault}");
    }
}

fn run(cli: Cli) -> Result<ExitCode, Fault> {
    match cli.command {
        Command::Serve(serve) => {
            with_allocator_options();
            let settings = load::settings(&serve.place)?;
            runtime()?.block_on(serve::run(settings, &serve))?;
        }
        Command::Migrate { place, what } => {
            let settings = load::settings(&place)?;
            return runtime()?.block_on(migrate::run(&settings, &what));
        }
        Command::Config {
            place,
            what: ConfigWhat::Check,
        } => {
            let settings = load::settings(&place)?;
            plan::Plan::of(&settings)?;
            println!("The configuration is sound.");
        }
        Command::Config {
            what: ConfigWhat::Template,
            ..
        } => print!("{}", settings::template()),
        Command::User { place, what } => {
            let settings = load::settings(&place)?;
            runtime()?.block_on(user::run(&settings, what))?;
        }
        Command::Health(asked) => return runtime()?.block_on(health::run(&asked)),
        Command::Turn {
            what: Turn::Check(asked),
        } => return turn::check(&asked),
        Command::Openapi => println!("{}", api::document()),
        Command::Version { json } => told::version(json),
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hl-async")
        .build()
        .map_err(Fault::other)
}
