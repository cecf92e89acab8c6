//! One speaker and seven listeners a room, as many rooms as the shard carries: for comparison with published figures of
//! fan-out, which count packets that leave.

use std::ops::Range;
use std::time::Duration;

use media_core::dtls::Certificate;

use crate::child::{Media, Role};
use crate::client::Client;
use crate::faults::{Faults, Patience};
use crate::generator::Window;
use crate::joins::LISTENERS;
use crate::options::Fanout;
use crate::pace::{FRAME, Pace};
use crate::progress::Progress;
use crate::road::Road;
use crate::sampler::{Sample, Sampler};
use crate::server::Used;
use crate::speaking::{Guest, Rank, Speaking};
use crate::{Fault, WARM, report, system};

/// Time between two looks at the media process.
const SAMPLE: Duration = Duration::from_secs(1);
/// Rooms of the first step of a search.
const FIRST_ROOMS: u32 = 20;
/// Most rooms of a search: eight legs each, and a shard takes 4,096.
const ROOMS_MAX: u32 = 512;
/// A search stops above this share of a core, or below this share of packets delivered.
pub(crate) const BUSY_MAX: f64 = 0.9;
pub(crate) const DELIVERED_MIN: f64 = 0.999_9;
/// How far a search goes per step: what the busy share leaves, but no more than double and no less than a tenth more.
const GROWTH: (f64, f64) = (1.1, 2.0);

/// One load.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) rooms: u32,
    pub(crate) window: Window,
    pub(crate) used: Used,
    pub(crate) seconds: u64,
}

impl Step {
    /// Share of a core that the shard used.
    pub(crate) fn busy(&self) -> f64 {
        self.used.busy()
    }

    /// Time of the shard's thread by forwarded packet, us.
    pub(crate) fn us(&self) -> f64 {
        let us = self.used.shards.run_ns as f64 / 1_000.0;
        self.window.per_delivered(us, self.used.at)
    }

    /// Packets forwarded per second.
    pub(crate) fn rate(&self) -> f64 {
        self.window.delivered as f64 / self.seconds as f64
    }

    /// Whether the shard carried it: nearly everything, and nothing twice.
    pub(crate) fn is_carried(&self) -> bool {
        let window = &self.window;
        self.busy() <= BUSY_MAX && window.delivered_ratio() >= DELIVERED_MIN && window.duplicates == 0
    }
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) steps: Vec<Step>,
    /// Rooms in which somebody was not connected, and that were filled again.
    pub(crate) refilled: Faults,
    /// Why the run ended before its last step.
    pub(crate) ended: Option<String>,
    pub(crate) samples: Vec<Sample>,
}

/// Runs it.
pub(crate) fn run(options: &Fanout, core: usize) -> Result<report::Report, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(options, core))?;
    Ok(report::fanout(&measured))
}

async fn measure(options: &Fanout, core: usize) -> Result<Measured, Fault> {
    if !options.rooms.is_sorted() {
        return Err("--rooms takes rising numbers".into());
    }
    let media = Media::start()?;
    let (pid, shards) = (media.pid(), media.shards()?);
    let certificate = Certificate::generate().map_err(|fault| fault.to_string())?;
    let speaking = Speaking::start(core, Pace::steady(1), Rank::First)?;
    system::keep_off(0)?;
    let sampler = Sampler::start(pid, shards.clone(), SAMPLE);
    let mut steps: Vec<Step> = Vec::new();
    let (mut seated, mut refilled, mut ended) = (0, Faults::default(), None);
    loop {
        let rooms = match (options.rooms.get(steps.len()), steps.last()) {
            (Some(rooms), _) => *rooms,
            (None, _) if !options.rooms.is_empty() => break,
            (None, None) => FIRST_ROOMS,
            (None, Some(last)) => match next(last) {
                Some(rooms) => rooms,
                None => break,
            },
        };
        if let Err(fault) = seat(&media, &certificate, &speaking, seated..rooms, &mut refilled).await {
            // Media takes no more rooms at once than it has measured it can carry: that is where a search ends.
            if steps.is_empty() {
                return Err(fault);
            }
            eprintln!("the run ends at {rooms} rooms: {fault}");
            ended = Some(fault.to_string());
            break;
        }
        seated = rooms;
        tokio::time::sleep(WARM).await;
        let look = || Used::now(pid, &shards);
        let (window, [before, after]) = speaking.measure_beside(options.span.time(), look).await?;
        let used = after.since(before);
        let step = Step {
            rooms,
            window,
            used,
            seconds: options.span.seconds,
        };
        let (rate, busy) = (step.rate(), step.busy() * 100.0);
        eprintln!("{rooms} rooms: {rate:.0} packets/s, shard {busy:.0} % busy");
        steps.push(step);
    }
    let samples = sampler.samples();
    drop(sampler);
    speaking.stop()?;
    Ok(Measured {
        steps,
        refilled,
        ended,
        samples,
    })
}

/// Rooms of the next step of a search; `None` when it is over.
fn next(last: &Step) -> Option<u32> {
    if !last.is_carried() || last.rooms >= ROOMS_MAX {
        return None;
    }
    let growth = (BUSY_MAX / last.busy().max(0.01)).clamp(GROWTH.0, GROWTH.1);
    Some(((f64::from(last.rooms) * growth).ceil() as u32).min(ROOMS_MAX))
}

/// Fills rooms.
async fn seat(
    media: &Media,
    certificate: &Certificate,
    speaking: &Speaking,
    rooms: Range<u32>,
    refilled: &mut Faults,
) -> Result<(), Fault> {
    let progress = Progress::start("rooms", u64::from(rooms.end - rooms.start));
    let mut patience = Patience::of(u64::from(rooms.end - rooms.start));
    for room in rooms.clone() {
        while let Err(fault) = fill(media, certificate, speaking, room).await {
            patience.failed(&fault.to_string());
            if patience.is_over() {
                return Err(fault);
            }
        }
        progress.at(u64::from(room - rooms.start + 1));
        // A frame's time per room: handshakes of all rooms at once are what `joins` measures.
        tokio::time::sleep(FRAME).await;
    }
    refilled.add(&patience.into_parts().0);
    speaking.wait_until_heard((rooms.end * LISTENERS) as usize).await
}

/// Puts a speaker and his listeners in a room; nobody if that fails.
async fn fill(media: &Media, certificate: &Certificate, speaking: &Speaking, room: u32) -> Result<(), Fault> {
    let (mut guests, mut seats) = (Vec::new(), Vec::new());
    let mut filled = Ok(());
    for place in 0..=LISTENERS {
        let number = room * (LISTENERS + 1) + place;
        let (peer, offer) = Client::offering(certificate, number);
        let role = if place == 0 { Role::Agent } else { Role::Listener };
        match media.join(u64::from(room), role, offer).await {
            Ok((seat, answer)) => {
                seats.push(seat);
                guests.push(Guest {
                    client: Client::answered(peer, &answer)?,
                    road: Road::Direct,
                    speaks: place == 0,
                    hears: (place > 0).then_some(0),
                });
            }
            Err(fault) => {
                filled = Err(fault);
                break;
            }
        }
    }
    if filled.is_ok() {
        filled = speaking.seat(guests).await.map(drop);
    }
    if filled.is_err() {
        for seat in seats {
            media.leave(seat).await?;
        }
    }
    filled
}
