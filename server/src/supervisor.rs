//! What whoever supervises the process is told: that it is still starting, that it is ready, that it lives, that it ends.
//! systemd's protocol (sd_notify(3)): a datagram with words to a socket that the environment names.
//!
//! It lives as long as its own loops turn ([`ports::Media::alive`]); the task that says so runs beside the desk and the
//! listeners, so that a runtime that hangs falls silent as well. The database is never asked: to begin anew does not bring
//! it back.
//!
//! A container's runtime listens to nobody and restarts only what has ended: for it the process ends itself when it has hung
//! for long (`serve --end-if-hung`).
//!
//! Never waits for the supervisor: a word that its socket does not take is said again at the next look.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tokio_util::sync::CancellationToken;

/// Longest time between two looks, and between two words that the process lives.
/// Higher: a hang is noticed later. Lower: wakes for nothing.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Words within the time that a supervisor waits for one: one that comes late is no death.
const WORDS_PER_WATCHDOG: u32 = 3;
/// Time between two words of a process that starts: two of them may be late or lost before what they ask for is over.
const STARTING_EVERY: Duration = Duration::from_secs(20);
/// What each of them asks for, microseconds: a minute. A start that takes longer than the supervisor's own limit (migrations
/// of large tables, a database's recovery) would be ended at that limit and begun anew without end.
/// Higher: a start that has fallen silent is noticed later. Lower: a machine that is hard pressed loses its start.
const STARTING_MORE: &str = "EXTEND_TIMEOUT_USEC=60000000";
/// How long a process may close, an emptying before it not counted: connections and the desk have twenty
/// each, a database's stop less than a minute, and the finaliser ends the recording that it makes. Nobody is in a call any
/// more, so that its threads stand still is no fault meanwhile; then it is, for its ports are closed.
/// Higher: a thread that hangs keeps a node away for longer. Lower: a long recording is made anew by the next start.
const CLOSING_MAX: Duration = Duration::from_secs(300);
/// How long a process that ends itself may hang before it does, on top of the 30 s after which a loop counts as standing
/// still. Its calls hear nothing meanwhile; but a machine that is hard pressed, or was asleep, comes back within it.
/// Higher: a longer outage. Lower: a restart that cuts calls which were about to go on.
const HUNG_MAX: Duration = Duration::from_secs(30);

/// See the top of this file.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the process lives.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Whom the environment names; nobody is no fault, and neither is one that cannot be spoken to.
    pub(crate) fn of_environment() -> Supervisor {
        let text = |name| std::env::var(name).ok();
        let named = std::env::var_os("NOTIFY_SOCKET").filter(|named| !named.is_empty());
        // A watchdog that was meant for another process of the same service is none of ours.
        let ours = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = text("WATCHDOG_USEC").filter(|_| ours);
        Supervisor::of(named.as_deref(), watchdog.as_deref())
    }

    /// `named`: a path, or an abstract name behind `@`. `watchdog_us`: microseconds.
    fn of(named: Option<&OsStr>, watchdog_us: Option<&str>) -> Supervisor {
        let Some(named) = named else {
            return Supervisor::default();
        };
        let socket = match reach(named) {
            Ok(socket) => socket,
            Err(fault) => {
                tracing::warn!(%fault, "the supervisor that NOTIFY_SOCKET names hears nothing");
                return Supervisor::default();
            }
        };
        let watchdog_us = watchdog_us.and_then(|text| text.parse().ok()).filter(|us| *us > 0);
        Supervisor {
            socket: Some(socket),
            watchdog: watchdog_us.map(Duration::from_micros),
        }
    }

    /// The process starts, and asks for time until it is [`Supervisor::ready`] or the start has failed.
    pub(crate) fn starting(self: &Arc<Supervisor>) -> Starting {
        let supervisor = Arc::clone(self);
        supervisor.say(STARTING_MORE);
        let mut word = interval_at(Instant::now() + STARTING_EVERY, STARTING_EVERY);
        word.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Starting(tokio::spawn(async move {
            loop {
                word.tick().await;
                supervisor.say(STARTING_MORE);
            }
        }))
    }

    /// Everything listens.
    pub(crate) async fn ready(&self, mut starting: Starting) {
        starting.0.abort();
        // It was told to end, and has nothing to say; a word of its own behind ours would be of the past.
        let _ = (&mut starting.0).await;
        self.say("READY=1");
    }

    /// The process ends and takes nobody any more.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, words: &str) {
        if let Some((socket, to)) = &self.socket
            && let Err(fault) = socket.send_to_addr(words.as_bytes(), to)
        {
            tracing::warn!(%fault, words, "the supervisor was not told");
        }
    }

    /// Says again and again that the process lives, as long as it does. `alive`: whether its loops turn. `end`: ends the
    /// process, if it is to end when it has hung for long; returns behind it.
    pub(crate) async fn watch(&self, alive: impl FnMut() -> bool, end: Option<impl FnOnce()>) {
        self.watch_for(alive, end, HUNG_MAX).await;
    }

    /// The same; `hung_max`: how long it may hang before it is ended.
    async fn watch_for(&self, mut alive: impl FnMut() -> bool, end: Option<impl FnOnce()>, hung_max: Duration) {
        let every = self.watchdog.map_or(LOOK_MAX, |watchdog| {
            LOOK_MAX
                .min(watchdog / WORDS_PER_WATCHDOG)
                .max(Duration::from_millis(1))
        });
        let mut look = interval(every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hung_since: Option<Instant> = None;
        loop {
            let now = look.tick().await;
            if alive() {
                if hung_since.take().is_some() {
                    tracing::info!("all threads of media and the relay turn again");
                }
                if self.watchdog.is_some() {
                    self.say("WATCHDOG=1");
                }
                continue;
            }
            if hung_since.is_none() {
                tracing::error!("a thread of media or of the relay stands still; the supervisor hears no more");
            }
            let since = *hung_since.get_or_insert(now);
            if end.is_some() && now.duration_since(since) >= hung_max {
                break;
            }
        }
        tracing::error!("it still stands still: the process ends, to be started again");
        if let Some(end) = end {
            end();
        }
    }
}

/// Whether the process lives: by `turn`, whether its loops do, until it closes; then for [`CLOSING_MAX`] in any case, and no
/// longer.
pub(crate) fn lives(closing: CancellationToken, turn: impl Fn() -> bool) -> impl FnMut() -> bool {
    let mut since: Option<Instant> = None;
    move || {
        if closing.is_cancelled() {
            let now = Instant::now();
            now.duration_since(*since.get_or_insert(now)) < CLOSING_MAX
        } else {
            turn()
        }
    }
}

/// A start that is under way; who lets go of it asks for no more time.
#[derive(Debug)]
pub(crate) struct Starting(JoinHandle<()>);

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A socket of our own, and the address of the supervisor's.
fn reach(named: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match named.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(named)?,
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "neither a path nor an abstract name",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::PathBuf;
    use std::rc::Rc;

    use super::*;

    /// A supervisor's end, which goes with its file.
    struct Listener {
        socket: UnixDatagram,
        path: PathBuf,
    }

    impl Listener {
        fn new(name: &str) -> Listener {
            let path = std::env::temp_dir().join(format!("hl-notify-{name}-{}", std::process::id()));
            // Of a run that failed.
            let _ = std::fs::remove_file(&path);
            let socket = UnixDatagram::bind(&path).expect("a socket");
            socket.set_nonblocking(true).expect("an option");
            Listener { socket, path }
        }

        fn heard(&self) -> Vec<String> {
            let next = || {
                let mut bytes = [0; 256];
                let len = self.socket.recv(&mut bytes).ok()?;
                Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
            };
            std::iter::from_fn(next).collect()
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Ends nothing, because nothing is to be ended.
    const NO_END: Option<fn()> = None;

    /// Watches until `alive` was asked so often; the words of all looks before the last one are said.
    async fn looks(supervisor: &Supervisor, times: u32, alive: bool) {
        let asked = Rc::new(Cell::new(0));
        let (enough, is_enough) = tokio::sync::oneshot::channel();
        let enough = Cell::new(Some(enough));
        let count = Rc::clone(&asked);
        let alive = move || {
            count.set(count.get() + 1);
            if count.get() > times
                && let Some(enough) = enough.take()
            {
                // The test below listens until it is over.
                let _ = enough.send(());
            }
            alive
        };
        tokio::select! {
            () = supervisor.watch(alive, NO_END) => unreachable!("it was not asked to end"),
            _ = is_enough => {}
        }
    }

    #[tokio::test]
    async fn a_supervisor_hears_that_it_is_ready_that_it_lives_and_that_it_ends() {
        let listener = Listener::new("lives");
        let supervisor = Arc::new(Supervisor::of(Some(listener.path.as_os_str()), Some("3000")));
        supervisor.ready(supervisor.starting()).await;
        assert_eq!(listener.heard(), [STARTING_MORE, "READY=1"]);
        looks(&supervisor, 4, true).await;
        let heard = listener.heard();
        assert!(heard.len() >= 4, "{heard:?}");
        assert!(heard.iter().all(|words| words == "WATCHDOG=1"), "{heard:?}");
        supervisor.stopping();
        assert_eq!(listener.heard(), ["STOPPING=1"]);
    }

    /// Virtual time passes, and who waits for it has his turn.
    async fn passes(time: Duration) {
        tokio::time::advance(time).await;
        tokio::task::yield_now().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_start_asks_for_time_until_it_is_ready_and_one_that_failed_does_not() {
        let listener = Listener::new("starts");
        let supervisor = Arc::new(Supervisor::of(Some(listener.path.as_os_str()), None));
        let starting = supervisor.starting();
        // Longer than any supervisor waits by itself, in virtual time.
        for _ in 0..30 {
            assert_eq!(listener.heard(), [STARTING_MORE]);
            passes(STARTING_EVERY - Duration::from_millis(1)).await;
            assert_eq!(listener.heard(), Vec::<String>::new());
            passes(Duration::from_millis(1)).await;
        }
        listener.heard();
        supervisor.ready(starting).await;
        drop(supervisor.starting());
        passes(2 * STARTING_EVERY).await;
        assert_eq!(listener.heard(), ["READY=1", STARTING_MORE], "and no more of either");
    }

    #[tokio::test]
    async fn while_a_loop_hangs_it_hears_nothing_and_then_again() {
        let listener = Listener::new("hangs");
        let supervisor = Supervisor::of(Some(listener.path.as_os_str()), Some("3000"));
        looks(&supervisor, 5, false).await;
        assert_eq!(listener.heard(), Vec::<String>::new());
        looks(&supervisor, 1, true).await;
        assert!(!listener.heard().is_empty());
    }

    #[tokio::test]
    async fn who_is_to_end_when_it_hangs_does_so_after_its_time_and_not_before() {
        let listener = Listener::new("ends");
        let supervisor = Supervisor::of(Some(listener.path.as_os_str()), Some("3000"));
        let (asked, ended) = (Cell::new(0), Cell::new(false));
        // Well, hung for a moment, well again, and hung for good.
        let alive = || {
            asked.set(asked.get() + 1);
            matches!(asked.get(), 1 | 2 | 4)
        };
        let hung_max = Duration::from_millis(20);
        supervisor.watch_for(alive, Some(|| ended.set(true)), hung_max).await;
        assert!(ended.get());
        assert!(asked.get() >= 6, "a moment is forgiven: {}", asked.get());
        assert_eq!(listener.heard().len(), 3, "a word for each look that was well");
    }

    #[tokio::test(start_paused = true)]
    async fn who_closes_lives_for_its_time_and_then_hangs_whatever_turns() {
        let (closing, turn) = (CancellationToken::new(), Rc::new(Cell::new(true)));
        let held = Rc::clone(&turn);
        let mut alive = lives(closing.clone(), move || held.get());
        assert!(alive());
        turn.set(false);
        assert!(!alive(), "until then its loops count");
        closing.cancel();
        assert!(alive(), "they end one by one");
        tokio::time::advance(CLOSING_MAX - Duration::from_millis(1)).await;
        assert!(alive());
        tokio::time::advance(Duration::from_millis(1)).await;
        turn.set(true);
        assert!(!alive());

        let began = Instant::now();
        let ended = Cell::new(false);
        let alive = lives(closing, || false);
        Supervisor::default().watch(alive, Some(|| ended.set(true))).await;
        assert!(ended.get());
        assert_eq!(began.elapsed(), CLOSING_MAX + HUNG_MAX);
    }

    #[tokio::test]
    async fn who_wants_no_watchdog_is_told_the_begin_and_the_end_alone() {
        let listener = Listener::new("plain");
        for watchdog in [None, Some("0"), Some("soon")] {
            let supervisor = Arc::new(Supervisor::of(Some(listener.path.as_os_str()), watchdog));
            assert_eq!(supervisor.watchdog, None, "{watchdog:?}");
            supervisor.ready(supervisor.starting()).await;
            looks(&supervisor, 0, true).await;
            assert_eq!(listener.heard(), [STARTING_MORE, "READY=1"]);
        }
    }

    #[test]
    fn an_abstract_name_is_one_and_nobody_or_nonsense_is_no_fault() {
        let name = format!("hl-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixDatagram::bind_addr(&address).expect("a socket");
        Supervisor::of(Some(OsStr::new(&format!("@{name}"))), None).stopping();
        let mut bytes = [0; 64];
        let len = listener.recv(&mut bytes).expect("it was said");
        assert_eq!(&bytes[..len], b"STOPPING=1");
        for named in [None, Some(OsStr::new("vsock:2:1234"))] {
            let supervisor = Supervisor::of(named, Some("3000"));
            assert!(supervisor.socket.is_none() && supervisor.watchdog.is_none());
            supervisor.stopping();
        }
        // One that has gone.
        Supervisor::of(Some(OsStr::new("/nowhere/hl-notify")), None).stopping();
    }
}
