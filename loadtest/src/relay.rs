//! Our relay alone in a process: a shard that sends everything back stands behind it, and runs the relay's UDP in its own
//! thread, as the only shard of a node does. What `turn` loads.
//!
//! An order comes as one line, a number: as many credentials are made and come back as JSON, in one line. The end of the
//! input is the end of the process.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use call_model::LegId;
use ports::{Accepted, FromRelay, LegState, RelayEgress, RelayGuest, RelayLegs, RelayPath, RelayShard, RelaySink, Via};
use serde::{Deserialize, Serialize};
use turn_relay::client::Credentials;
use turn_relay::{Config, Metrics, Mode, Neighbours, Relay, TlsFiles};
use udp::{Bell, Interest, Poller};

use crate::road::{self, Ways};
use crate::{Fault, system};

/// The address that clients name as their peer: advertised by the shard behind the relay, bound by nobody.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 40_000);
/// Names of the relay's threads; that of the shard is one of them where it runs the relay.
pub(crate) const THREADS: &str = "hl-turn";
/// What the shard's poller calls the bell; the relay's descriptors are called by their places.
const BELL: u64 = 32;
/// Batches between a worker and the shard: far more than are ever under way.
const BATCHES: usize = 1_024;
/// Datagrams per second and bits per second that a client may send: a measurement sends more than a voice does.
const LIMITLESS: u32 = 1_000_000_000;

/// What the process says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    plain: SocketAddr,
    tls: SocketAddr,
}

/// One credential.
#[derive(Debug, Serialize, Deserialize)]
struct Granted {
    username: String,
    password: String,
}

/// Serves until the standard input ends.
pub(crate) fn serve(own_thread: bool) -> Result<(), Fault> {
    let files = SelfMade::make()?;
    let mut config = Config::new(Mode::Virtual, &[PEER.ip()], &[0, 0], "localhost");
    config.tls = Some(TlsFiles {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
    });
    config.limits.packets_per_s = LIMITLESS;
    config.limits.bits_per_s = LIMITLESS;
    config.udp_workers = usize::from(own_thread);
    // Clients here come one after the other, and none has the choice between two ways.
    config.stream_limits.head_start_ms = 0;
    let (batches, inbox) = sync_channel(BATCHES);
    let bell = Bell::new()?;
    let sink = |worker: usize| -> Box<dyn RelaySink> {
        Box::new(Sink {
            batch: Vec::new(),
            batches: batches.clone(),
            // The first one is run by the thread that it would wake.
            bell: (worker > 0 && !own_thread).then(|| bell.clone()),
        })
    };
    let neighbours = Neighbours {
        shards: vec![RelayShard {
            candidates: vec![PEER],
            sinks: (0..config.workers()).map(sink).collect(),
        }],
        legs: Arc::new(AllLive),
    };
    drop(batches);
    let relay = Relay::start(config, neighbours, Metrics::new(&prometheus::Registry::new())?)?;
    let egresses = relay
        .take_egresses()
        .into_iter()
        .next()
        .ok_or("the relay has no way back")?;
    match relay.take_guest() {
        None => std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
            echo(&inbox, egresses);
            Ok(())
        })?,
        Some(guest) => {
            let mut poller = Poller::new(BELL as usize + 1)?;
            for (descriptor, token) in guest.descriptors().iter().zip(0..) {
                poller.add(descriptor, token, Interest::Read)?;
            }
            poller.add(&bell, BELL, Interest::Read)?;
            let shard = move || host(guest, &mut poller, &bell, &inbox, egresses);
            std::thread::Builder::new()
                .name(format!("{THREADS}-host"))
                .spawn(shard)?
        }
    };
    let [plain, tls] = relay.addresses() else {
        return Err("the relay listens on other addresses than it was told".into());
    };
    say(&Ready {
        plain: *plain,
        tls: *tls,
    })?;
    let credentials = relay.credentials();
    for line in stdin().lock().lines() {
        let count: u32 = line?.parse()?;
        let mut granted = Vec::with_capacity(count as usize);
        for number in 0..count {
            let grant = credentials
                .mint(LegId(u128::from(number) + 1))
                .ok_or("the relay makes no credentials")?;
            granted.push(Granted {
                username: grant.username,
                password: grant.credential,
            });
        }
        say(&granted)?;
    }
    Ok(())
}

fn say(what: &impl Serialize) -> Result<(), Fault> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut out = stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

/// Every leg is on.
struct AllLive;

impl RelayLegs for AllLive {
    fn state(&self, _: LegId) -> LegState {
        LegState::Live
    }
}

type Batch = Vec<(RelayPath, Vec<u8>)>;

/// One worker's way to the shard that echoes.
struct Sink {
    batch: Batch,
    batches: SyncSender<Batch>,
    /// Wakes a shard that waits for more than batches.
    bell: Option<Bell>,
}

impl RelaySink for Sink {
    fn deliver(&mut self, packet: FromRelay<'_>) -> Accepted {
        self.batch.push((packet.path, packet.payload.to_vec()));
        Accepted::Taken
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            // A shard that is that far behind loses the batch, which shows among the delivered.
            let _ = self.batches.try_send(std::mem::take(&mut self.batch));
            if let Some(bell) = &self.bell {
                bell.ring();
            }
        }
    }
}

fn echo(inbox: &Receiver<Batch>, mut egresses: Vec<Box<dyn RelayEgress>>) {
    for batch in inbox {
        send_back(&batch, &mut egresses);
    }
}

fn send_back(batch: &Batch, egresses: &mut [Box<dyn RelayEgress>]) {
    for (path, payload) in batch {
        if let Some(egress) = egresses.get_mut(usize::from(path.worker)) {
            // Full or gone: a packet that is lost, and missed by its client.
            let _ = egress.transmit(*path, payload);
        }
    }
    for egress in egresses {
        egress.flush();
    }
}

/// The same as a shard does it that runs the relay in its own thread.
fn host(
    mut guest: Box<dyn RelayGuest>,
    poller: &mut Poller,
    bell: &Bell,
    inbox: &Receiver<Batch>,
    mut egresses: Vec<Box<dyn RelayEgress>>,
) -> std::io::Result<()> {
    loop {
        let ready = poller.wait(i32::try_from(guest.park()).unwrap_or(i32::MAX))?;
        guest.unpark();
        for token in (0..ready).filter_map(|index| Some(poller.ready(index)?.token)) {
            if token == BELL {
                bell.hush();
            } else {
                guest.read(token as usize);
            }
        }
        loop {
            match inbox.try_recv() {
                Ok(batch) => send_back(&batch, &mut egresses),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        if !guest.write() {
            return Ok(());
        }
    }
}

/// A certificate that nobody trusts, in files that go with this.
pub(crate) struct SelfMade {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    folder: PathBuf,
}

impl SelfMade {
    pub(crate) fn make() -> Result<SelfMade, Fault> {
        let folder = std::env::temp_dir().join(format!("helpline-loadtest-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let files = SelfMade {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            folder,
        };
        std::fs::write(&files.certificate, made.cert.pem())?;
        std::fs::write(&files.key, made.signing_key.serialize_pem())?;
        Ok(files)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for SelfMade {
    fn drop(&mut self) {
        if let Err(fault) = std::fs::remove_dir_all(&self.folder) {
            eprintln!("{}: {fault}", self.folder.display());
        }
    }
}

/// The relay process as the generator sees it; it ends when this is dropped.
pub(crate) struct Ours {
    child: Child,
    orders: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    ready: Ready,
}

impl Ours {
    /// Starts it from this program's own file, all of it on core 0.
    pub(crate) fn start(own_thread: bool) -> Result<Ours, Fault> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve-relay")
            .args(own_thread.then_some("--own-thread"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (orders, replies) = (child.stdin.take(), child.stdout.take());
        let mut replies = BufReader::new(replies.ok_or("the relay has no output")?);
        let mut line = String::new();
        replies.read_line(&mut line)?;
        let ready = serde_json::from_str(&line).map_err(|fault| format!("the relay did not start: {fault}"))?;
        let ours = Ours {
            child,
            orders,
            replies,
            ready,
        };
        system::pin_process(ours.pid(), 0)?;
        Ok(ours)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Nanoseconds on a core until now: of the relay's threads, and of the others.
    pub(crate) fn used(&self) -> std::io::Result<[u64; 2]> {
        let relay = system::thread_cpu(self.pid(), &system::threads(self.pid(), THREADS)?)?.run_ns;
        Ok([relay, system::process_ns(self.pid())?.saturating_sub(relay)])
    }

    /// Where clients without credentials come to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.ready.plain
    }

    /// Ways in for `count` clients, and the peer to name.
    pub(crate) fn relays(&mut self, count: u32, ways: Ways) -> Result<(Vec<road::Relay>, SocketAddr), Fault> {
        let orders = self.orders.as_mut().ok_or("the relay takes no orders any more")?;
        orders.write_all(format!("{count}\n").as_bytes())?;
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        let granted: Vec<Granted> = serde_json::from_str(&line)?;
        let relays = granted.into_iter().zip(0..).map(|(granted, number)| {
            let via = ways.of(number);
            road::Relay {
                via,
                address: if via == Via::Tls {
                    self.ready.tls
                } else {
                    self.ready.plain
                },
                credentials: Credentials {
                    username: granted.username,
                    password: granted.password,
                },
            }
        });
        Ok((relays.collect(), PEER))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // The end of its input is what it ends by.
        self.orders = None;
        if self.child.wait().is_err() {
            eprintln!("the relay process cannot be waited for");
        }
    }
}
