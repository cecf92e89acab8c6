//! What one measured span of time showed.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::faults::Faults;
use crate::pace::FRAME;
use crate::rank::Granted;

/// Longest time that is told apart, us; ten seconds are lost for a call.
const TIME_US_MAX: u64 = 10_000_000;
/// Significant digits of the histograms.
const DIGITS: u8 = 3;

/// Figures of one window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// How long was measured.
    pub(crate) time: Duration,
    /// Packets of speech sent.
    pub(crate) sent: u64,
    /// Packets that the profile lost before they left.
    pub(crate) lost_on_purpose: u64,
    /// Comfort frames sent; they carry no label and count nowhere else.
    pub(crate) comfort: u64,
    /// Packets that ought to arrive: every sent one at each leg that is to hear it.
    pub(crate) expected: u64,
    /// Of these, those that arrived; a packet that a leg got twice arrived there once.
    pub(crate) delivered: u64,
    /// Packets that a leg got once more. They count nowhere else: one that is lost and one that is doubled are no whole
    /// window.
    pub(crate) duplicates: u64,
    /// Times under way, us: until the kernel had the packet, or until it was read where the kernel does not say.
    pub(crate) latency_us: Histogram<u64>,
    /// The same until it was read in any case.
    pub(crate) latency_read_us: Histogram<u64>,
    /// How long packets lay unread, us: the generator's own part of the time above.
    pub(crate) unread_us: Histogram<u64>,
    /// Gaps of a listener beyond those of the speaker, us: see [`Window::arrived`].
    pub(crate) gap_us: Histogram<u64>,
    /// The part of the longest gap that cannot be the generator's own late reading, us.
    pub(crate) gap_sure_us: u64,
    /// How late the generator itself sent, us.
    pub(crate) late_us: Histogram<u64>,
    /// Lost share of each listener, 0 to 1, the worst first.
    pub(crate) leg_loss: Vec<f64>,
    /// What it took to send and to read.
    pub(crate) effort: Effort,
    /// Legs that fell out of the run.
    pub(crate) fallen: Faults,
}

/// What the generator itself did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effort {
    /// How its thread stood to the others of its core.
    pub(crate) granted: Granted,
    /// Calls that sent, and what they sent, anything and not only voice.
    pub(crate) send_calls: u64,
    pub(crate) sent: u64,
    /// What the kernel did not take.
    pub(crate) refused: u64,
    /// Calls that read something, and what they read.
    pub(crate) read_calls: u64,
    pub(crate) read: u64,
    /// What the kernel threw away because the generator did not read it.
    pub(crate) dropped: u64,
    /// Its turns: at each it sends what is due and reads what came.
    pub(crate) turns: u64,
    /// Time of its thread on a core, and the time that passed.
    pub(crate) on_core: Duration,
    pub(crate) passed: Duration,
}

impl Effort {
    /// Share of a core.
    pub(crate) fn busy(&self) -> f64 {
        self.on_core.as_secs_f64() / self.passed.as_secs_f64().max(f64::EPSILON)
    }

    fn add(&mut self, other: &Effort) {
        self.granted = other.granted;
        self.send_calls += other.send_calls;
        self.sent += other.sent;
        self.refused += other.refused;
        self.read_calls += other.read_calls;
        self.read += other.read;
        self.dropped += other.dropped;
        self.turns += other.turns;
        self.on_core += other.on_core;
        self.passed += other.passed;
    }
}

/// How a packet was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// When it arrived, ns since the origin: by the kernel's stamp, or when it was read.
    pub(crate) at_ns: u64,
    /// How long it then lay unread; `None` when there was no stamp.
    pub(crate) unread_ns: Option<u64>,
    /// Without a stamp: how long it may have lain unread before `at_ns`.
    pub(crate) doubt_ns: u64,
}

/// The packet before, at one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    /// Its number.
    pub(crate) number: u32,
    /// When it arrived, ns since the origin.
    pub(crate) at_ns: u64,
    /// When it was sent.
    pub(crate) sent_ns: u64,
}

fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_max(TIME_US_MAX, DIGITS).map_err(io::Error::other)
}

impl Window {
    /// Nothing yet.
    pub(crate) fn new() -> io::Result<Window> {
        Ok(Window {
            time: Duration::ZERO,
            sent: 0,
            lost_on_purpose: 0,
            comfort: 0,
            expected: 0,
            delivered: 0,
            duplicates: 0,
            latency_us: histogram()?,
            gap_us: histogram()?,
            gap_sure_us: 0,
            late_us: histogram()?,
            latency_read_us: histogram()?,
            unread_us: histogram()?,
            leg_loss: Vec::new(),
            effort: Effort::default(),
            fallen: Faults::default(),
        })
    }

    /// A packet of the window arrived behind `last`.
    ///
    /// The gap is what a listener notices beyond what the speaker did: the time between the two arrivals, less the time
    /// between their sendings, and a frame more for each packet lost between them. A generator that sends late makes
    /// no gap by this account; one that reads late does where the kernel's stamp is missing, and there the time in which
    /// the packet may have lain unread is taken off for the sure part.
    pub(crate) fn arrived(&mut self, last: Option<Last>, this: Last, reading: Reading) {
        let under_way_ns = this.at_ns.saturating_sub(this.sent_ns);
        let unread_ns = reading.unread_ns.unwrap_or_default();
        self.latency_us.saturating_record(under_way_ns / 1_000);
        self.latency_read_us
            .saturating_record((under_way_ns + unread_ns) / 1_000);
        if reading.unread_ns.is_some() {
            self.unread_us.saturating_record(unread_ns / 1_000);
        }
        let Some(last) = last else { return };
        let Some(lost) = this.number.checked_sub(last.number + 1) else {
            return;
        };
        let between = this.at_ns.saturating_sub(last.at_ns) + u64::from(lost) * FRAME.as_nanos() as u64;
        let gap_ns = between.saturating_sub(this.sent_ns.saturating_sub(last.sent_ns));
        self.gap_us.saturating_record(gap_ns / 1_000);
        self.gap_sure_us = self.gap_sure_us.max(gap_ns.saturating_sub(reading.doubt_ns) / 1_000);
    }

    /// So many packets that follow each other went by a listener without one that ended the silence within the window, or
    /// before the first that he ever heard. It is a gap like one between two packets: a frame for each.
    pub(crate) fn unheard(&mut self, packets: u64) {
        if packets > 0 {
            let gap_us = packets * FRAME.as_micros() as u64;
            self.gap_us.saturating_record(gap_us);
            self.gap_sure_us = self.gap_sure_us.max(gap_us);
        }
    }

    /// The generator sent this much after the time it had planned.
    pub(crate) fn late(&mut self, by: Duration) {
        self.late_us.saturating_record(by.as_micros() as u64);
    }

    /// A leg that ought to have heard `expected` packets heard `heard`.
    pub(crate) fn listener(&mut self, expected: u64, heard: u64) {
        self.expected += expected;
        self.delivered += heard;
        if expected > 0 {
            self.leg_loss.push(1.0 - heard as f64 / expected as f64);
        }
    }

    /// Puts the worst leg first.
    pub(crate) fn close(&mut self) {
        self.leg_loss.sort_by(|a, b| b.total_cmp(a));
    }

    /// Share of the expected packets that arrived, 0 to 1.
    pub(crate) fn delivered_ratio(&self) -> f64 {
        self.delivered as f64 / self.expected.max(1) as f64
    }

    /// Work by delivered packet, us: `us` of it were done within `took`, from about the begin of the window to about its
    /// end. The looks that told are late by what else goes on, so both are taken by their own time.
    pub(crate) fn per_delivered(&self, us: f64, took: Duration) -> f64 {
        self.per_packet(self.delivered, us, took)
    }

    /// The same by each of `packets` of the window.
    pub(crate) fn per_packet(&self, packets: u64, us: f64, took: Duration) -> f64 {
        let longer = took.as_secs_f64() / self.time.as_secs_f64().max(f64::EPSILON);
        us / (packets as f64 * longer).max(1.0)
    }

    /// Adds what another window showed; for figures over several of them.
    pub(crate) fn add(&mut self, other: &Window) -> io::Result<()> {
        self.time += other.time;
        self.sent += other.sent;
        self.lost_on_purpose += other.lost_on_purpose;
        self.comfort += other.comfort;
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.gap_sure_us = self.gap_sure_us.max(other.gap_sure_us);
        self.latency_us.add(&other.latency_us).map_err(io::Error::other)?;
        self.gap_us.add(&other.gap_us).map_err(io::Error::other)?;
        self.latency_read_us
            .add(&other.latency_read_us)
            .map_err(io::Error::other)?;
        self.unread_us.add(&other.unread_us).map_err(io::Error::other)?;
        self.effort.add(&other.effort);
        self.fallen.add(&other.fallen);
        self.late_us.add(&other.late_us).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn last(number: u32, sent_ms: u64, at_ms: u64) -> Last {
        Last {
            number,
            at_ns: at_ms * MS,
            sent_ns: sent_ms * MS,
        }
    }

    /// The one gap, ms, and its sure part.
    fn gap(before: Last, this: Last, doubt_ms: u64) -> (u64, u64) {
        let mut window = Window::new().unwrap();
        let reading = Reading {
            at_ns: this.at_ns,
            unread_ns: None,
            doubt_ns: doubt_ms * MS,
        };
        window.arrived(Some(before), this, reading);
        ((window.gap_us.max() + 500) / 1_000, window.gap_sure_us / 1_000)
    }

    #[test]
    fn a_steady_stream_and_a_late_speaker_make_no_gap() {
        assert_eq!(gap(last(1, 0, 1), last(2, 20, 21), 0), (0, 0));
        assert_eq!(gap(last(1, 0, 1), last(2, 90, 91), 0), (0, 0), "the speaker paused");
    }

    #[test]
    fn a_packet_held_up_and_a_lost_one_do() {
        assert_eq!(gap(last(1, 0, 1), last(2, 20, 33), 0), (12, 12));
        assert_eq!(gap(last(1, 0, 1), last(3, 40, 41), 0), (20, 20));
    }

    #[test]
    fn what_lay_unread_is_not_sure() {
        assert_eq!(gap(last(1, 0, 1), last(2, 20, 33), 9), (12, 3));
    }

    #[test]
    fn what_lay_in_the_generators_socket_is_told_apart_from_the_time_under_way() {
        let mut window = Window::new().unwrap();
        let reading = Reading {
            at_ns: 3 * MS,
            unread_ns: Some(9 * MS),
            doubt_ns: 0,
        };
        window.arrived(None, last(1, 1, 3), reading);
        let ms = |us: &Histogram<u64>| (us.max() + 500) / 1_000;
        assert_eq!(ms(&window.latency_us), 2);
        assert_eq!(ms(&window.latency_read_us), 11);
        assert_eq!(ms(&window.unread_us), 9);
        let unstamped = Reading {
            unread_ns: None,
            ..reading
        };
        window.arrived(None, last(1, 1, 3), unstamped);
        assert_eq!((window.latency_read_us.len(), window.unread_us.len()), (2, 1));
    }

    #[test]
    fn work_that_was_looked_at_late_is_shared_by_the_packets_of_that_time() {
        let mut window = Window::new().unwrap();
        window.time = Duration::from_secs(2);
        window.listener(1_000, 1_000);
        let us = |us, ms| window.per_delivered(us, Duration::from_millis(ms));
        assert_eq!(us(5_000.0, 2_000), 5.0);
        assert!((us(5_500.0, 2_200) - 5.0).abs() < 1e-9, "a tenth later, a tenth more");
    }

    #[test]
    fn windows_add_up() {
        let mut sum = Window::new().unwrap();
        let mut other = Window::new().unwrap();
        other.effort.on_core = Duration::from_millis(250);
        other.effort.passed = Duration::from_secs(1);
        other.late(Duration::from_millis(2));
        sum.add(&other).unwrap();
        sum.add(&other).unwrap();
        assert_eq!((sum.effort.busy(), sum.late_us.len()), (0.25, 2));
    }

    #[test]
    fn the_worst_leg_comes_first_and_a_leg_without_a_speaker_counts_nowhere() {
        let mut window = Window::new().unwrap();
        window.listener(100, 100);
        window.listener(100, 90);
        window.listener(0, 0);
        window.close();
        assert_eq!((window.expected, window.delivered), (200, 190));
        assert_eq!(window.leg_loss.len(), 2);
        assert!((window.leg_loss[0] - 0.1).abs() < 1e-9);
    }
}
