//! People who join while others talk: how many a second, how soon they hear something, and what the others notice.
//!
//! Everybody joins a room in which one already speaks, as one of up to seven listeners. The calls that are watched have
//! legs of their own in a generator that comes first on its core; who joins runs in a second one that gives way.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use media_core::dtls::Certificate;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::child::{Media, Role, Seated};
use crate::client::Client;
use crate::faults::{Faults, Patience};
use crate::floor::{self, Floor};
use crate::generator::Window;
use crate::options::Joins;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::road::Road;
use crate::sampler::{Sample, Sampler};
use crate::server::Used;
use crate::speaking::{Guest, Rank, Speaking};
use crate::{Fault, WARM, calls, clock, report, system};

/// Listeners of a room: eight legs less the one who speaks.
pub(crate) const LISTENERS: u32 = 7;
/// Time between two looks at the media process.
const SAMPLE: Duration = Duration::from_secs(1);
/// Between two groups of joins; those of one group come at once, as a browser's timers would have it.
const TURN: Duration = Duration::from_millis(5);
/// Longest wait for a first packet: media gives up earlier.
const HEARD_LIMIT: Duration = Duration::from_secs(20);
/// Joins under way at the same time for which there are rooms, as a share of a second's joins. More wait for a room.
const UNDER_WAY: f64 = 0.5;
/// Longest time of a join that is told apart, us.
const JOIN_US_MAX: u64 = 20_000_000;

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) pairs: u32,
    pub(crate) seconds: u64,
    /// Joins that were begun in the measured time.
    pub(crate) begun: u64,
    pub(crate) failed: Faults,
    /// Legs of the calls that are watched which had to be connected again.
    pub(crate) reseated: Faults,
    /// From the offer to the first packet of sound, us.
    pub(crate) join_us: Histogram<u64>,
    /// From the first offer to the last first packet, s.
    pub(crate) took_s: f64,
    /// The calls that were on, before and meanwhile.
    pub(crate) quiet: Window,
    pub(crate) busy: Window,
    pub(crate) used_quiet: Used,
    pub(crate) used_busy: Used,
    /// From the first offer until the last one who joined hears something.
    pub(crate) used_joining: Used,
    pub(crate) samples: Vec<Sample>,
    pub(crate) is_storm: bool,
}

impl Measured {
    /// What the process used for the joins, us: all of it meanwhile, less what the calls that were on take in that time.
    pub(crate) fn joins_us(&self) -> f64 {
        let (quiet, all) = (&self.used_quiet, &self.used_joining);
        let share = all.at.as_secs_f64() / quiet.at.as_secs_f64().max(f64::EPSILON);
        (all.process_us as f64 - quiet.process_us as f64 * share).max(0.0)
    }
}

/// Everything a join needs.
struct Crowd {
    media: Media,
    certificate: Certificate,
    joining: Speaking,
    next: AtomicU32,
    /// Free places, by room.
    free: Mutex<VecDeque<u64>>,
}

/// Runs it; the floor comes after it.
pub(crate) fn run(options: &Joins, core: usize) -> Result<report::Report, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(options, core))?;
    drop(runtime);
    system::pin(None, core)?;
    let floor: Floor = floor::measure(
        options.pairs,
        options.span.time(),
        Pace::steady(1),
        floor::Manner::default(),
    )?;
    Ok(report::joins(&measured, &floor))
}

async fn measure(options: &Joins, core: usize) -> Result<Measured, Fault> {
    let media = Media::start()?;
    let (pid, shards) = (media.pid(), media.shards()?);
    let watched = Arc::new(Speaking::start(core, Pace::steady(1), Rank::First)?);
    // Offers and answers are load too: they keep off the shard's core and give way to what measures.
    system::keep_off(0)?;
    system::give_way()?;
    let crowd = Arc::new(Crowd {
        media,
        certificate: Certificate::generate().map_err(|fault| fault.to_string())?,
        joining: Speaking::start(core, Pace::steady(2), Rank::Second)?,
        next: AtomicU32::new(0),
        free: Mutex::default(),
    });
    let joins = options.storm.unwrap_or(options.rate);
    let share = if options.storm.is_some() { 1.0 } else { UNDER_WAY };
    let rooms = (f64::from(joins) * share / f64::from(LISTENERS)).ceil() as u32 + 1;
    let reseated = seat(&crowd, &watched, options.pairs, rooms).await?;
    tokio::time::sleep(WARM).await;

    let sampler = Sampler::start(pid, shards.clone(), SAMPLE);
    let (time, look) = (options.span.time(), || Used::now(pid, &shards));
    let (quiet, [quiet_from, quiet_to]) = watched.measure_beside(time, look).await?;
    let before = look()?;
    let joining = async {
        let joined = storm_or_stream(options, &crowd).await?;
        Ok::<_, Fault>((joined, look()?.since(before)))
    };
    let (busy, joined) = tokio::join!(watched.measure_beside(time, look), joining);
    let ((busy, [busy_from, busy_to]), (joined, used_joining)) = (busy?, joined?);
    let samples = sampler.samples();
    drop(sampler);
    calls::stop(watched)?;
    let crowd = Arc::into_inner(crowd).ok_or("somebody is still joining")?;
    crowd.joining.stop()?;
    Ok(Measured {
        pairs: options.pairs,
        seconds: options.span.seconds,
        begun: joined.begun,
        failed: joined.failed,
        reseated,
        join_us: joined.join_us,
        took_s: joined.took_s,
        quiet,
        busy,
        used_quiet: quiet_to.since(quiet_from),
        used_busy: busy_to.since(busy_from),
        used_joining,
        samples,
        is_storm: options.storm.is_some(),
    })
}

/// Puts the calls that are watched and the speakers of the others' rooms in their places; what had to be done again.
async fn seat(crowd: &Arc<Crowd>, watched: &Speaking, pairs: u32, rooms: u32) -> Result<Faults, Fault> {
    let progress = Progress::start("legs in their rooms", u64::from(pairs * 2 + rooms));
    let mut patience = Patience::of(u64::from(pairs + rooms));
    for room in 0..pairs + rooms {
        let legs = if room < pairs { 2 } else { 1 };
        while let Err(fault) = crowd.seat(watched, u64::from(room), legs).await {
            patience.failed(&fault.to_string());
            if patience.is_over() {
                return Err(fault);
            }
        }
        if legs == 1 {
            let mut free = crowd.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.extend((0..LISTENERS).map(|_| u64::from(room)));
        }
        progress.at(u64::from(room + room.min(pairs)));
    }
    watched.wait_until_heard(pairs as usize * 2).await?;
    Ok(patience.into_parts().0)
}

/// What the joins did.
struct Joined {
    begun: u64,
    failed: Faults,
    join_us: Histogram<u64>,
    took_s: f64,
}

/// Begins the joins at their times and waits for all of them.
async fn storm_or_stream(options: &Joins, crowd: &Arc<Crowd>) -> Result<Joined, Fault> {
    let storm = options.storm.is_some();
    let rate = options.storm.unwrap_or(options.rate);
    let time = if storm {
        Duration::from_secs(1)
    } else {
        options.span.time()
    };
    let total = u64::from(rate) * time.as_secs();
    let progress = Progress::start("joins", total);
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = JoinSet::new();
    let mut joined = Joined {
        begun: 0,
        failed: Faults::default(),
        join_us: Histogram::new_with_max(JOIN_US_MAX, 3)?,
        took_s: 0.0,
    };
    let begin = Instant::from_std(clock::now());
    while joined.begun < total {
        tokio::select! {
            _ = turns.tick() => {
                let passed = Instant::from_std(clock::now()).duration_since(begin);
                let due = (passed.as_secs_f64() * f64::from(rate)) as u64;
                while joined.begun < due.min(total) {
                    joined.begun += 1;
                    let crowd = Arc::clone(crowd);
                    running.spawn(async move { crowd.join(!storm).await });
                }
            }
            Some(done) = running.join_next() => joined.note(done?),
        }
        progress.at(joined.join_us.len());
    }
    while let Some(done) = running.join_next().await {
        joined.note(done?);
    }
    joined.took_s = Instant::from_std(clock::now()).duration_since(begin).as_secs_f64();
    Ok(joined)
}

impl Joined {
    fn note(&mut self, done: Result<Duration, Fault>) {
        match done {
            Ok(time) => self.join_us.saturating_record(time.as_micros() as u64),
            Err(fault) => self.failed.note(&fault.to_string()),
        }
    }
}

impl Crowd {
    /// A client in a room: its offer is made here, its packets are the caller's.
    async fn attach(&self, room: u64, role: Role) -> Result<(Client, Seated), Fault> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (peer, offer) = Client::offering(&self.certificate, number);
        let (seat, answer) = self.media.join(room, role, offer).await?;
        Ok((Client::answered(peer, &answer)?, seat))
    }

    /// Two legs that hear each other, or one that only speaks, in a room; none of them if that fails.
    async fn seat(&self, watched: &Speaking, room: u64, legs: usize) -> Result<(), Fault> {
        let (mut guests, mut seats) = (Vec::with_capacity(legs), Vec::with_capacity(legs));
        let mut seated = Ok(());
        for place in 0..legs {
            match self.attach(room, Role::Agent).await {
                Ok((client, seat)) => {
                    seats.push(seat);
                    guests.push(Guest {
                        client,
                        road: Road::Direct,
                        speaks: true,
                        hears: (legs == 2).then_some(1 - place.min(1)),
                    });
                }
                Err(fault) => seated = Err(fault),
            }
        }
        if seated.is_ok() {
            seated = watched.seat(guests).await.map(drop);
        }
        if seated.is_err() {
            for seat in seats {
                self.media.leave(seat).await?;
            }
        }
        seated
    }

    /// One join, from the offer to the first packet.
    async fn join(&self, leaves: bool) -> Result<Duration, Fault> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let room = free.ok_or("no room had a place: joins take too long at this rate")?;
        let begin = clock::now();
        let (client, seat) = self.attach(room, Role::Listener).await?;
        let first = tokio::time::timeout(HEARD_LIMIT, self.joining.first_packet(client));
        let (leg, at) = first.await.map_err(|_| "no sound came")??;
        if leaves {
            self.joining.remove(vec![leg]).await?;
            self.media.leave(seat).await?;
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.push_back(seat.room);
        }
        Ok(at.saturating_duration_since(begin))
    }
}
