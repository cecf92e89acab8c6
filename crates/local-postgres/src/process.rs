//! Runs PostgreSQL's programs and the watchdog that ends the server with us.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::account::Account;
use crate::binaries::Binaries;

/// Bytes of a failed program's output that are kept for its error: enough for the last lines.
const OUTPUT_BYTES_MAX: usize = 2_000;

/// Stops the server of `$1` when standard input closes, but only the very server (`$2`, a process id) it was made
/// for: by then a successor may already run its own in the same folder.
const WATCH_PID: &str = r#"
trap '' HUP INT TERM
read -r _
if [ "$(head -n 1 "$1/postmaster.pid" 2>/dev/null)" = "$2" ]; then kill -INT "$2" 2>/dev/null; fi
"#;

/// Stops whatever runs in `$1` at once and removes `$2`, for folders that only one test process ever uses.
const WATCH_AND_REMOVE: &str = r#"
trap '' HUP INT TERM
read -r _
"$3" stop -D "$1" -m immediate -w -t 20 >/dev/null 2>&1
cd / && rm -rf -- "$2"
"#;

/// A PostgreSQL program under `account`, with a clean environment and a folder everybody may be in.
pub(crate) fn command(binaries: &Binaries, account: Account, program: &str) -> Command {
    let mut command = plain(account, &binaries.program(program));
    command.stdin(Stdio::null());
    command
}

fn plain(account: Account, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/");
    account.apply(&mut command);
    command
}

/// Runs `command` to its end; a failure carries the tail of what it wrote.
pub(crate) fn run(program: &'static str, command: &mut Command) -> Result<(), Error> {
    let output = command.output().map_err(Error::io(program))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(Error::Program {
        program,
        output: tail(&text),
    })
}

/// The last [`OUTPUT_BYTES_MAX`] bytes as text.
pub(crate) fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(OUTPUT_BYTES_MAX);
    String::from_utf8_lossy(&bytes[start..]).trim().to_owned()
}

/// A shell that waits for our end; dropping it closes the pipe and thereby lets it act.
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Ends the server `pid` of `cluster` by a fast shutdown once this process is gone.
    pub(crate) fn of_server(account: Account, cluster: &Path, pid: u32) -> Result<Self, Error> {
        let mut shell = shell(account, WATCH_PID);
        shell.arg(cluster).arg(pid.to_string());
        Self::spawn(shell)
    }

    /// Ends the server of `cluster` at once and removes `folder` once this process is gone.
    pub(crate) fn of_test(binaries: &Binaries, account: Account, cluster: &Path, folder: &Path) -> Result<Self, Error> {
        let mut shell = shell(account, WATCH_AND_REMOVE);
        shell.arg(cluster).arg(folder).arg(binaries.program("pg_ctl"));
        Self::spawn(shell)
    }

    fn spawn(mut shell: Command) -> Result<Self, Error> {
        shell.spawn().map(Watchdog).map_err(Error::io("/bin/sh"))
    }

    /// Closes the pipe and waits until the shell has done its work.
    pub(crate) fn release(mut self) {
        drop(self.0.stdin.take());
        // A watchdog that cannot be waited for has ended already; there is nothing left to do about it.
        let _ = self.0.wait();
    }
}

/// `sh -c script`, in a process group of its own so that Ctrl-C in our terminal does not reach it.
fn shell(account: Account, script: &str) -> Command {
    let mut shell = plain(account, Path::new("/bin/sh"));
    shell
        .args(["-c", script, "watchdog"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    shell
}
