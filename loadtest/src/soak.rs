//! Calls that come and go for hours: what grows, what is lost, and whether every recording is whole.
//!
//! A call lasts its time, is hung up, its recording is compared with what was sent, and another takes its place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testkit::bad_line::Dice;
use testkit::calls::Agent;
use tokio::task::JoinSet;

use crate::faults::Faults;
use crate::generator::Window;
use crate::making::{Call, Maker};
use crate::options::Soak;
use crate::progress::Progress;
use crate::recorded::{self, Check};
use crate::sampler::{Sample, Sampler};
use crate::server::{Server, Used};
use crate::speaking::{Rank, Speaking};
use crate::{Fault, calls, clock, report, system};

/// Time of one window: long enough to count, short enough that calls which end in it are few.
const WINDOW: Duration = Duration::from_secs(5);
/// Between the last packet of a call and its end: what is under way arrives.
const SILENCE: Duration = Duration::from_millis(500);
/// Between two looks at who is to be replaced.
const LOOK: Duration = Duration::from_millis(200);
/// Samples of a run, and the shortest time between two.
const SAMPLES: u32 = 1_000;
const SAMPLE_MIN: Duration = Duration::from_secs(1);
/// Calls that are made at the same time to replace those that ended.
const MAKING_MAX: usize = 8;
/// Share of the run, from its begin, that is left out of the slopes: buffers, pools and the allocator fill up.
const SETTLING: f64 = 0.125;
/// Shortest time between two faults that are told; a server that is away makes the same one again and again.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What the hours showed.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) pairs: u32,
    pub(crate) hours: f64,
    pub(crate) seed: u64,
    /// Calls that were made, and that could not be made.
    pub(crate) calls: u64,
    pub(crate) failed: Faults,
    pub(crate) check: Check,
    /// All windows together.
    pub(crate) window: Window,
    /// `None`: the process was gone at the end.
    pub(crate) used: Option<Used>,
    pub(crate) samples: Vec<Sample>,
    /// Rooms that are left after the last hang-up; 0, or something leaks. `None`: the server did not say.
    pub(crate) rooms_left: Option<u64>,
}

impl Measured {
    /// The samples behind the settling time.
    pub(crate) fn settled(&self) -> &[Sample] {
        let from = self.hours * 3_600.0 * SETTLING;
        let first = self.samples.partition_point(|sample| sample.at_s < from);
        &self.samples[first..]
    }
}

/// A call that is on.
struct Live {
    call: Call,
    agent: Agent,
    until: Instant,
}

/// Runs it.
pub(crate) fn run(options: &Soak, server: &Server, core: usize) -> Result<report::Report, Fault> {
    system::keep_off(0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(options, server, core))?;
    Ok(report::soak(&measured))
}

/// What goes on at the same time as the windows.
#[derive(Default)]
struct Churn {
    live: VecDeque<Live>,
    making: JoinSet<Result<(Call, Agent), Fault>>,
    /// What was found in a recording, and why it could not be had.
    reading: JoinSet<(Check, Option<Fault>)>,
    calls: u64,
    failed: Faults,
    told: Option<Instant>,
    check: Check,
}

async fn measure(options: &Soak, server: &Server, core: usize) -> Result<Measured, Fault> {
    let shards = server.shards()?;
    let pace = options.pace.pace();
    let speaking = Arc::new(Speaking::start(core, pace, Rank::First)?);
    let maker = Maker::new(server.desk()?, Arc::clone(&speaking))?;
    let time = Duration::from_secs_f64(options.hours * 3_600.0);
    let sampler = Sampler::start(server.pid, shards.clone(), (time / SAMPLES).max(SAMPLE_MIN));
    let mut dice = Dice::of(pace.seed, 0);
    let mut churn = Churn::default();
    let windows = tokio::spawn(count(Arc::clone(&speaking), time));
    let progress = Progress::start("seconds", time.as_secs());
    let (begin, before) = (clock::now(), Used::now(server.pid, &shards)?);
    loop {
        let now = clock::now();
        let passed = now.duration_since(begin);
        progress.at(passed.as_secs());
        if passed >= time {
            break;
        }
        if let Err(fault) = churn.end_old(&maker, now, pace.seed).await {
            churn.fault(&fault);
        }
        churn.begin_new(&maker, options.pairs as usize);
        churn.settle(|| lasts(options.call_seconds, dice.share()));
        tokio::time::sleep(LOOK).await;
    }
    drop(progress);
    let window = windows.await??;
    // What hours have shown is worth no less if the end is not as it ought to be.
    let used = Used::now(server.pid, &shards).map(|used| used.since(before));
    let used = churn.kept(used);
    let samples = sampler.samples();
    drop(sampler);
    if let Err(fault) = churn.end_all(&maker, pace.seed).await {
        churn.fault(&fault);
    }
    churn.kept(server.wait_until_idle().await);
    let rooms_left = churn.kept(server.gauge("helpline_live_rooms").await);
    drop(maker);
    calls::stop(speaking)?;
    Ok(Measured {
        pairs: options.pairs,
        hours: options.hours,
        seed: pace.seed,
        calls: churn.calls,
        failed: churn.failed,
        check: churn.check,
        window,
        used,
        samples,
        rooms_left,
    })
}

/// One window after another for `time`; all together.
async fn count(speaking: Arc<Speaking>, time: Duration) -> Result<Window, Fault> {
    let end = clock::now() + time;
    let mut sum = Window::new()?;
    while clock::now() + WINDOW <= end {
        sum.add(&speaking.measure(WINDOW).await?)?;
    }
    Ok(sum)
}

/// How long a call lasts: half to one and a half of the mean.
fn lasts(mean_s: u64, share: f64) -> Duration {
    Duration::from_secs(mean_s).mul_f64(0.5 + share)
}

impl Churn {
    fn fault(&mut self, fault: &Fault) {
        self.failed.note(&fault.to_string());
        let now = clock::now();
        if self.told.is_none_or(|told| now.duration_since(told) >= TELL_EVERY) {
            self.told = Some(now);
            eprintln!("{fault}");
        }
    }

    /// What was found, or `None` and the fault among the others.
    fn kept<T>(&mut self, found: Result<T, Fault>) -> Option<T> {
        found.inspect_err(|fault| self.fault(fault)).ok()
    }

    /// Hangs up the calls whose time is over.
    async fn end_old(&mut self, maker: &Maker, now: Instant, seed: u64) -> Result<(), Fault> {
        for _ in 0..self.live.len() {
            let Some(live) = self.live.pop_front() else { break };
            if live.until > now {
                self.live.push_back(live);
                continue;
            }
            self.end(maker, live, seed).await?;
        }
        Ok(())
    }

    /// Hangs up, takes the legs away, and has the recording read.
    async fn end(&mut self, maker: &Maker, live: Live, seed: u64) -> Result<(), Fault> {
        let Live { call, agent, .. } = live;
        // They fall silent first: what is said while the call is being ended is in the recording or not, as it happens.
        let ledgers = maker.speaking.remove(call.legs.to_vec()).await?;
        let ledgers = <[_; 2]>::try_from(ledgers).map_err(|_| "a leg was gone already")?;
        let maker = maker.clone();
        self.reading.spawn(async move {
            tokio::time::sleep(SILENCE).await;
            let read = async {
                maker.desk.hang_up(call.id).await?;
                maker.rest(agent);
                recorded::one(&maker.desk, call.id, &ledgers, seed).await
            };
            recorded::or_missing(read.await, &ledgers)
        });
        Ok(())
    }

    /// Begins calls for those that are missing.
    fn begin_new(&mut self, maker: &Maker, pairs: usize) {
        while self.live.len() + self.making.len() < pairs && self.making.len() < MAKING_MAX {
            let maker = maker.clone();
            self.making.spawn(async move { maker.one().await });
        }
    }

    /// Takes what is done of the making and the reading.
    fn settle(&mut self, mut lasts: impl FnMut() -> Duration) {
        while let Some(made) = self.making.try_join_next() {
            match made.map_err(Fault::from).and_then(|made| made) {
                Ok((call, agent)) => {
                    self.calls += 1;
                    let until = clock::now() + lasts();
                    self.live.push_back(Live { call, agent, until });
                }
                Err(fault) => self.fault(&fault),
            }
        }
        while let Some(read) = self.reading.try_join_next() {
            self.read(read.map_err(Fault::from));
        }
    }

    fn read(&mut self, read: Result<(Check, Option<Fault>), Fault>) {
        match read {
            Ok((check, fault)) => {
                self.check.add(check);
                fault.into_iter().for_each(|fault| self.fault(&fault));
            }
            Err(fault) => self.fault(&fault),
        }
    }

    /// The end of the run.
    async fn end_all(&mut self, maker: &Maker, seed: u64) -> Result<(), Fault> {
        while let Some(made) = self.making.join_next().await {
            match made.map_err(Fault::from).and_then(|made| made) {
                Ok((call, agent)) => {
                    self.calls += 1;
                    let until = clock::now();
                    self.live.push_back(Live { call, agent, until });
                }
                Err(fault) => self.fault(&fault),
            }
        }
        while let Some(live) = self.live.pop_front() {
            self.end(maker, live, seed).await?;
        }
        while let Some(read) = self.reading.join_next().await {
            self.read(read.map_err(Fault::from));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_unreadable_recording_ought_to_hold_is_missing_and_the_fault_is_told() {
        let check = |expected, found| Check {
            expected,
            found,
            ..Check::default()
        };
        let mut churn = Churn::default();
        churn.read(Ok((check(300, 300), None)));
        churn.read(Ok((check(100, 0), Some("503".into()))));
        assert_eq!((churn.check.ratio(), churn.failed.count()), (0.75, 1));
    }

    #[test]
    fn calls_last_half_to_one_and_a_half_of_the_mean() {
        assert_eq!(lasts(60, 0.0), Duration::from_secs(30));
        assert_eq!(lasts(60, 0.999_999).as_secs(), 89);
    }
}
