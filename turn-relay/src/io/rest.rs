//! How long a worker that has met a defect rests before it goes on: a defect that meets it in every turn must not make a
//! thread, or the shard's that runs it, do nothing but begin anew.
//!
//! The first of a row costs no time, for it is mostly one packet's; each further one doubles the pause. A worker that has
//! gone on well for a while begins a new row.
//!
//! Never reads a clock: the moment is handed in.

/// Nanoseconds of the pause behind the second defect of a row.
/// Higher: clients whose worker met two in a row wait longer. Lower: more of a core for nothing.
pub(crate) const PAUSE_NS_FIRST: u64 = 100_000_000;
/// Longest pause, nanoseconds: what a browser's Allocate takes with its first three tries, so that who comes within a pause
/// is answered behind it.
/// Higher: the relay comes back later once the cause is gone. Lower: more of a core for nothing.
pub(crate) const PAUSE_NS_MAX: u64 = 5_000_000_000;
/// Nanoseconds of work without a defect after which the next one is a first again.
pub(crate) const CALM_NS: u64 = 10_000_000_000;

/// See the top of this file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    /// Defects of this row.
    row: u32,
    /// Until when it rests, or has rested.
    until_ns: u64,
    /// There was a defect since [`Rest::is_well`] was asked last.
    struck: bool,
}

impl Rest {
    /// A defect was met.
    pub(crate) fn struck(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.until_ns) >= CALM_NS {
            self.row = 0;
        }
        let pause_ns = match self.row {
            0 => 0,
            row => PAUSE_NS_FIRST.saturating_mul(1 << (row - 1).min(32)).min(PAUSE_NS_MAX),
        };
        self.row = self.row.saturating_add(1);
        self.until_ns = now_ns + pause_ns;
        self.struck = true;
    }

    /// Nanoseconds that it has still to rest; `None`: it may work.
    pub(crate) fn left_ns(&self, now_ns: u64) -> Option<u64> {
        (now_ns < self.until_ns).then(|| self.until_ns - now_ns)
    }

    /// Whether no defect was met since the last time that this was asked.
    pub(crate) fn is_well(&mut self) -> bool {
        !std::mem::take(&mut self.struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn the_first_costs_no_time_and_each_further_one_twice_as_much_up_to_the_limit() {
        let (mut rest, mut now) = (Rest::default(), CALM_NS);
        let pauses = (0..9).map(|_| {
            rest.struck(now);
            let pause = rest.left_ns(now).unwrap_or(0);
            now += pause;
            pause / MS
        });
        assert_eq!(
            pauses.collect::<Vec<_>>(),
            [0, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
        );
        for _ in 0..100 {
            rest.struck(now);
        }
        assert_eq!(rest.left_ns(now), Some(PAUSE_NS_MAX));
        assert_eq!(rest.left_ns(now + PAUSE_NS_MAX - 1), Some(1));
        assert_eq!(rest.left_ns(now + PAUSE_NS_MAX), None);
    }

    #[test]
    fn a_worker_that_went_on_well_begins_a_new_row() {
        let mut rest = Rest::default();
        rest.struck(CALM_NS);
        rest.struck(CALM_NS);
        let worked_from = CALM_NS + PAUSE_NS_FIRST;
        rest.struck(worked_from + CALM_NS - 1);
        assert_eq!(rest.left_ns(worked_from + CALM_NS - 1), Some(2 * PAUSE_NS_FIRST));
        let worked_from = worked_from + CALM_NS - 1 + 2 * PAUSE_NS_FIRST;
        rest.struck(worked_from + CALM_NS);
        assert_eq!(rest.left_ns(worked_from + CALM_NS), None);
    }

    #[test]
    fn it_is_well_once_it_was_asked_and_nothing_happened_since() {
        let mut rest = Rest::default();
        assert!(rest.is_well());
        rest.struck(1);
        assert!(!rest.is_well());
        assert!(rest.is_well());
    }
}
