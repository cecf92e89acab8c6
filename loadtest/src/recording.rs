//! What recording costs: the same calls in the same process, recorded and paused, by turns. Media alone: what a desk does
//! for a call that is recorded, and the making of the file behind it, are other figures.

use std::time::{Duration, Instant};

use media_core::dtls::Certificate;

use crate::child::{Media, Role};
use crate::client::Client;
use crate::faults::{Faults, Patience};
use crate::generator::Window;
use crate::options::Recording;
use crate::pace::{self, Pace};
use crate::progress::Progress;
use crate::road::Road;
use crate::server::Used;
use crate::speaking::{Guest, Rank, Speaking};
use crate::{Fault, WARM, clock, report, system};

/// Between two looks at what is written; the recorder writes every second.
const LOOK: Duration = Duration::from_secs(2);
/// Looks until somebody has to see why.
const LOOKS_MAX: u32 = 30;

/// One measurement.
#[derive(Debug)]
pub(crate) struct Side {
    /// When it began to count.
    pub(crate) begin: Instant,
    pub(crate) window: Window,
    pub(crate) used: Used,
    /// Packets that the recorder took.
    pub(crate) recorded: u64,
}

impl Side {
    fn us(&self, us: f64) -> f64 {
        self.window.per_delivered(us, self.used.at)
    }

    /// The shard's thread, us per forwarded packet.
    pub(crate) fn shard_us(&self) -> f64 {
        self.us(self.used.shards.run_ns as f64 / 1_000.0)
    }

    /// The whole process, us per forwarded packet. No file is made meanwhile: the recordings end with the run.
    pub(crate) fn process_us(&self) -> f64 {
        self.us(self.used.process_us as f64)
    }
}

/// Both ways, one after the other.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) plain: Side,
    pub(crate) recorded: Side,
}

/// Runs it.
pub(crate) fn run(options: &Recording, core: usize) -> Result<report::Report, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (rounds, reseated) = runtime.block_on(measure(options, core))?;
    Ok(report::recording(options, &rounds, &reseated))
}

/// The rounds, and which calls had to be connected again.
async fn measure(options: &Recording, core: usize) -> Result<(Vec<Round>, Faults), Fault> {
    let media = Media::start()?;
    let certificate = Certificate::generate().map_err(|fault| fault.to_string())?;
    let speaking = Speaking::start(core, Pace::steady(1), Rank::First)?;
    system::keep_off(0)?;
    let reseated = seat(&media, &certificate, &speaking, options.pairs).await?;
    let mut rounds = Vec::new();
    for number in 0..options.rounds {
        eprintln!("round {number} of {}", options.rounds - 1);
        let (plain, recorded);
        if pace::is_turned(number) {
            recorded = side(&media, &speaking, options, true).await?;
            plain = side(&media, &speaking, options, false).await?;
        } else {
            plain = side(&media, &speaking, options, false).await?;
            recorded = side(&media, &speaking, options, true).await?;
        }
        if plain.recorded > 0 || recorded.recorded == 0 {
            let (none, some) = (plain.recorded, recorded.recorded);
            let found = format!("{none} packets recorded where none were to be, {some} where all were");
            return Err(format!("{found}: is the disk full?").into());
        }
        rounds.push(Round { plain, recorded });
    }
    speaking.stop()?;
    // The first one touches memory and fills caches.
    rounds.remove(0);
    Ok((rounds, reseated))
}

/// Connects the calls; which of them more than once.
async fn seat(media: &Media, certificate: &Certificate, speaking: &Speaking, pairs: u32) -> Result<Faults, Fault> {
    let progress = Progress::start("calls", u64::from(pairs));
    let mut patience = Patience::of(u64::from(pairs));
    for room in 0..pairs {
        while let Err(fault) = pair(media, certificate, speaking, room).await {
            patience.failed(&fault.to_string());
            if patience.is_over() {
                return Err(fault);
            }
        }
        progress.at(u64::from(room + 1));
    }
    speaking.wait_until_heard(pairs as usize * 2).await?;
    Ok(patience.into_parts().0)
}

/// A customer and an agent who talk; nobody if that fails.
async fn pair(media: &Media, certificate: &Certificate, speaking: &Speaking, room: u32) -> Result<(), Fault> {
    let (mut clients, mut seats) = (Vec::new(), Vec::new());
    let mut seated = Ok(());
    for (place, role) in [Role::Customer, Role::Agent].into_iter().enumerate() {
        let (peer, offer) = Client::offering(certificate, room * 2 + u32::from(place == 1));
        match media.join(u64::from(room), role, offer).await {
            Ok((seat, answer)) => {
                seats.push(seat);
                clients.push((Client::answered(peer, &answer)?, Road::Direct));
            }
            Err(fault) => {
                seated = Err(fault);
                break;
            }
        }
    }
    if seated.is_ok() {
        let pair: [(Client, Road); 2] = clients.try_into().map_err(|_| "a call has two legs")?;
        seated = speaking.seat(Guest::pair(pair)).await.map(drop);
    }
    if seated.is_err() {
        for seat in seats {
            media.leave(seat).await?;
        }
    }
    seated
}

async fn side(media: &Media, speaking: &Speaking, options: &Recording, on: bool) -> Result<Side, Fault> {
    media.record(on).await?;
    tokio::time::sleep(WARM).await;
    if !on {
        rest(media).await?;
    }
    let (pid, shards) = (media.pid(), media.shards()?);
    let (begin, taken) = (clock::now(), media.recorded().await?);
    let look = || Used::now(pid, &shards);
    let (window, [before, after]) = speaking.measure_beside(options.span.time(), look).await?;
    let used = after.since(before);
    let recorded = media.recorded().await? - taken;
    Ok(Side {
        begin,
        window,
        used,
        recorded,
    })
}

/// Waits until the disk has taken what was recorded before: packets are counted when they are written.
async fn rest(media: &Media) -> Result<(), Fault> {
    let mut before = media.recorded().await?;
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(LOOK).await;
        let now = media.recorded().await?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
    Err("the recorder goes on writing although every recording is paused".into())
}
