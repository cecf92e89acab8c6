//! The process under test, for this folder and for `panels`.

#![allow(dead_code, reason = "each of the two uses its own part of this")]

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use testkit::calls::Desk;
use tokio::sync::Mutex;

/// Tests of this file take turns: each would disturb the other's packets.
pub(crate) static ONE: Mutex<()> = Mutex::const_new(());

/// Longest start: a new private database on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest end: the desk and its database come to an end in order.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(100);

/// The clock of these tests, which run in real time.
#[expect(clippy::disallowed_methods, reason = "real processes run in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until `look` gives something; `what` names it when it does not within `limit`.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(now() < end, "not within {limit:?}: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// A source of numbers that a seed decides; the seed is printed, `HELPLINE_SEED` repeats a run.
pub(crate) struct Dice(u64);

impl Dice {
    /// With a seed from the environment, or a new one.
    pub(crate) fn thrown() -> Dice {
        let seed = match std::env::var("HELPLINE_SEED") {
            Ok(text) => text.parse().expect("HELPLINE_SEED is a number"),
            Err(_) => getrandom::u64().expect("the system has randomness"),
        };
        println!("HELPLINE_SEED={seed}");
        Dice(seed)
    }

    /// The next number (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A data folder; stays for a look when the test failed.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("hl-whole-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        // The private database runs under an account of its own and must get through.
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its own folder");
        Folder(path)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn log(&self) -> PathBuf {
        self.file("stderr.log")
    }

    /// Everything that was logged by whoever ran in it.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.log()).expect("a log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("left for a look: {}", self.0.display());
        } else {
            // What stays in the temporary folder costs disk, not a test.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Where it listens: the first line of its output.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Addresses {
    http: SocketAddr,
    /// Where its figures are.
    pub(crate) metrics: SocketAddr,
    /// STUN ports.
    pub(crate) stun: Vec<SocketAddr>,
    /// Media ports.
    pub(crate) media: Vec<SocketAddr>,
    /// The demo's service key.
    pub(crate) service_key: String,
}

/// A running `helpline serve --demo`. Asked to end when dropped, so that no database of it stays behind.
pub(crate) struct Binary {
    child: Child,
    /// Where it listens.
    pub(crate) at: Addresses,
    /// Its log until now.
    log: PathBuf,
    http: reqwest::Client,
}

impl Binary {
    /// Starts it in `folder`; its log is appended to that of earlier starts.
    pub(crate) async fn start(folder: &Folder, settings: &[(&str, &str)], arguments: &[&str]) -> Binary {
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.log())
            .expect("a log file");
        let mut command = command(&["serve", "--demo", "--print-addresses"], folder, arguments);
        command.envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the binary starts");
        let out = child.stdout.take().expect("its output is a pipe");
        let first = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(START_LIMIT, first)
            .await
            .expect("it listens in time")
            .expect("the reader ends")
            .expect("its output can be read");
        let at =
            serde_json::from_str(&line).unwrap_or_else(|fault| panic!("{fault}: {line:?}\n{}", tail(&folder.log())));
        Binary {
            child,
            at,
            log: folder.log(),
            http: client(),
        }
    }

    /// Its REST side under its service key.
    pub(crate) fn desk(&self) -> Desk {
        Desk::new(&format!("http://{}", self.at.http), &self.at.service_key).expect("a client")
    }

    /// Where its REST side is.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.at.http)
    }

    /// `kill -9`, and the moment at which it was certainly dead.
    pub(crate) fn kill(mut self) -> Instant {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
        now()
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(self) {
        self.ask_to_end();
        self.ended(STOP_LIMIT).await;
    }

    fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        // Fails only for a process that has ended already.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits until it has ended by itself, in good order.
    pub(crate) async fn ended(mut self, limit: Duration) {
        let gone = until("the end of the process", limit, async || {
            self.child.try_wait().expect("it is ours")
        });
        let status = gone.await;
        assert!(status.success(), "{status}\n{}", tail(&self.log));
    }

    /// The status of its readiness, and what it says.
    pub(crate) async fn ready(&self) -> (u16, serde_json::Value) {
        let reply = self.http.get(format!("http://{}/health/ready", self.at.http)).send();
        let reply = reply.await.expect("it answers");
        (reply.status().as_u16(), reply.json().await.expect("JSON"))
    }

    /// Everything that it and earlier starts in this folder logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    /// The exposition of its metrics.
    pub(crate) async fn metrics(&self) -> Metrics {
        let reply = self.http.get(format!("http://{}/metrics", self.at.metrics)).send();
        let text = reply.await.expect("it answers").text().await.expect("text");
        Metrics(text)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.ask_to_end();
            // Nothing is left to be told about its end.
            let _ = self.child.wait();
        }
    }
}

/// The binary on free ports, with nothing of this process's own settings.
pub(crate) fn command(what: &[&str], folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helpline"));
    for (name, _) in std::env::vars() {
        if name.starts_with("HELPLINE_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
        .args(what)
        .args(arguments)
        .env("HELPLINE_DATA_DIR", &folder.0)
        .env("HELPLINE_HTTP_LISTEN", "127.0.0.1:0")
        .env("HELPLINE_SIGNALING_COMPAT_LISTEN", "127.0.0.1:0")
        .env("HELPLINE_METRICS_LISTEN", "127.0.0.1:0")
        .env("HELPLINE_MEDIA_BASE_PORT", "0")
        // What is heard is what was said, from the first packet on.
        .env("HELPLINE_MEDIA_WAITING_MUSIC", "")
        .env("HELPLINE_STUN_PORTS", "0,0")
        // Whatever else fills the disk of this machine.
        .env("HELPLINE_RECORDING_REFUSE_OPTIONAL_PERCENT", "100")
        .env("HELPLINE_RECORDING_REFUSE_REQUIRED_PERCENT", "100")
        .env("HELPLINE_DRAIN_TIMEOUT_SECONDS", "0");
    command
}

/// A client that asks no proxy.
pub(crate) fn client() -> reqwest::Client {
    // The client asks for a provider of TLS even where it never speaks it; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// One scrape.
pub(crate) struct Metrics(String);

impl Metrics {
    /// As it came.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The sum of all series of `name` whose labels contain `label`, such as `reason="replayed"`; empty: all.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (this, labels) = series.split_once('{').unwrap_or((series, ""));
            (this == name && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        });
        values.sum()
    }

    /// As [`Metrics::sum`], of a metric that must be there.
    pub(crate) fn known(&self, name: &str) -> f64 {
        assert!(self.0.contains(&format!("# TYPE {name} ")), "no metric {name}");
        self.sum(name, "")
    }
}
