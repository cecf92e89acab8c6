//! Load generator: what a media server costs per packet, beside what the bare kernel costs in the same run.
//!
//! Never asserts on a time: it prints figures.

mod calls;
mod clock;
mod floor;
mod generator;
mod report;
mod system;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Pairs of one run: sockets are two per pair, and a loopback address has about 28,000 ports to give.
const PAIRS_MAX: u32 = 5_000;
/// Time in which caches and socket queues settle before anything is counted.
const WARM: Duration = Duration::from_secs(2);

/// Load generator of Helpline.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Calls of two legs each through a running demo, then the kernel floor under the same load.
    Calls {
        #[command(flatten)]
        load: Load,
        /// What `helpline serve --demo` left in its data folder, or the line of its `--print-addresses`.
        #[arg(long, default_value = "helpline-data/demo.json", env = "HELPLINE_DEMO")]
        server: PathBuf,
    },
    /// The kernel floor alone: a reflector without cryptography under the same legs and packet rate.
    Floor {
        #[command(flatten)]
        load: Load,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Load {
    /// Calls of two legs.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=i64::from(PAIRS_MAX)))]
    pairs: u32,
    /// Measured seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

impl Load {
    fn time(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let command = Arguments::parse().command;
    let cores = std::thread::available_parallelism()?.get();
    // On one core the generator and the server would only measure each other.
    if cores < 2 {
        return Err("two cores are needed: one for the generator, one for the shard".into());
    }
    let (load, figures) = match command {
        Command::Calls { load, server } => {
            let text = std::fs::read_to_string(&server).map_err(|fault| {
                let path = server.display();
                format!("{path}: {fault}; start `helpline serve --demo` first, or name its file with --server")
            })?;
            (load, calls::run(load, &serde_json::from_str(&text)?, cores - 1)?)
        }
        Command::Floor { load } => {
            system::pin(None, cores - 1)?;
            let floor = floor::measure(load.pairs, load.time())?;
            (load, report::floor(load.pairs, load.seconds, &floor))
        }
    };
    if load.json {
        println!("{figures}");
    } else {
        print!("{}", report::lines(&figures));
    }
    Ok(())
}
