//! coturn from the system's packages, to measure beside: one relay thread on core 0, as ours has one.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ports::Via;
use turn_relay::client::Credentials;

use crate::echo::Echo;
use crate::relay::SelfMade;
use crate::road::{Relay, Ways};
use crate::{Fault, clock, system};

/// Longest start.
const START: Duration = Duration::from_secs(20);
/// Between two looks whether it listens.
const LOOK: Duration = Duration::from_millis(50);
/// What its credentials are made from; it listens on loopback.
const SECRET: &[u8] = b"sesame";
/// An expiry years ahead, yet within the signed 32 bits that coturn reads.
const EXPIRY_UNIX_S: u32 = 2_000_000_000;

/// A running coturn with what it relays to; both end when this is dropped.
pub(crate) struct Coturn {
    child: Child,
    echo: Echo,
    plain: SocketAddr,
    tls: SocketAddr,
    _files: SelfMade,
}

impl Coturn {
    pub(crate) fn start() -> Result<Coturn, Fault> {
        let files = SelfMade::make()?;
        let [plain, tls] = [free()?, free()?];
        let file = |path: &std::path::Path| path.display().to_string();
        let child = Command::new("turnserver")
            .args(["-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "--relay-threads=1"])
            .arg(format!("--listening-port={}", plain.port()))
            .arg(format!("--tls-listening-port={}", tls.port()))
            .arg(format!("--cert={}", file(&files.certificate)))
            .arg(format!("--pkey={}", file(&files.key)))
            .arg(format!("--userdb={}", file(&files.folder().join("users"))))
            .arg(format!("--static-auth-secret={}", String::from_utf8_lossy(SECRET)))
            .args([
                "--use-auth-secret",
                "--realm=bank.test",
                "--no-dtls",
                "--allow-loopback-peers",
                "--no-cli",
            ])
            .args(["--log-file=stdout", "--simple-log", "--pidfile=/dev/null"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|fault| format!("turnserver: {fault}; install coturn, or say --alone"))?;
        let coturn = Coturn {
            child,
            echo: Echo::start()?,
            plain,
            tls,
            _files: files,
        };
        coturn.wait_until_it_listens()?;
        system::pin_process(coturn.pid(), 0)?;
        Ok(coturn)
    }

    fn wait_until_it_listens(&self) -> Result<(), Fault> {
        let end = clock::now() + START;
        while TcpStream::connect(self.plain)
            .and_then(|_| TcpStream::connect(self.tls))
            .is_err()
        {
            if clock::now() >= end {
                return Err("coturn does not listen".into());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Nanoseconds on a core until now: of coturn, and of what it relays to.
    pub(crate) fn used(&self) -> std::io::Result<[u64; 2]> {
        Ok([system::process_ns(self.pid())?, system::process_ns(self.echo.pid())?])
    }

    /// Ways in for `count` clients, and the peer to name.
    pub(crate) fn relays(&self, count: u32, ways: Ways) -> (Vec<Relay>, SocketAddr) {
        let relays = (0..count).map(|number| {
            let via = ways.of(number);
            Relay {
                via,
                address: if via == Via::Tls { self.tls } else { self.plain },
                credentials: Credentials::of_shared_secret(SECRET, format!("{EXPIRY_UNIX_S}:{number}")),
            }
        });
        (relays.collect(), self.echo.address())
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free for TCP, and so nearly always for UDP.
fn free() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
