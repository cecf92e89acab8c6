//! Series of media for Prometheus: base units, bounded labels, every value there at 0 from the start.
//!
//! Never touched by a shard: the control thread writes what the shards have told; whether they and it turn is looked at
//! when the figures are read. No label names a call, a leg or an address.

mod counted;
mod relay;
pub(crate) mod turning;

use media_core::counters::{Direction, Second, Totals};
use media_core::event::Summary;
use ports::{Cause, Part, Route};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::admission::Full;
use crate::convert;
use crate::live::{Counts, share};
use crate::worker::Gauges;
use crate::worker::latency::BOUNDS_NS;

const DIRECTIONS: [&str; 2] = ["up", "down"];
const ROLES: [&str; 5] = ["customer", "agent", "partner", "supervisor", "preflight"];
/// No check came in time; or the call was given up before a line stood (handshake included).
const REPAIRS: [&str; 4] = ["rtx", "red", "resent", FEC];
const FEC: &str = "fec";
const ICE_REASONS: [&str; 2] = ["ice_timeout", GAVE_UP];
const GAVE_UP: &str = "gave_up";
const DTLS_REASONS: [&str; 3] = ["dtls_timeout", "fingerprint", "dtls_failed"];
const LOSS: [f64; 9] = [0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5];
const JITTER_S: [f64; 8] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];
const RTT_S: [f64; 8] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0];
const ICE_S: [f64; 8] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0];

/// The dashboards' word of a part.
pub(crate) const fn role(part: Part) -> &'static str {
    match part {
        Part::Customer => "customer",
        Part::Agent => "agent",
        Part::Partner => "partner",
        Part::Supervisor => "supervisor",
        Part::Preflight => "preflight",
    }
}

/// The dashboards' word of a way. A row or total without one is of a leg that never had keys.
fn path(route: Option<media_core::origin::Route>) -> &'static str {
    route.map_or(Route::Direct, convert::route).word()
}

/// See the top of this file.
#[derive(Clone)]
pub struct Metrics {
    live_legs: IntGaugeVec,
    live_rooms: IntGauge,
    low_mos: IntGaugeVec,
    low_end_to_end: IntGauge,
    ice_connect: Histogram,
    loss: HistogramVec,
    jitter: HistogramVec,
    rtt: HistogramVec,
    leg_mos: HistogramVec,
    worst_minute: HistogramVec,
    ice_failures: IntCounterVec,
    dtls_failures: IntCounterVec,
    packets: IntCounterVec,
    packets_lost: IntCounterVec,
    packets_repaired: IntCounterVec,
    one_way: IntCounter,
    dead_air: IntCounter,
    clipping: IntCounter,
    leg_seconds: IntCounterVec,
    drops: IntCounterVec,
    forwarded: IntCounter,
    migrations: IntCounter,
    panics: IntCounter,
    panic_drains: IntCounter,
    send_refused: IntCounter,
    busy: GaugeVec,
    strangers: GaugeVec,
    events_waiting: IntGauge,
    offers_refused: IntCounter,
    oldest_event: Gauge,
    delay: GaugeVec,
    gather: GaugeVec,
    rooms_refused: IntCounterVec,
    draining: IntGauge,
    certificate_age: Gauge,
    relay: relay::Series,
    counted: counted::Counted,
    forward_latency: Histogram,
}

fn mos_buckets() -> Vec<f64> {
    (0..=14).map(|n| 1.0 + 0.25 * f64::from(n)).collect()
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// A name that is registered already.
    #[expect(clippy::too_many_lines, reason = "a list of everything that is counted")]
    pub fn new(registry: &Registry, shards: usize) -> Result<Metrics, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &str| IntCounterVec::new(Opts::new(name, help), &[label]);
        let histogram =
            |name: &str, help: &str, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let dir_path = ["dir", "path"];
        let loss = histogram(
            "helpline_rtp_residual_loss_ratio",
            "Loss of one line that no repair mended, per leg second",
            &LOSS,
        );
        let jitter = histogram(
            "helpline_rtp_jitter_seconds",
            "Interarrival jitter per leg second",
            &JITTER_S,
        );
        let rtt = histogram("helpline_rtp_round_trip_seconds", "Round trip per leg second", &RTT_S);
        let mos = histogram(
            "helpline_leg_mos",
            "Mean opinion score of a leg, once per leg",
            &mos_buckets(),
        );
        let worst = histogram(
            "helpline_leg_worst_minute_mos",
            "Opinion score of the worst minute of a leg, once per leg",
            &mos_buckets(),
        );
        let metrics = Metrics {
            live_legs: IntGaugeVec::new(Opts::new("helpline_live_legs", "Legs that are up"), &["path"])?,
            live_rooms: IntGauge::new("helpline_live_rooms", "Rooms")?,
            low_mos: IntGaugeVec::new(
                Opts::new(
                    "helpline_live_leg_low_mos",
                    "Legs whose estimated score was below 3.5 for 10 s",
                ),
                &["dir"],
            )?,
            low_end_to_end: IntGauge::new(
                "helpline_live_end_to_end_low_mos",
                "Listeners whose estimated score over both hops was below 3.5 for 10 s",
            )?,
            ice_connect: Histogram::with_opts(histogram(
                "helpline_ice_connect_seconds",
                "From the first offer of a leg to its keys",
                &ICE_S,
            ))?,
            loss: HistogramVec::new(loss, &dir_path)?,
            jitter: HistogramVec::new(jitter, &["dir"])?,
            rtt: HistogramVec::new(rtt, &["path"])?,
            leg_mos: HistogramVec::new(mos, &["dir", "role", "path"])?,
            worst_minute: HistogramVec::new(worst, &["dir", "role"])?,
            ice_failures: counters("helpline_ice_failures_total", "Legs that never connected", "reason")?,
            dtls_failures: counters("helpline_dtls_failures_total", "Legs whose handshake failed", "reason")?,
            packets: counters("helpline_rtp_packets_total", "Audio packets", "dir")?,
            packets_lost: counters(
                "helpline_rtp_packets_lost_total",
                "Audio packets that did not come and that nothing repaired",
                "dir",
            )?,
            packets_repaired: counters(
                "helpline_rtp_packets_repaired_total",
                "Audio packets that were lost and repaired: from the speaker again, out of redundancy, from us again, by in-band FEC",
                "by",
            )?,
            one_way: IntCounter::new(
                "helpline_one_way_audio_total",
                "Legs that were heard by nobody or heard nobody, once per leg",
            )?,
            dead_air: IntCounter::new(
                "helpline_dead_air_seconds_total",
                "Seconds of conversations in which nobody spoke, from 15 in a row on",
            )?,
            clipping: IntCounter::new(
                "helpline_clipping_seconds_total",
                "Seconds of legs whose level was at its limit",
            )?,
            leg_seconds: counters("helpline_leg_seconds_total", "Seconds that legs were up", "path")?,
            drops: counters(
                "helpline_media_drops_total",
                "Datagrams and packets that were dropped",
                "reason",
            )?,
            forwarded: IntCounter::new("helpline_rtp_forwarded_total", "Packets sent to listeners")?,
            migrations: IntCounter::new("helpline_leg_migrations_total", "Changes of a leg's address")?,
            panics: IntCounter::new("helpline_media_panics_total", "Legs ended by a defect of ours")?,
            panic_drains: IntCounter::new(
                "helpline_media_panic_drains_total",
                "Times that the node began to empty itself because of ten defects in a minute",
            )?,
            send_refused: IntCounter::new("helpline_media_send_refused_total", "Datagrams the kernel refused")?,
            busy: GaugeVec::new(
                Opts::new("helpline_shard_busy_ratio", "Share of a core, last 5 s"),
                &["shard"],
            )?,
            strangers: GaugeVec::new(
                Opts::new(
                    "helpline_shard_strangers_ratio",
                    "Of that, what went to strangers at the relay that the shard's thread runs; it does not count as load",
                ),
                &["shard"],
            )?,
            events_waiting: IntGauge::new("helpline_media_events_waiting", "Events that the desk has not taken")?,
            offers_refused: IntCounter::new("helpline_media_offers_refused_total", "SDP offers that were refused")?,
            oldest_event: Gauge::new("helpline_media_oldest_event_seconds", "Age of the oldest such event")?,
            delay: GaugeVec::new(
                Opts::new(
                    "helpline_shard_delay_seconds",
                    "Longest time in the last second that a datagram may have waited for its shard",
                ),
                &["shard"],
            )?,
            gather: GaugeVec::new(
                Opts::new(
                    "helpline_shard_gather_seconds",
                    "What a busy shard lets pass between two reads at least, so that datagrams gather",
                ),
                &["shard"],
            )?,
            rooms_refused: counters(
                "helpline_media_rooms_refused_total",
                "New rooms refused because no shard took them",
                "reason",
            )?,
            draining: IntGauge::new("helpline_draining", "1 while the node is being emptied")?,
            certificate_age: Gauge::new(
                "helpline_media_certificate_age_seconds",
                "Since when new answers announce the same DTLS certificate; it is replaced daily",
            )?,
            relay: relay::Series::new(registry, shards)?,
            counted: counted::Counted::new(registry)?,
            forward_latency: Histogram::with_opts(
                HistogramOpts::new(
                    "helpline_forward_latency_seconds",
                    "From the read of the batch that a packet came in to its sending to a listener",
                )
                .buckets(BOUNDS_NS.iter().map(|bound| *bound as f64 / 1e9).collect()),
            )?,
        };
        metrics.register(registry)?;
        metrics.begin_at_zero(shards);
        Ok(metrics)
    }

    fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.live_legs.clone()))?;
        registry.register(Box::new(self.live_rooms.clone()))?;
        registry.register(Box::new(self.low_mos.clone()))?;
        registry.register(Box::new(self.low_end_to_end.clone()))?;
        registry.register(Box::new(self.ice_connect.clone()))?;
        registry.register(Box::new(self.forward_latency.clone()))?;
        registry.register(Box::new(self.loss.clone()))?;
        registry.register(Box::new(self.jitter.clone()))?;
        registry.register(Box::new(self.rtt.clone()))?;
        registry.register(Box::new(self.leg_mos.clone()))?;
        registry.register(Box::new(self.worst_minute.clone()))?;
        for counter in [
            &self.ice_failures,
            &self.dtls_failures,
            &self.packets,
            &self.packets_lost,
            &self.packets_repaired,
            &self.leg_seconds,
            &self.drops,
            &self.rooms_refused,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        for counter in [
            &self.one_way,
            &self.dead_air,
            &self.clipping,
            &self.forwarded,
            &self.migrations,
            &self.panics,
            &self.panic_drains,
            &self.send_refused,
            &self.offers_refused,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(self.busy.clone()))?;
        registry.register(Box::new(self.strangers.clone()))?;
        registry.register(Box::new(self.delay.clone()))?;
        registry.register(Box::new(self.gather.clone()))?;
        registry.register(Box::new(self.draining.clone()))?;
        registry.register(Box::new(self.certificate_age.clone()))?;
        registry.register(Box::new(self.events_waiting.clone()))?;
        registry.register(Box::new(self.oldest_event.clone()))
    }

    /// Panels and rules see a series only once it has a value.
    fn begin_at_zero(&self, shards: usize) {
        for path in Route::ALL.map(Route::word) {
            self.live_legs.with_label_values(&[path]).set(0);
            self.leg_seconds.with_label_values(&[path]).inc_by(0);
            self.rtt.with_label_values(&[path]);
        }
        for dir in DIRECTIONS {
            self.low_mos.with_label_values(&[dir]).set(0);
            for path in Route::ALL.map(Route::word) {
                self.loss.with_label_values(&[dir, path]);
            }
            self.jitter.with_label_values(&[dir]);
            self.packets.with_label_values(&[dir]).inc_by(0);
            self.packets_lost.with_label_values(&[dir]).inc_by(0);
            for role in ROLES {
                for path in Route::ALL.map(Route::word) {
                    self.leg_mos.with_label_values(&[dir, role, path]);
                }
                self.worst_minute.with_label_values(&[dir, role]);
            }
        }
        for reason in ICE_REASONS {
            self.ice_failures.with_label_values(&[reason]).inc_by(0);
        }
        for reason in DTLS_REASONS {
            self.dtls_failures.with_label_values(&[reason]).inc_by(0);
        }
        for full in Full::ALL {
            self.rooms_refused.with_label_values(&[full.word()]).inc_by(0);
        }
        for by in REPAIRS {
            self.packets_repaired.with_label_values(&[by]).inc_by(0);
        }
        for (reason, _) in drops(&Totals::default()) {
            self.drops.with_label_values(&[reason]).inc_by(0);
        }
        for shard in 0..shards {
            self.shard_busy(shard, 0.0, 0.0);
        }
    }

    /// One second of one leg.
    pub(crate) fn second(&self, second: &Second) {
        let dir = match second.direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        let path = path(second.route);
        self.packets_lost
            .with_label_values(&[dir])
            .inc_by(u64::from(second.lost));
        self.packets_repaired
            .with_label_values(&[FEC])
            .inc_by(u64::from(second.repaired_fec));
        if second.expected > 0 {
            self.loss
                .with_label_values(&[dir, path])
                .observe(f64::from(share(second.lost, second.expected)));
            self.jitter
                .with_label_values(&[dir])
                .observe(f64::from(second.jitter_us) / 1e6);
        }
        if second.direction == Direction::Up {
            if second.up {
                self.leg_seconds.with_label_values(&[path]).inc();
            }
            if let Some(rtt) = second.rtt_us {
                self.rtt.with_label_values(&[path]).observe(f64::from(rtt) / 1e6);
            }
        }
    }

    /// The totals of a leg that ended. `gave_up`: it was tried long enough, and never up.
    pub(crate) fn leg_ended(&self, part: Part, cause: Cause, gave_up: bool, summary: &Summary) {
        for (dir, mos) in DIRECTIONS.into_iter().zip([summary.mos_up, summary.mos_down]) {
            if let Some(mos) = mos {
                self.leg_mos
                    .with_label_values(&[dir, role(part), path(summary.route)])
                    .observe(mos);
            }
        }
        match cause {
            Cause::IceTimeout => self.ice_failures.with_label_values(&[cause.word()]).inc(),
            Cause::DtlsTimeout | Cause::Fingerprint | Cause::DtlsFailed => {
                self.dtls_failures.with_label_values(&[cause.word()]).inc();
            }
            Cause::HangUp | Cause::Lost | Cause::Kicked | Cause::Drain => {
                self.ice_failures
                    .with_label_values(&[GAVE_UP])
                    .inc_by(u64::from(gave_up));
            }
            Cause::Replaced | Cause::Limit | Cause::Panic => {}
        }
    }

    /// A leg's worst minute, once it ended.
    pub(crate) fn worst_minute(&self, part: Part, up: bool, mos: f64) {
        self.worst_minute
            .with_label_values(&[DIRECTIONS[usize::from(!up)], role(part)])
            .observe(mos);
    }

    /// From the first offer to the keys, seconds.
    pub(crate) fn connected(&self, seconds: f64) {
        self.ice_connect.observe(seconds);
    }

    /// What a shard counted since its last totals.
    pub(crate) fn totals(&self, before: &Totals, now: &Totals, gauges_before: Gauges, gauges: Gauges) {
        for ((reason, old), (_, new)) in drops(before).into_iter().zip(drops(now)) {
            self.drops.with_label_values(&[reason]).inc_by(new.saturating_sub(old));
        }
        let rtp = self.packets.with_label_values(&["up"]);
        rtp.inc_by(now.rtp_opened.saturating_sub(before.rtp_opened));
        let forwarded = now.rtp_forwarded.saturating_sub(before.rtp_forwarded);
        let music = now.music_sent.saturating_sub(before.music_sent);
        self.packets.with_label_values(&["down"]).inc_by(forwarded + music);
        self.forwarded.inc_by(forwarded);
        for (by, repaired) in REPAIRS.into_iter().zip([
            now.repaired_rtx.saturating_sub(before.repaired_rtx),
            now.repaired_red.saturating_sub(before.repaired_red),
            now.nacks_answered.saturating_sub(before.nacks_answered),
        ]) {
            self.packets_repaired.with_label_values(&[by]).inc_by(repaired);
        }
        for (counter, before, now) in [
            (&self.one_way, before.one_way_legs, now.one_way_legs),
            (&self.dead_air, before.dead_air_seconds, now.dead_air_seconds),
            (&self.clipping, before.clipping_seconds, now.clipping_seconds),
        ] {
            counter.inc_by(now.saturating_sub(before));
        }
        self.counted.add(before, now, gauges_before, gauges);
        let latency = self.forward_latency.local();
        for (packets, seconds) in gauges.latency.since(&gauges_before.latency) {
            // A histogram takes one at a time: some nanoseconds each, once a second, and not in a shard's thread.
            (0..packets).for_each(|_| latency.observe(seconds));
        }
        latency.flush();
        self.migrations.inc_by(now.migrations.saturating_sub(before.migrations));
        self.panics.inc_by(now.panics.saturating_sub(before.panics));
        self.send_refused
            .inc_by(gauges.send_refused.saturating_sub(gauges_before.send_refused));
    }

    /// What is true now.
    pub(crate) fn gauges(&self, live: Counts, rooms: usize, events: usize, oldest_event_s: f64) {
        for (route, legs) in Route::ALL.into_iter().zip(live.by_route) {
            self.live_legs.with_label_values(&[route.word()]).set(legs as i64);
        }
        let [up, down, end_to_end] = live.low;
        for (dir, low) in DIRECTIONS.into_iter().zip([up, down]) {
            self.low_mos.with_label_values(&[dir]).set(low as i64);
        }
        self.low_end_to_end.set(end_to_end as i64);
        self.live_rooms.set(rooms as i64);
        self.events_waiting.set(events as i64);
        self.oldest_event.set(oldest_event_s);
    }

    /// What went through the relay since the last totals of the shard.
    pub(crate) fn relayed(&self, shard: usize, before: Gauges, now: Gauges) {
        self.relay.add(shard, &before.relay, &now.relay);
    }

    /// Reports to the desk that were let go so far.
    pub(crate) fn events_dropped(&self, total: u64) {
        self.counted.events_dropped(total);
    }

    /// Longest wait of a datagram in the last second, and how long the shard lets them gather.
    pub(crate) fn shard_delay(&self, shard: usize, longest_ns: u64, gather_ns: u64) {
        let shard = shard.to_string();
        self.delay.with_label_values(&[&shard]).set(longest_ns as f64 / 1e9);
        self.gather.with_label_values(&[&shard]).set(gather_ns as f64 / 1e9);
    }

    /// Rooms refused so far.
    pub(crate) fn rooms_refused(&self, full: Full, total: u64) {
        let counter = self.rooms_refused.with_label_values(&[full.word()]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Defects have emptied the node.
    pub(crate) fn panic_drain(&self) {
        self.panic_drains.inc();
    }

    #[cfg(test)]
    pub(crate) fn panic_drains(&self) -> u64 {
        self.panic_drains.get()
    }

    /// Whether the node is being emptied.
    pub(crate) fn draining(&self, on: bool) {
        self.draining.set(i64::from(on));
    }

    /// How old the announced certificate is, seconds.
    pub(crate) fn certificate_age(&self, seconds: f64) {
        self.certificate_age.set(seconds);
    }

    /// Share of a core that a shard's thread used.
    pub(crate) fn shard_busy(&self, shard: usize, busy: f64, strangers: f64) {
        let label = shard.to_string();
        self.busy.with_label_values(&[&label]).set(busy);
        self.strangers.with_label_values(&[&label]).set(strangers);
    }

    /// Offers refused so far.
    pub(crate) fn offers_refused(&self, total: u64) {
        self.offers_refused
            .inc_by(total.saturating_sub(self.offers_refused.get()));
    }
}

/// Everything that a shard drops, by the name of the reason.
fn drops(totals: &Totals) -> [(&'static str, u64); 31] {
    [
        ("size", totals.drop_size),
        ("protocol", totals.drop_protocol),
        ("stun_malformed", totals.drop_stun_malformed),
        ("unknown_ufrag", totals.drop_unknown_ufrag),
        ("bad_integrity", totals.drop_bad_integrity),
        ("stun_rate", totals.drop_stun_rate),
        ("check_refused", totals.checks_refused),
        ("unknown_source", totals.drop_unknown_source),
        ("relay_gate", totals.drop_relay_gate),
        ("no_keys", totals.drop_no_keys),
        ("uplink_denied", totals.uplink_denied),
        ("rate", totals.drop_rate),
        ("malformed", totals.drop_malformed),
        ("unauthentic", totals.drop_unauthentic),
        ("replayed", totals.drop_replayed),
        ("ssrc_limit", totals.drop_ssrc_limit),
        ("inside", totals.drop_inside),
        ("payload_type", totals.drop_payload_type),
        ("second_ssrc", totals.drop_second_ssrc),
        ("slot", totals.drop_slot),
        ("no_slot", totals.drop_no_slot),
        ("dtmf", totals.drop_dtmf),
        ("shielded", totals.drop_shielded),
        ("dtls_limit", totals.drop_dtls_limit),
        ("jobs", totals.drop_jobs),
        ("events", totals.drop_events),
        ("seconds", totals.drop_seconds),
        ("arena", totals.drop_arena),
        ("seal", totals.drop_seal),
        ("tap", totals.tap_dropped),
        ("migration", totals.migrations_refused),
    ]
}

#[cfg(test)]
mod tests;
