//! Calls through a running server: made over REST, joined by `POST /api/rtc`, spoken from the generator's own thread,
//! measured step by step, and compared with their recordings in the end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::faults::Faults;
use crate::floor::{self, Floor, Manner};
use crate::generator::Window;
use crate::making::{Call, Maker};
use crate::pace::{FRAMES_5_MS, FRAMES_20_MS, Pace};
use crate::progress::Progress;
use crate::recorded::{self, Check};
use crate::road::Ways;
use crate::sampler::{Sample, Sampler};
use crate::server::{Server, Used};
use crate::speaking::{Rank, Speaking};
use crate::system::Cpu;
use crate::watch::{Moment, Watch};
use crate::{Fault, WARM, clock, report, system};

/// Calls before anything is counted: what the first one touches (connections, threads, the recorder's files) belongs to the
/// server, not to a leg. Higher: what the further ones leave free is used again by those that are measured, whose memory
/// then does not show.
const FIRST: u32 = 1;
/// Time between two looks at the server.
const SAMPLE: Duration = Duration::from_secs(1);
/// Times that calls in which somebody hears nobody are made anew.
const HEARING_TRIES: u32 = 2;
/// Measured time after a hold.
const AFTER_HOLD: Duration = Duration::from_secs(5);

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Calls of each step, rising.
    pub(crate) steps: Vec<u32>,
    /// Measured time of a step.
    pub(crate) time: Duration,
    pub(crate) pace: Pace,
    /// Packets that each leg sends while its call is on hold, after the last step.
    pub(crate) hold_packets: Option<u32>,
    /// Every leg changes its address once in each step.
    pub(crate) switch: bool,
    /// Legs go through the server's relay.
    pub(crate) relay: Option<Ways>,
    /// Whether the recordings are compared with what was sent.
    pub(crate) compare: bool,
    /// Who is told when a measured window begins, and when it is over.
    pub(crate) watch: Watch,
}

/// One load and what it cost.
#[derive(Debug)]
pub(crate) struct Step {
    /// Calls that were to be made, and those that were.
    pub(crate) asked: u32,
    pub(crate) pairs: u32,
    pub(crate) seconds: u64,
    /// From the first request of the step to the last leg that hears.
    pub(crate) setup_s: f64,
    /// True when every call was recorded.
    pub(crate) recorded: bool,
    pub(crate) window: Window,
    pub(crate) used: Used,
    /// Time of the relay's threads.
    pub(crate) relay: Cpu,
    /// Growth of the process since before the first leg.
    pub(crate) grown_bytes: u64,
    /// What the recorder holds for the disk, by its own gauge.
    pub(crate) buffers_bytes: u64,
    /// What its shards let pass between two reads at least, at the end of the window.
    pub(crate) gather: Duration,
    /// The kernel's part, under the same legs at the same pace.
    pub(crate) floor: Option<Floor>,
    /// The same with a reflector that gathers as the shards did, if they did.
    pub(crate) gathering_floor: Option<Floor>,
}

/// What followed a hold.
#[derive(Debug)]
pub(crate) struct Held {
    /// Packets each leg sent meanwhile.
    pub(crate) packets: u32,
    /// The time behind it.
    pub(crate) window: Window,
}

/// What making the recordings cost, from the first hang-up to the last recording that is stored.
#[derive(Debug)]
pub(crate) struct Finalising {
    pub(crate) used: Used,
    /// Packets that were recorded in all calls.
    pub(crate) packets: u64,
}

/// A whole run.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) steps: Vec<Step>,
    pub(crate) held: Option<Held>,
    pub(crate) check: Option<Check>,
    pub(crate) finalising: Option<Finalising>,
    /// Calls that failed while they were made, and were made again.
    pub(crate) remade: Faults,
    /// Why the run ended before its last step.
    pub(crate) ended: Option<String>,
    /// What else went wrong; what it belonged to is missing from the figures.
    pub(crate) trouble: Faults,
    pub(crate) samples: Vec<Sample>,
    pub(crate) pace: Pace,
    pub(crate) switch: bool,
    pub(crate) relay: Option<Ways>,
}

/// Makes the calls, measures them, ends them, and measures the floor.
pub(crate) fn run(run: &Run, server: &Server, core: usize) -> Result<report::Report, Fault> {
    let shards = server.shards()?;
    // Requests are load too: they keep off the shard's core.
    system::keep_off(0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut measured = runtime.block_on(measure(run, server, &shards, core))?;
    drop(runtime);
    system::pin(None, core)?;
    for step in &mut measured.steps {
        let (pairs, seconds) = (step.pairs, step.seconds);
        let mut floor = |manner| {
            let floor = floor::measure(pairs, run.time, run.pace, manner);
            floor
                .inspect_err(|fault| measured.trouble.note(&format!("no floor: {fault}")))
                .ok()
        };
        eprintln!("the floor under {pairs} calls, {seconds} s");
        step.floor = floor(Manner::default());
        if !step.gather.is_zero() {
            eprintln!(
                "the same, gathering for {} us as the shard did",
                step.gather.as_micros()
            );
            let gather = step.gather;
            step.gathering_floor = floor(Manner {
                gather,
                ..Manner::default()
            });
        }
    }
    Ok(report::calls(&measured))
}

/// What a run has reached so far.
#[derive(Default)]
struct Reached {
    calls: Vec<Call>,
    steps: Vec<Step>,
    remade: Faults,
    ended: Option<String>,
    trouble: Faults,
}

async fn measure(run: &Run, server: &Server, shards: &[u32], core: usize) -> Result<Measured, Fault> {
    let desk = server.desk()?;
    let first = Arc::new(Speaking::start(core, Pace::steady(run.pace.seed), Rank::First)?);
    let maker = Maker::new(desk.clone(), Arc::clone(&first))?;
    let made = maker.many(FIRST).await?;
    if made.calls.is_empty() {
        return Err(made.ended.unwrap_or_else(|| "no call could be made".to_owned()).into());
    }
    first.wait_until_heard(made.calls.len() * 2).await?;
    tokio::time::sleep(WARM).await;
    maker.hang_up(&made.calls).await;
    drop(maker);
    stop(first)?;
    server.wait_until_idle().await?;

    let speaking = Arc::new(Speaking::start(core, run.pace, Rank::First)?);
    let maker = Maker::new(desk.clone(), Arc::clone(&speaking))?.over(run.relay);
    let idle = system::resident_bytes(server.pid)?;
    let taken = server.gauge("helpline_recording_packets_total").await?;
    let sampler = Sampler::start(server.pid, shards.to_vec(), SAMPLE);
    let mut reached = Reached::default();
    for pairs in &run.steps {
        step(run, *pairs, server, shards, &maker, &mut reached, idle).await?;
        if let Some(why) = &reached.ended {
            eprintln!("no more than {} calls: {why}", reached.calls.len());
            break;
        }
    }
    let held = match run.hold_packets {
        Some(packets) => {
            let held = hold(packets, &maker, &reached.calls, &mut reached.trouble).await;
            kept(held, "hold", &mut reached.trouble)
        }
        None => None,
    };
    let samples = sampler.samples();
    drop(sampler);
    let ended = end(server, shards, &maker, &mut reached, taken).await;
    let finalising = kept(ended, "finalising", &mut reached.trouble);
    let legs = reached.calls.iter().flat_map(|call| call.legs).collect();
    let ledgers = speaking.remove(legs).await?;
    let check = match run.compare {
        true => {
            let check = recorded::check(&desk, &reached.calls, ledgers, run.pace.seed, &mut reached.trouble).await;
            kept(check, "comparison", &mut reached.trouble)
        }
        false => None,
    };
    drop(maker);
    stop(speaking)?;
    Ok(Measured {
        steps: reached.steps,
        held,
        check,
        finalising,
        remade: reached.remade,
        ended: reached.ended,
        trouble: reached.trouble,
        samples,
        pace: run.pace,
        switch: run.switch,
        relay: run.relay,
    })
}

/// What was found, or `None` and a note of why not: what was measured before is worth no less for it.
fn kept<T>(found: Result<T, Fault>, what: &str, trouble: &mut Faults) -> Option<T> {
    found
        .inspect_err(|fault| trouble.note(&format!("no {what}: {fault}")))
        .ok()
}

/// Ends the calls, and waits until their recordings are stored.
async fn end(
    server: &Server,
    shards: &[u32],
    maker: &Maker,
    reached: &mut Reached,
    taken: u64,
) -> Result<Finalising, Fault> {
    let before = Used::now(server.pid, shards)?;
    let finished = server.finished().await?;
    reached.trouble.add(&maker.hang_up(&reached.calls).await);
    // The floor comes next, and finishing hundreds of recordings beside it would be counted as the kernel's work.
    if reached.steps.iter().all(|step| step.recorded) {
        server
            .wait_until_finished(finished + reached.calls.len() as u64)
            .await?;
    }
    server.wait_until_stored().await?;
    Ok(Finalising {
        used: Used::now(server.pid, shards)?.since(before),
        packets: server.gauge("helpline_recording_packets_total").await? - taken,
    })
}

/// Ends a generator that nobody else uses any more.
pub(crate) fn stop(speaking: Arc<Speaking>) -> Result<(), Fault> {
    let speaking = Arc::into_inner(speaking).ok_or("the generator is still in use")?;
    Ok(speaking.stop()?)
}

/// Adds calls until there are `pairs`, and measures them. While calls are made the others only let know that they are
/// there: what is measured is how many calls are carried, and making them takes its own part of generator and server.
async fn step(
    run: &Run,
    pairs: u32,
    server: &Server,
    shards: &[u32],
    maker: &Maker,
    reached: &mut Reached,
    idle: u64,
) -> Result<(), Fault> {
    let speaking = &maker.speaking;
    let begin = clock::now();
    speaking.hush(true)?;
    let fresh = reached.calls.len();
    make(maker, pairs, reached).await?;
    hear_all(maker, pairs, reached).await?;
    let setup_s = clock::now().duration_since(begin).as_secs_f64();
    if reached.calls.is_empty() {
        let why = reached.ended.take();
        return Err(why.unwrap_or_else(|| "no call could be made".to_owned()).into());
    }
    speaking.hush(false)?;
    tokio::time::sleep(WARM).await;
    let mut recorded = true;
    for call in reached.calls.iter().skip(fresh) {
        match maker.desk.call(call.id).await {
            Ok(call) => recorded &= call.recorded,
            Err(fault) => {
                recorded = false;
                reached.trouble.note(&fault.to_string());
            }
        }
    }
    let grown_bytes = system::resident_bytes(server.pid)?.saturating_sub(idle);
    let buffers_bytes = server.gauge("helpline_recording_buffer_bytes").await?;
    let seconds = run.time.as_secs();
    eprintln!("{grown_bytes} bytes more in memory, {buffers_bytes} of them the recorder's; measuring for {seconds} s");
    if run.switch {
        // The second half shows how it goes on.
        speaking.move_all(run.time / 2)?;
    }
    let relay = server.relay()?;
    let mut moments = [Moment::Begun, Moment::Over].into_iter();
    let look = || {
        let seen = (Used::now(server.pid, shards)?, system::thread_cpu(server.pid, &relay)?);
        moments.next().into_iter().for_each(|moment| run.watch.tell(moment));
        Ok(seen)
    };
    let (window, [before, after]) = speaking.measure_beside(run.time, look).await?;
    let (used, relay) = (after.0.since(before.0), after.1.since(before.1));
    let gather = server.largest("helpline_shard_gather_seconds").await?;
    reached.steps.push(Step {
        asked: pairs,
        pairs: reached.calls.len() as u32,
        seconds,
        setup_s,
        recorded,
        window,
        used,
        relay,
        grown_bytes,
        buffers_bytes,
        gather: Duration::from_secs_f64(gather),
        floor: None,
        gathering_floor: None,
    });
    Ok(())
}

/// Makes what is missing of `pairs` calls.
async fn make(maker: &Maker, pairs: u32, reached: &mut Reached) -> Result<(), Fault> {
    let made = maker.many(pairs.saturating_sub(reached.calls.len() as u32)).await?;
    reached.calls.extend(made.calls);
    reached.remade.add(&made.failed);
    reached.ended = reached.ended.take().or(made.ended);
    Ok(())
}

/// Waits until everybody hears the other side; calls in which somebody does not are made again.
async fn hear_all(maker: &Maker, pairs: u32, reached: &mut Reached) -> Result<(), Fault> {
    for left in (0..=HEARING_TRIES).rev() {
        let heard = maker.speaking.wait_until_heard(reached.calls.len() * 2).await;
        let Err(fault) = heard else { return Ok(()) };
        let deaf: HashSet<u32> = maker.speaking.deaf().await?.into_iter().collect();
        let all = std::mem::take(&mut reached.calls);
        let (broken, whole): (Vec<Call>, Vec<Call>) = all
            .into_iter()
            .partition(|call| call.legs.iter().any(|leg| deaf.contains(leg)));
        reached.calls = whole;
        for _ in &broken {
            reached.remade.note("somebody heard nobody");
        }
        reached.trouble.add(&maker.hang_up(&broken).await);
        let legs = broken.iter().flat_map(|call| call.legs).collect();
        maker.speaking.remove(legs).await?;
        if left == 0 {
            reached.ended.get_or_insert_with(|| fault.to_string());
        } else if reached.ended.is_none() {
            make(maker, pairs, reached).await?;
        }
    }
    Ok(())
}

/// Both sides send `packets` packets while nobody hears them, and ought to be heard at once afterwards.
async fn hold(packets: u32, maker: &Maker, calls: &[Call], trouble: &mut Faults) -> Result<Held, Fault> {
    trouble.add(&maker.hold(calls).await);
    tokio::time::sleep(WARM).await;
    maker.speaking.speak_in(FRAMES_5_MS)?;
    let time = FRAMES_5_MS.time * packets;
    let progress = Progress::start("seconds on hold", time.as_secs());
    let begin = clock::now();
    loop {
        let held = clock::now().duration_since(begin);
        progress.at(held.as_secs());
        if held >= time {
            break;
        }
        tokio::time::sleep(SAMPLE.min(time - held)).await;
    }
    drop(progress);
    maker.speaking.speak_in(FRAMES_20_MS)?;
    tokio::time::sleep(WARM).await;
    trouble.add(&maker.resume(calls).await);
    tokio::time::sleep(WARM).await;
    let window = maker.speaking.measure(AFTER_HOLD).await?;
    Ok(Held { packets, window })
}
