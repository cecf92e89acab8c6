//! The server process of one folder: whether it lives, and how it is ended.
//!
//! Its children die with it, but not at the same moment; whoever starts the next server waits for them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::account::Account;
use crate::binaries::Binaries;
use crate::cluster::pause;
use crate::process;

/// The server's own file about itself, below its data.
pub(crate) const PID_FILE: &str = "postmaster.pid";

/// How long a server has for each way of ending it, from the gentlest on; after the last one it is left alone.
///
/// A fast shutdown writes a checkpoint, which takes long on a slow disk. At an immediate one the server gives its
/// children five seconds before it kills them.
const WAYS: [(Stop, Duration); 3] = [
    (Stop::Fast, Duration::from_secs(30)),
    (Stop::Immediate, Duration::from_secs(15)),
    (Stop::Kill, Duration::from_secs(15)),
];

/// Pause between two looks whether it has gone.
const LOOK: Duration = Duration::from_millis(20);

/// A way of ending a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Connections are cut, what was committed is written out.
    Fast,
    /// At once; the next start replays the log.
    Immediate,
    /// By the kernel, as in a power cut: the next start replays the log then too.
    Kill,
}

impl Stop {
    /// The signal for it, as `pg_ctl kill` calls it.
    fn signal(self) -> &'static str {
        match self {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
            Stop::Kill => "KILL",
        }
    }
}

/// The server of one data folder, dead or alive.
pub(crate) struct Server {
    pub(crate) binaries: Binaries,
    pub(crate) account: Account,
    /// PGDATA.
    pub(crate) data: PathBuf,
}

impl Server {
    /// What the server writes about itself while it runs, and leaves behind when it is killed.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.data.join(PID_FILE)
    }

    /// Process id in that file, whoever has it now.
    pub(crate) fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Process id of the server if it runs.
    pub(crate) fn live(&self) -> Option<u32> {
        self.pid().filter(|&pid| self.runs_as(pid))
    }

    /// Whether `pid` is a live server of exactly this folder. A zombie has no arguments any more and is none.
    fn runs_as(&self, pid: u32) -> bool {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
            return false;
        };
        let arguments: Vec<&[u8]> = line.split(|&b| b == 0).collect();
        let ours: [&[u8]; 2] = [b"-D", self.data.as_os_str().as_encoded_bytes()];
        arguments.windows(2).any(|pair| pair == ours)
    }

    /// Ends the server, first the way that is named, then by harder ones; none running is fine.
    ///
    /// # Errors
    /// [`Error::Program`] when it is still there after the last way.
    pub(crate) fn stop(&self, first: Stop) -> Result<(), Error> {
        self.stop_by(WAYS.into_iter().skip_while(|(how, _)| *how < first))
    }

    /// The same by these ways, each with its limit.
    ///
    /// The waiting is ours: `pg_ctl stop` takes a zombie for a server that does not stop, and whoever inherited a server
    /// when its parent was killed may be slow to bury it.
    fn stop_by(&self, ways: impl IntoIterator<Item = (Stop, Duration)>) -> Result<(), Error> {
        let Some(pid) = self.live() else { return Ok(()) };
        let mut refused = None;
        for (how, limit) in ways {
            let mut pg_ctl = process::command(&self.binaries, self.account, "pg_ctl");
            pg_ctl.args(["kill", how.signal(), &pid.to_string()]);
            // It may be gone between our look and the signal, so only one that stays makes this an error.
            refused = process::run("pg_ctl", &mut pg_ctl).err();
            for _ in 0..=limit.as_millis() / LOOK.as_millis() {
                if !self.runs_as(pid) {
                    return Ok(());
                }
                pause(LOOK);
            }
            tracing::warn!(?how, "the database server did not end in time");
        }
        Err(refused.unwrap_or_else(|| Error::Program {
            program: "postgres",
            output: "it does not end, whatever is done".to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A limit that is never reached where a test passes.
    const AMPLE: Duration = Duration::from_secs(120);

    /// A server of a folder of its own, played by a shell that heeds nothing but a kill. It is our child and nobody waits
    /// for it, so that it stays a zombie when it is dead. `None` without PostgreSQL's tools.
    fn played(name: &str) -> Option<(Server, Child)> {
        let Ok(binaries) = Binaries::find() else {
            assert_ne!(env::var("HELPLINE_TEST_REQUIRE").as_deref(), Ok("all"));
            eprintln!("skipped: PostgreSQL is not installed");
            return None;
        };
        // PostgreSQL's tools refuse root, and only their own account's processes can be told to end by them.
        let account = Account::choose().unwrap();
        let data = env::temp_dir().join(format!("hl-server-{name}-{}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap '' INT QUIT; echo ready; read -r _", "postgres", "-D"]);
        shell.arg(&data).stdin(Stdio::piped()).stdout(Stdio::piped());
        account.apply(&mut shell);
        let mut child = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        fs::write(data.join(PID_FILE), format!("{}\n", child.id())).unwrap();
        let server = Server {
            binaries,
            account,
            data,
        };
        assert_eq!(server.live(), Some(child.id()));
        Some((server, child))
    }

    fn end(server: &Server, child: &mut Child) {
        // Dead already; this buries it.
        child.wait().unwrap();
        fs::remove_dir_all(&server.data).unwrap();
    }

    #[test]
    fn a_server_that_has_become_a_zombie_has_stopped() {
        let Some((server, mut child)) = played("zombie") else {
            return;
        };
        server.stop_by([(Stop::Kill, AMPLE)]).unwrap();
        // Its memory goes first; from then on it counts as ended.
        let stat = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        while !stat().contains(") Z ") {
            std::thread::yield_now();
        }
        assert_eq!((server.pid(), server.live()), (Some(child.id()), None));
        server.stop(Stop::Fast).unwrap();
        end(&server, &mut child);
    }

    #[test]
    fn a_server_that_does_not_listen_is_ended_harder() {
        let Some((server, mut child)) = played("deaf") else {
            return;
        };
        let at_once = Duration::ZERO;
        assert!(
            server
                .stop_by([(Stop::Fast, at_once), (Stop::Immediate, at_once)])
                .is_err()
        );
        assert_eq!(server.live(), Some(child.id()));
        server.stop_by([(Stop::Fast, at_once), (Stop::Kill, AMPLE)]).unwrap();
        assert_eq!(server.live(), None);
        end(&server, &mut child);
    }

    #[test]
    fn the_ways_become_harder_and_each_begins_where_it_is_named() {
        assert!(WAYS.is_sorted_by(|one, next| one.0 < next.0));
        let from = |first: Stop| WAYS.iter().filter(|(how, _)| *how >= first).count();
        assert_eq!([Stop::Fast, Stop::Immediate, Stop::Kill].map(from), [3, 2, 1]);
    }
}
