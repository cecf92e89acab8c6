//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use testkit::bad_line::Profile;

use crate::Fault;
use crate::calls::Run;
use crate::floor::Manner;
use crate::pace::Pace;
use crate::road::Ways;
use crate::watch::Watch;

/// Pairs of one run: sockets are two per pair, and a loopback address has about 28,000 ports to give.
const PAIRS_MAX: i64 = 5_000;
/// Microseconds: a frame's time; nobody would hear the voices as they are behind more.
const GATHER_US_MAX: i64 = 20_000;
/// Steps of one run: each has a floor of its own, and nobody waits for more.
const STEPS_MAX: usize = 20;
/// Joins per second, and legs of a storm: ten times the target of a core.
const JOINS_MAX: i64 = 10_000;
/// Rooms of a fan-out: eight legs each, and a shard has 4,096.
const ROOMS_MAX: i64 = 512;
/// Packets on hold: two rounds of the 16-bit sequence number.
const HOLD_PACKETS_MAX: i64 = 131_072;
/// Clients of a relay: one thread speaks for all of them.
const CLIENTS_MAX: i64 = 2_000;
/// Datagrams per second of one client: one per millisecond is as fine as the generator's clock.
const RATE_MAX: i64 = 1_000;
/// Bytes of a datagram: what tells one from another has room, and one Ethernet frame takes it.
const DATAGRAM_BYTES: std::ops::RangeInclusive<i64> = 128..=1_200;
/// Requests of a flood: minutes by raw sockets, hours where each has a socket of its own.
const FLOOD_MAX: i64 = 1_000_000_000;
/// Requests a second: beyond what a core can send.
const FLOOD_RATE_MAX: i64 = 10_000_000;
/// Hours of a soak: a week.
const HOURS_MAX: f64 = 168.0;

/// Load generator of Helpline.
#[derive(Debug, Parser)]
#[command(name = "loadtest")]
pub struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    fn output(&self) -> Option<&Output> {
        match &self.command {
            Command::Calls(options) => Some(&options.output),
            Command::Floor(options) => Some(&options.output),
            Command::Joins(options) => Some(&options.output),
            Command::Fanout(options) => Some(&options.output),
            Command::Recording(options) => Some(&options.output),
            Command::Soak(options) => Some(&options.output),
            Command::Turn(options) => Some(&options.output),
            Command::ServeMedia { .. } | Command::ServeRelay { .. } | Command::ServeEcho => None,
        }
    }

    pub(crate) fn wants_json(&self) -> bool {
        self.output().is_some_and(|output| output.json)
    }

    pub(crate) fn html(&self) -> Option<&Path> {
        self.output()?.html.as_deref()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Recorded calls of two legs each through a running demo, then the kernel floor under the same load.
    Calls(Calls),
    /// The kernel floor alone: a reflector without cryptography under the same legs and packet rate.
    Floor(Floor),
    /// What people who join do to calls that are on. Media alone, in a process of its own.
    Joins(Joins),
    /// Rooms of one speaker and seven listeners, as many as a shard carries. Media alone, in a process of its own.
    Fanout(Fanout),
    /// What recording costs the shard and the whole process: the same calls recorded and paused, by turns. Media alone, in
    /// a process of its own.
    Recording(Recording),
    /// Calls that come and go for hours through a running demo: what grows, and whether every recording is whole.
    Soak(Soak),
    /// What a datagram through our TURN relay costs beside coturn's, or how the relay stands under a flood. The relay alone,
    /// in a process of its own.
    Turn(Turn),
    /// The relay process of `turn`.
    #[command(hide = true)]
    ServeRelay {
        #[arg(long)]
        own_thread: bool,
    },
    /// What coturn relays to in `turn`.
    #[command(hide = true)]
    ServeEcho,
    /// The media process of `joins` and `fanout`.
    #[command(hide = true)]
    ServeMedia {
        #[arg(long, default_value_t = 1)]
        shards: usize,
    },
}

/// What every run has.
#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// One JSON object instead of lines.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also a report with plots in one file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// How long is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Span {
    /// Measured seconds (of each step).
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
}

impl Span {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// How legs speak.
#[derive(Clone, Debug, Args)]
pub(crate) struct Speech {
    /// Talk spurts with DTX between them instead of steady speech.
    #[arg(long)]
    pub(crate) dtx: bool,
    /// What the way to the server does to packets, such as loss=5%,burst=2,jitter=20ms,reorder=1%.
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    /// Decides payloads, talk spurts and losses; the report names it, and the same seed repeats them.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Speech {
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            seed: self.seed,
            dtx: self.dtx,
            profile: self.profile.unwrap_or_default(),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Calls {
    /// Calls of two legs.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX))]
    pub(crate) pairs: u32,
    /// Several loads in one run, rising, such as 100,200,400; instead of --pairs.
    #[arg(long, value_delimiter = ',', conflicts_with = "pairs",
        value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX))]
    pub(crate) ramp: Vec<u32>,
    #[command(flatten)]
    pub(crate) pace: Speech,
    /// Puts every call on hold after the last step while each leg sends so many packets, and sees who is heard again.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=HOLD_PACKETS_MAX))]
    pub(crate) hold_packets: Option<u32>,
    /// Every leg changes its address once in each step.
    #[arg(long)]
    pub(crate) switch: bool,
    /// Legs go through the server's own TURN relay, by turns when mixed.
    #[arg(long, value_enum, value_name = "WAY", conflicts_with = "switch")]
    pub(crate) relay: Option<Ways>,
    /// Does not compare the recordings with what was sent.
    #[arg(long)]
    pub(crate) no_compare: bool,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) output: Output,
    /// What `helpline serve --demo` left in its data folder, or the line of its `--print-addresses`.
    #[arg(long, default_value = "helpline-data/demo.json", env = "HELPLINE_DEMO")]
    pub(crate) server: PathBuf,
}

impl Calls {
    pub(crate) fn run(&self) -> Result<Run, Fault> {
        let steps = if self.ramp.is_empty() {
            vec![self.pairs]
        } else {
            self.ramp.clone()
        };
        if steps.len() > STEPS_MAX || !steps.is_sorted() {
            return Err(format!("--ramp takes at most {STEPS_MAX} rising loads").into());
        }
        Ok(Run {
            steps,
            time: self.span.time(),
            pace: self.pace.pace(),
            hold_packets: self.hold_packets,
            switch: self.switch,
            relay: self.relay,
            watch: Watch::default(),
            compare: !self.no_compare,
        })
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Floor {
    /// Calls of two legs.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX))]
    pub(crate) pairs: u32,
    /// Each datagram passes AES-GCM twice, under keys of its speaker and of its listener: what no server for SRTP can do
    /// without.
    #[arg(long)]
    pub(crate) sealed: bool,
    /// Microseconds that lie between two reads at least, as in a busy shard; it has 500.
    #[arg(long, default_value_t = 0, value_name = "US", value_parser = clap::value_parser!(u32).range(..=GATHER_US_MAX))]
    pub(crate) gather: u32,
    #[command(flatten)]
    pub(crate) pace: Speech,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Floor {
    pub(crate) fn manner(&self) -> Manner {
        Manner {
            sealed: self.sealed,
            gather: Duration::from_micros(u64::from(self.gather)),
        }
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Joins {
    /// Calls that are on meanwhile and are watched.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX))]
    pub(crate) pairs: u32,
    /// Legs that join per second; each leaves once it has heard its first packet.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=JOINS_MAX))]
    pub(crate) rate: u32,
    /// So many legs within one second instead, which stay.
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=JOINS_MAX))]
    pub(crate) storm: Option<u32>,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Fanout {
    /// Rooms of each step, rising; without it the load rises until the shard carries no more.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=ROOMS_MAX))]
    pub(crate) rooms: Vec<u32>,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Recording {
    /// Calls of two legs.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX))]
    pub(crate) pairs: u32,
    /// Measurements each way, by turns; the first counts nowhere.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=50))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Soak {
    /// Calls that are on at any time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX))]
    pub(crate) pairs: u32,
    /// How long.
    #[arg(long, default_value_t = 8.0, value_parser = hours)]
    pub(crate) hours: f64,
    /// Mean seconds of a call; each lasts half to one and a half of it.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(4..=3_600))]
    pub(crate) call_seconds: u64,
    #[command(flatten)]
    pub(crate) pace: Speech,
    #[command(flatten)]
    pub(crate) output: Output,
    /// What `helpline serve --demo` left in its data folder.
    #[arg(long, default_value = "helpline-data/demo.json", env = "HELPLINE_DEMO")]
    pub(crate) server: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Turn {
    /// Clients with an allocation each.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=CLIENTS_MAX))]
    pub(crate) clients: u32,
    /// Datagrams per second of each; every one comes back.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=RATE_MAX))]
    pub(crate) rate: u32,
    /// Bytes of a datagram.
    #[arg(long, default_value_t = 172, value_parser = clap::value_parser!(u32).range(DATAGRAM_BYTES))]
    pub(crate) bytes: u32,
    /// How clients reach the relay.
    #[arg(long, value_enum, default_value_t = Ways::Udp)]
    pub(crate) way: Ways,
    /// Measurements of each server, by turns; the first counts nowhere.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=50))]
    pub(crate) rounds: u32,
    /// Our relay only: no coturn is needed.
    #[arg(long)]
    pub(crate) alone: bool,
    /// Our relay reads UDP in a thread of its own, as with several shards, instead of in that of the shard behind it.
    #[arg(long)]
    pub(crate) own_thread: bool,
    /// So many requests without credentials at our relay instead, from as many addresses and ports, while the clients
    /// speak. As root by a raw socket, otherwise by a socket for each, which is a hundred times slower.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=FLOOD_MAX))]
    pub(crate) flood: Option<u32>,
    /// Requests of the flood a second; as many as go by default.
    #[arg(long, requires = "flood", conflicts_with = "sockets",
        value_parser = clap::value_parser!(u32).range(1..=FLOOD_RATE_MAX))]
    pub(crate) flood_rate: Option<u32>,
    /// The flood by a socket for each request, although a raw one could be had.
    #[arg(long, requires = "flood")]
    pub(crate) sockets: bool,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if hours > 0.0 && hours <= HOURS_MAX {
        Ok(hours)
    } else {
        Err(format!("between 0 and {HOURS_MAX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, clap::Error> {
        let words = ["loadtest"].iter().chain(words);
        Arguments::try_parse_from(words).map(|arguments| arguments.command)
    }

    fn run(words: &[&str]) -> Result<Run, Fault> {
        let Command::Calls(options) = parsed(words)? else {
            return Err("another command".into());
        };
        options.run()
    }

    #[test]
    fn a_ramp_has_rising_loads_and_a_profile_is_read() {
        let run = run(&[
            "calls",
            "--ramp",
            "10,20,40",
            "--profile",
            "loss=5%,burst=2",
            "--seed",
            "7",
        ])
        .unwrap();
        assert_eq!(run.steps, [10, 20, 40]);
        assert_eq!((run.pace.seed, run.pace.profile.loss), (7, 0.05));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(run(&["calls", "--ramp", "20,10"]).is_err());
        assert!(run(&["calls", "--pairs", "0"]).is_err());
        assert!(run(&["calls", "--pairs", "5000"]).is_ok());
        assert!(run(&["calls", "--pairs", "5001"]).is_err());
        assert!(run(&["calls", "--profile", "rain=1%"]).is_err());
        assert!(parsed(&["joins", "--rate", "10", "--storm", "10"]).is_err());
        assert!(parsed(&["fanout", "--rooms", "513"]).is_err());
        assert!(parsed(&["turn", "--flood-rate", "5"]).is_err());
        assert!(parsed(&["turn", "--flood", "9", "--flood-rate", "10000001"]).is_err());
        assert!(parsed(&["turn", "--flood", "9", "--flood-rate", "10000000"]).is_ok());
        assert!(parsed(&["soak", "--hours", "0"]).is_err());
        assert!(parsed(&["soak", "--hours", "0.01"]).is_ok());
    }

    #[test]
    fn twenty_steps_are_taken_and_not_one_more() {
        let ramp = |count: u32| (1..=count).map(|step| step.to_string()).collect::<Vec<_>>().join(",");
        assert!(run(&["calls", "--ramp", &ramp(20)]).is_ok());
        assert!(run(&["calls", "--ramp", &ramp(21)]).is_err());
    }
}
