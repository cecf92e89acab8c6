//! Lays the units of both sides on the grid of the master: which plays in which slot, and what lies between.
//!
//! Never stretches sound: a clock that runs away is caught up by one slot more or one slot less. And never looks at one
//! side alone: each rounds to slots in its own way, and what a listener hears is how far the two are from each other.
//!
//! Invariant: slots rise strictly from unit to unit, and a unit stands within one slot of the time for which it stands,
//! and within one of the other side, unless a side itself sends more sound than there is time.

use crate::align::{Cause, Unit};

/// A missing piece up to this long keeps the rhythm of the packets around it: 200 ms in samples.
pub(crate) const SHORT_GAP: i64 = 9_600;
/// The other side counts as heard beside a unit for this long after its last one: a second in samples, more than the
/// 400 ms between two packets of DTX.
const BESIDE: i64 = 48_000;
/// 1 ms in samples.
const MS: i64 = 48;

/// A unit in its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed<'a> {
    /// First slot.
    pub(crate) slot: u64,
    /// Samples between the slot's start and the time the unit stands for; positive is late.
    pub(crate) error: i64,
    /// Why slots before it are empty, when they are.
    pub(crate) gap: Cause,
    pub(crate) unit: Unit<'a>,
}

/// A side on the grid.
#[derive(Clone, Debug, Default)]
pub(crate) struct Laid<'a> {
    pub(crate) placed: Vec<Placed<'a>>,
    /// Taken out to follow the clock, or for want of room: they stay in the side data.
    pub(crate) removed: Vec<Unit<'a>>,
    /// Slots added to follow the clock.
    pub(crate) inserted: u64,
    /// Packets beyond either end of the recording.
    pub(crate) outside: u64,
}

/// How far a unit may stand from where it should before the side takes a turn: is moved by one step, a slot or the
/// length of a packet.
#[derive(Clone, Copy)]
struct Patience {
    /// From its own time, while the other side is silent.
    alone: i64,
    /// From its own time, while both are heard.
    away: i64,
    /// From the other side.
    apart: i64,
}

impl Patience {
    /// For a unit in which nobody would hear a turn, or for one in speech.
    ///
    /// Two sides whose packets begin anywhere between two slots can always stand within half a step of each other, and
    /// then within three quarters of one of their own time. What is granted beyond keeps turns from going to and fro;
    /// speech is granted more, so that a quiet unit may come in time. With steps of 20 ms a quiet side turns at 12 ms
    /// from the other and 16 ms from its time, a speaking one at 15 and 18.
    fn new(step: i64, quiet: bool) -> Patience {
        if quiet {
            Patience {
                alone: (12 * MS).max(step / 2 + 2 * MS),
                away: (16 * MS).max(step * 3 / 4 + MS),
                apart: (12 * MS).max(step / 2 + 2 * MS),
            }
        } else {
            Patience {
                alone: (18 * MS).max(step / 2 + 6 * MS),
                away: (18 * MS).max(step * 3 / 4 + 3 * MS),
                apart: (15 * MS).max(step / 2 + 5 * MS),
            }
        }
    }

    /// Whether a unit that is late by `error` is too late, its side having to move by `step`. `beside`: how late the
    /// other side is. Turned round (both negated) it says whether a unit is too early.
    fn is_over(self, error: i64, beside: Option<i64>, step: i64) -> bool {
        let Some(other) = beside else { return error > self.alone };
        // A side that turns leaves one that is as late by a whole step, and by more one that is later still: that one
        // goes first. Past what speech is granted nobody waits.
        let away = error > self.away && (error > other || error > Patience::new(step, false).away);
        // Of two sides that are apart, the one turns that does not leave its own time by it.
        away || (error - other > self.apart && step - error <= Patience::new(step, true).away)
    }
}

/// Where the unit before stands.
struct Before {
    run: usize,
    ts_end: i64,
    slot_end: i64,
    last_seq: u32,
    /// The time it stands for.
    at: i64,
    /// How late the next unit will be, if it follows at once.
    error: i64,
}

/// One side on its way along the grid.
struct Course<'a> {
    grid: i64,
    slots: i64,
    before: Option<Before>,
    laid: Laid<'a>,
}

/// Places the units of both sides, each in the order of their time, on grids of so many samples with so many slots.
pub(crate) fn lay(units: [Vec<Unit<'_>>; 2], grids: [u32; 2], slots: [u64; 2]) -> [Laid<'_>; 2] {
    let [customer, agent] = units;
    let mut courses = [
        Course::new(customer.len(), grids[0], slots[0]),
        Course::new(agent.len(), grids[1], slots[1]),
    ];
    let (mut customer, mut agent) = (customer.into_iter(), agent.into_iter());
    loop {
        let [one, two] = &mut courses;
        let (unit, own, other) = match (customer.as_slice().first(), agent.as_slice().first()) {
            (Some(first), Some(second)) if second.at < first.at => (agent.next(), two, one),
            (Some(_), _) => (customer.next(), one, two),
            (None, _) => (agent.next(), two, one),
        };
        let Some(unit) = unit else { break };
        let beside = other.error_at(unit.at);
        own.place(unit, beside);
    }
    courses.map(|course| course.laid)
}

impl<'a> Course<'a> {
    fn new(units: usize, grid: u32, slots: u64) -> Self {
        Course {
            grid: i64::from(grid.max(1)),
            slots: i64::try_from(slots).unwrap_or(i64::MAX),
            before: None,
            laid: Laid {
                placed: Vec::with_capacity(units),
                ..Laid::default()
            },
        }
    }

    /// How late this side is at a time, if it is heard then. A side that is beyond a slot is no measure for the other.
    fn error_at(&self, at: i64) -> Option<i64> {
        let before = self.before.as_ref()?;
        (at - before.at <= BESIDE && before.error.abs() <= self.grid).then_some(before.error)
    }

    fn nearest(&self, at: i64) -> i64 {
        at.saturating_add(self.grid / 2).div_euclid(self.grid)
    }

    /// The slot for a time: the nearest, or its neighbour if that one is nearer to the other side.
    fn best(&self, at: i64, beside: Option<i64>) -> i64 {
        let nearest = self.nearest(at);
        let Some(other) = beside else { return nearest };
        let away = Patience::new(self.grid, false).away;
        let strain = |slot: &i64| {
            let error = slot.saturating_mul(self.grid).saturating_sub(at);
            // Half a slot from the other side weighs as much as three quarters from the own time, up to where even
            // speech would take a turn.
            let both = (3 * (error - other).abs()).max(2 * error.abs());
            (error.abs() > away, both)
        };
        let around = [nearest, nearest.saturating_sub(1), nearest.saturating_add(1)];
        around.into_iter().min_by_key(strain).unwrap_or(nearest)
    }

    fn place(&mut self, unit: Unit<'a>, beside: Option<i64>) {
        let grid = self.grid;
        let long = (i64::from(unit.samples) + grid - 1) / grid;
        let nearest = self.nearest(unit.at);
        if nearest < 0 || nearest.saturating_add(long) > self.slots {
            self.laid.outside += unit.packets.len() as u64;
            return;
        }
        let best = || self.best(unit.at, beside);
        let end = self.before.as_ref().map_or(0, |b| b.slot_end);
        let before = self.before.as_ref().filter(|b| b.run == unit.run && !unit.stalled);
        let rhythm = before.map(|b| unit.ts - b.ts_end);
        let rhythm = rhythm.filter(|gap| (0..=SHORT_GAP).contains(gap) && gap % grid == 0);
        let mut slot = rhythm.map_or_else(|| end.max(best()), |gap| end + gap / grid);
        let error = slot * grid - unit.at;
        let late = |step: i64, quiet: bool| Patience::new(step, quiet).is_over(error, beside, step);
        let early = |quiet: bool| Patience::new(grid, quiet).is_over(-error, beside.map(|other| -other), grid);
        if slot > end && late(grid, true) {
            slot = end.max(best().min(slot - 1));
        } else if late(long * grid, unit.quiet) {
            self.remove(unit, long);
            return;
        } else if rhythm.is_some_and(|gap| early(gap > 0 || unit.quiet)) {
            let sooner = slot;
            slot = best().max(slot + 1);
            self.laid.inserted += (slot - sooner).unsigned_abs();
        }
        if slot + long > self.slots {
            self.laid.outside += unit.packets.len() as u64;
            return;
        }
        let gap = cause(self.before.as_ref(), &unit);
        let error = slot * grid - unit.at;
        self.before = Some(Before {
            run: unit.run,
            ts_end: unit.ts + i64::from(unit.samples),
            slot_end: slot + long,
            last_seq: unit.last_seq,
            at: unit.at,
            error,
        });
        self.laid.placed.push(Placed {
            slot: slot.unsigned_abs(),
            error,
            gap,
            unit,
        });
    }

    /// Leaves a unit out: what follows it plays sooner.
    fn remove(&mut self, unit: Unit<'a>, long: i64) {
        if let Some(b) = self.before.as_mut().filter(|b| b.run == unit.run) {
            (b.ts_end, b.last_seq) = (unit.ts + i64::from(unit.samples), unit.last_seq);
            b.error -= long * self.grid;
        }
        self.laid.removed.push(unit);
    }
}

/// Why there may be empty slots before a unit.
fn cause(before: Option<&Before>, unit: &Unit<'_>) -> Cause {
    match before {
        None => Cause::Absent,
        Some(_) if unit.stalled => Cause::CaptureStall,
        Some(b) if b.run != unit.run => Cause::Disconnect,
        Some(b) if unit.first_seq > b.last_seq.saturating_add(1) => Cause::Network,
        Some(_) => Cause::Dtx,
    }
}
