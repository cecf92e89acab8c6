//! The binary as an operator starts it, on free ports, with a data folder of its own.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use testkit::calls::Desk;

/// Longest start: a new private database on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest end: the desk and its database come to an end in order.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(100);

/// The clock of this test: real processes run in real time.
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

/// A folder for everything; stays for a look when the test failed.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("hl-panels-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        // The private database runs under an account of its own and must get through.
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its own folder");
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    /// What the server has logged, a JSON object per line.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.log()).expect("its log");
        let line = |line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
        text.lines().map(line).collect()
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

/// A child that is asked to end when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Process {
        Process(command.stdin(Stdio::null()).spawn().expect("the program starts"))
    }

    /// Asks it to end and waits.
    async fn stop(mut self) -> ExitStatus {
        self.ask_to_end();
        until("the end of the process", STOP_LIMIT, async || {
            self.0.try_wait().expect("it is ours")
        })
        .await
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("it is ours")
    }

    fn ask_to_end(&self) {
        // Fails only for a process that has ended already.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.ask_to_end();
            // Nothing is left to be told about its end.
            let _ = self.0.wait();
        }
    }
}

/// Where it listens: the first line of its output.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Addresses {
    http: SocketAddr,
    pub(crate) metrics: SocketAddr,
    service_key: String,
}

/// A running `helpline serve --demo`, with the log level that it has by itself.
pub(crate) struct Server {
    process: Process,
    pub(crate) at: Addresses,
    http: reqwest::Client,
}

impl Server {
    pub(crate) async fn start(folder: &Folder) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_helpline"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HELPLINE_") || name == "DATABASE_URL") {
            command.env_remove(name);
        }
        command
            .args(["serve", "--demo", "--print-addresses", "--data-dir"])
            .arg(folder.path().join("data"))
            .env("HELPLINE_HTTP_LISTEN", "127.0.0.1:0")
            .env("HELPLINE_SIGNALING_COMPAT_LISTEN", "127.0.0.1:0")
            .env("HELPLINE_METRICS_LISTEN", "127.0.0.1:0")
            .env("HELPLINE_MEDIA_BASE_PORT", "0")
            .env("HELPLINE_MEDIA_BIND", "127.0.0.1")
            .env("HELPLINE_MEDIA_ADVERTISE", "127.0.0.1")
            .env("HELPLINE_STUN_BIND", "127.0.0.1")
            .env("HELPLINE_STUN_PORTS", "0,0")
            .env("HELPLINE_DRAIN_TIMEOUT_SECONDS", "0")
            .env("HELPLINE_LOG_JSON", "true")
            .stdout(Stdio::piped())
            .stderr(File::create(folder.log()).expect("a log file"));
        let mut process = Process::start(&mut command);
        let out = process.0.stdout.take().expect("its output is a pipe");
        let first = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(START_LIMIT, first)
            .await
            .expect("it listens in time");
        let line = line.expect("the reader ends").expect("its output can be read");
        let at = serde_json::from_str(&line).unwrap_or_else(|fault| {
            let log = fs::read_to_string(folder.log()).unwrap_or_default();
            panic!("{fault}: {line:?}\n{log}")
        });
        Server {
            process,
            at,
            http: client(),
        }
    }

    /// Its REST side under its service key.
    pub(crate) fn desk(&self) -> Desk {
        Desk::new(&format!("http://{}", self.at.http), &self.at.service_key).expect("a client")
    }

    /// What it exports now.
    pub(crate) async fn metrics(&self) -> String {
        let reply = self.http.get(format!("http://{}/metrics", self.at.metrics)).send();
        reply.await.expect("it answers").text().await.expect("text")
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(self) {
        let status = self.process.stop().await;
        assert!(status.success(), "{status}");
    }
}

/// A client that asks no proxy.
pub(crate) fn client() -> reqwest::Client {
    // The client asks for a provider of TLS even where it never speaks it; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
