//! The desk's Prometheus series. No label ever names a call, a customer or an agent.

use call_model::call::Status;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use crate::commands::offer_step;
use crate::refusal::Code;

/// States of a call that is not over, as the column `voice_calls.status` has them.
pub(crate) const LIVE_STATES: [&str; 6] = ["initiated", "queued", "callback", "ringing", "connecting", "answered"];
/// States of a member of staff, as `reports::agents_by_state` tells them.
pub(crate) const AGENT_STATES: [&str; 7] = ["idle", "reserved", "busy", "wrapping", "away", "offline", "lost"];

/// Who reports what his client heard, as `commands::heard` tells the sides apart.
pub(crate) const HEARD_ROLES: [&str; 2] = ["customer", "agent"];

/// Loops that look at everything by themselves, a second apart; one that stands still is an alert.
pub(crate) const LOOPS: [&str; 2] = ["router", "timers"];

/// Queues that get a series of their own; an operator has a handful, and labels must not grow without bound.
pub(crate) const QUEUE_LABELS_MAX: usize = 64;

/// All series of the desk.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) calls: GaugeVec,
    pub(crate) waiting: GaugeVec,
    pub(crate) oldest_waiting: GaugeVec,
    pub(crate) agents: GaugeVec,
    pub(crate) required_calls: Gauge,
    pub(crate) outbox_oldest: Gauge,
    pub(crate) wait: Histogram,
    pub(crate) setup: Histogram,
    /// By role: who says that he heard it.
    pub(crate) client_mos: HistogramVec,
    pub(crate) transitions: IntCounterVec,
    pub(crate) offer_ends: IntCounterVec,
    pub(crate) refusals: IntCounterVec,
    pub(crate) answered: IntCounter,
    pub(crate) poisoned: IntCounter,
    pub(crate) fenced_events: IntCounter,
    /// By loop: looks at everything that came to their end. Tests that wait for nothing to happen count these.
    pub(crate) turns: IntCounterVec,
}

impl Metrics {
    /// Makes the series and registers them.
    ///
    /// # Errors
    /// A name that is registered twice.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str, label: &str| GaugeVec::new(Opts::new(name, help), &[label]);
        let counters = |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
        let metrics = Metrics {
            calls: gauges("helpline_desk_calls", "Live calls by state", "state")?,
            waiting: gauges("helpline_desk_waiting", "Calls waiting in a queue", "queue")?,
            oldest_waiting: gauges(
                "helpline_desk_oldest_waiting_seconds",
                "Wait of the oldest call",
                "queue",
            )?,
            agents: gauges("helpline_desk_agents", "Active staff by state", "state")?,
            required_calls: Gauge::new(
                "helpline_recording_required_calls",
                "Answered calls of this node that must be recorded",
            )?,
            outbox_oldest: Gauge::new("helpline_outbox_oldest_seconds", "Age of the oldest outbox row")?,
            wait: Histogram::with_opts(
                HistogramOpts::new("helpline_desk_wait_seconds", "Wait of answered calls")
                    .buckets(vec![5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0]),
            )?,
            setup: Histogram::with_opts(
                HistogramOpts::new("helpline_call_setup_seconds", "Accepting an offer to two-way sound")
                    .buckets(vec![0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0]),
            )?,
            client_mos: HistogramVec::new(
                HistogramOpts::new(
                    "helpline_client_leg_mos",
                    "Opinion score that a client reckons of what it heard, the mean of each of its reports",
                )
                .buckets((0..=14).map(|n| 1.0 + 0.25 * f64::from(n)).collect()),
                &["role"],
            )?,
            transitions: counters("helpline_desk_transitions_total", "Calls that entered a state", "state")?,
            offer_ends: counters(
                "helpline_desk_offer_ends_total",
                "Offers that ended, by reason",
                "reason",
            )?,
            refusals: counters("helpline_desk_refusals_total", "Commands that were refused", "code")?,
            answered: IntCounter::new("helpline_calls_answered_total", "Calls with two-way sound")?,
            poisoned: IntCounter::new(
                "helpline_db_poisoned_connections_total",
                "Connections that came back inside a transaction and were thrown away",
            )?,
            fenced_events: IntCounter::new(
                "helpline_desk_fenced_events_total",
                "Media reports of an earlier start that were set aside",
            )?,
            turns: counters(
                "helpline_desk_turns_total",
                "Whole looks of the loops that route and that end what time has overtaken",
                "loop",
            )?,
        };
        for collector in metrics.collectors() {
            registry.register(collector)?;
        }
        metrics.begin_at_zero();
        Ok(metrics)
    }

    /// Every word is there from the start: a rate over the first event of its kind is not lost.
    fn begin_at_zero(&self) {
        for state in LIVE_STATES {
            self.calls.with_label_values(&[state]).set(0.0);
        }
        for state in AGENT_STATES {
            self.agents.with_label_values(&[state]).set(0.0);
        }
        for status in Status::ALL {
            self.transitions.with_label_values(&[status.word()]).inc_by(0);
        }
        for word in offer_step::END_WORDS {
            self.offer_ends.with_label_values(&[word]).inc_by(0);
        }
        for name in LOOPS {
            self.turns.with_label_values(&[name]).inc_by(0);
        }
        for role in HEARD_ROLES {
            self.client_mos.with_label_values(&[role]);
        }
        for code in Code::ALL {
            self.refusals.with_label_values(&[code.word()]).inc_by(0);
        }
    }

    fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        vec![
            Box::new(self.calls.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.oldest_waiting.clone()),
            Box::new(self.agents.clone()),
            Box::new(self.required_calls.clone()),
            Box::new(self.outbox_oldest.clone()),
            Box::new(self.wait.clone()),
            Box::new(self.setup.clone()),
            Box::new(self.client_mos.clone()),
            Box::new(self.transitions.clone()),
            Box::new(self.offer_ends.clone()),
            Box::new(self.refusals.clone()),
            Box::new(self.answered.clone()),
            Box::new(self.poisoned.clone()),
            Box::new(self.fenced_events.clone()),
            Box::new(self.turns.clone()),
        ]
    }
}
