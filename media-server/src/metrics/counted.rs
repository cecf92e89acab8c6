//! What shards and outbox count beside the series that have a field of their own in [`super::Metrics`].
//!
//! Every field of [`Totals`] is exported somewhere; a test goes through them.

use media_core::counters::Totals;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::worker::Gauges;

/// Packets that were asked for again. `sent`: by us, of speakers. `received`: by listeners, of us; of those `missed` were
/// no longer or never kept, and `limited` were beyond what is sent again. `unkept`: what no listener could have back.
const NACKS: [&str; 5] = ["sent", "received", "missed", "limited", "unkept"];
/// What is neither sound nor a drop: connectivity checks answered, reports opened and sent, datagrams of handshakes.
const CONTROL: [&str; 4] = ["check", "rtcp_up", "rtcp_down", "dtls"];

/// See the top of this file.
#[derive(Clone)]
pub(crate) struct Counted {
    datagrams: IntCounter,
    bytes: IntCounter,
    control: IntCounterVec,
    nacks: IntCounterVec,
    repaired_late: IntCounter,
    unheard: IntCounter,
    reverted: IntCounter,
    receive_failed: IntCounter,
    events_dropped: IntCounter,
}

impl Counted {
    /// Registers the series, each at 0.
    ///
    /// # Errors
    /// A name that is registered already.
    pub(super) fn new(registry: &Registry) -> Result<Counted, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let made = IntCounter::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let counters = |name: &str, help: &str, reasons: &[&str]| {
            let made = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
            registry.register(Box::new(made.clone()))?;
            for reason in reasons {
                made.with_label_values(&[*reason]).inc_by(0);
            }
            Ok::<_, prometheus::Error>(made)
        };
        Ok(Counted {
            datagrams: counter("helpline_media_datagrams_total", "Datagrams that shards were handed")?,
            bytes: counter("helpline_media_received_bytes_total", "Bytes of those datagrams")?,
            control: counters(
                "helpline_media_control_total",
                "Checks, reports and datagrams of handshakes beside the sound",
                &CONTROL,
            )?,
            nacks: counters(
                "helpline_rtp_nacks_total",
                "Packets that were asked for again, and those that could not be sent again",
                &NACKS,
            )?,
            repaired_late: counter(
                "helpline_rtp_repaired_late_total",
                "Repaired packets too late for listeners; the recording has them",
            )?,
            unheard: counter(
                "helpline_rtp_unheard_total",
                "Audio packets that nobody was to hear at that moment",
            )?,
            reverted: counter(
                "helpline_leg_migrations_reverted_total",
                "Changes of a leg's address that were taken back because the old one went on speaking",
            )?,
            receive_failed: counter("helpline_media_receive_failed_total", "Reads of a socket that failed")?,
            events_dropped: counter(
                "helpline_media_events_dropped_total",
                "Reports that the desk never gets, because too many wait for it",
            )?,
        })
    }

    /// What a shard counted since its last totals.
    pub(super) fn add(&self, before: &Totals, now: &Totals, gauges_before: Gauges, gauges: Gauges) {
        let nacks = |of: &Totals| {
            [
                of.nacks_sent,
                of.nacks_received,
                of.nacks_missed,
                of.nacks_limited,
                of.ring_unfit,
            ]
        };
        raise(&self.nacks, NACKS, nacks(before), nacks(now));
        let control = |of: &Totals| [of.checks, of.rtcp_opened, of.rtcp_sent, of.dtls_passed];
        raise(&self.control, CONTROL, control(before), control(now));
        for (counter, before, now) in [
            (&self.datagrams, before.datagrams, now.datagrams),
            (&self.bytes, before.bytes, now.bytes),
            (&self.repaired_late, before.repaired_late, now.repaired_late),
            (&self.unheard, before.rtp_unheard, now.rtp_unheard),
            (&self.reverted, before.migrations_reverted, now.migrations_reverted),
            (
                &self.receive_failed,
                gauges_before.receive_failed,
                gauges.receive_failed,
            ),
        ] {
            counter.inc_by(now.saturating_sub(before));
        }
    }

    /// Reports that were let go so far.
    pub(super) fn events_dropped(&self, total: u64) {
        self.events_dropped
            .inc_by(total.saturating_sub(self.events_dropped.get()));
    }
}

fn raise<const N: usize>(to: &IntCounterVec, words: [&str; N], before: [u64; N], now: [u64; N]) {
    for (word, (before, now)) in words.into_iter().zip(before.into_iter().zip(now)) {
        to.with_label_values(&[word]).inc_by(now.saturating_sub(before));
    }
}
