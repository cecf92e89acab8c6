//! The one binary: command line, configuration, wiring, shutdown. No business rule is decided here.
//!
//! Exit codes: 0 good, 1 error, 2 wrong usage, 64 bad configuration (before any port is bound).
#![forbid(unsafe_code)]

mod addresses;
mod cli;
mod database;
mod keys;
mod listeners;
mod load;
mod migrate;
mod plan;
mod random;
mod secrets;
mod serve;
mod settings;
mod told;
mod user;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, ConfigWhat};

/// The system's own allocator keeps an arena per thread, and what one thread frees serves no other: with 600 legs up the
/// process took twice the memory, half of it free.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

fn run(cli: Cli) -> Result<ExitCode, Fault> {
    match cli.command {
        Command::Serve(serve) => {
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
