//! One scrape, read by hand: families, and sums of their series.

use std::collections::BTreeMap;

/// What a histogram's series are called beyond its own name.
const OF_HISTOGRAM: [&str; 3] = ["_bucket", "_sum", "_count"];

/// See the top of this file.
pub(crate) struct Exposition {
    text: String,
    /// Family to type.
    types: BTreeMap<String, String>,
}

impl Exposition {
    pub(crate) fn read(text: &str) -> Exposition {
        let types = text.lines().filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        });
        Exposition {
            types: types.collect(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn families(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }

    /// The family that a name in a query belongs to.
    pub(crate) fn family(&self, name: &str) -> Option<&str> {
        let histogram = OF_HISTOGRAM.iter().find_map(|end| {
            let family = name.strip_suffix(end)?;
            (self.types.get(family)? == "histogram").then_some(family)
        });
        let family = histogram.unwrap_or(name);
        let (known, kind) = self.types.get_key_value(family)?;
        // A histogram itself has no series of its plain name.
        (histogram.is_some() || kind != "histogram").then_some(known)
    }

    /// The sum of all series of `name` whose labels contain `label`; empty: all.
    pub(crate) fn sum(&self, name: &str, label: &str) -> f64 {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (this, labels) = series.split_once('{').unwrap_or((series, ""));
            (this == name && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        });
        values.sum()
    }

    /// The figures say what happened: a panel that is not empty may still be wrong.
    pub(crate) fn holds_what_the_calls_were(&self) {
        let used = self.sum("helpline_recording_disk_used_ratio", "");
        assert!(used > 0.0, "the disk was looked at");
        assert!(used < 1.0, "and has room: {used}");
        let exactly = [
            ("helpline_calls_answered_total", "", 1.0),
            ("helpline_call_setup_seconds_count", "", 1.0),
            ("helpline_desk_wait_seconds_count", "", 1.0),
            ("helpline_ice_connect_seconds_count", "", 2.0),
            ("helpline_leg_mos_count", "dir=\"up\"", 2.0),
            ("helpline_recording_dropped_packets_total", "", 0.0),
            ("helpline_recording_required_calls", "", 0.0),
            ("helpline_media_panics_total", "", 0.0),
        ];
        for (name, label, value) in exactly {
            assert!(
                (self.sum(name, label) - value).abs() < f64::EPSILON,
                "{name}: {}",
                self.sum(name, label)
            );
        }
        let at_least = [
            // The call that was heard; one that nobody ever joined may have been ordered to be recorded as well.
            ("helpline_recording_finalise_seconds_count", "", 1.0),
            ("helpline_recording_waveform_seconds_count", "", 1.0),
            ("helpline_ice_failures_total", "reason=\"gave_up\"", 1.0),
            ("helpline_desk_transitions_total", "state=\"abandoned\"", 1.0),
            ("helpline_desk_offer_ends_total", "reason=\"accepted\"", 1.0),
            // Five seconds of batches every half a second.
            ("helpline_recording_fsync_seconds_count", "", 10.0),
            ("helpline_recording_spool_bytes", "", 1_000.0),
            ("helpline_recording_packets_total", "", 900.0),
            ("helpline_rtp_packets_total", "dir=\"down\"", 900.0),
        ];
        for (name, label, value) in at_least {
            assert!(self.sum(name, label) >= value, "{name}: {}", self.sum(name, label));
        }
        assert!(
            self.sum("helpline_recording_spool_capacity_bytes", "") > self.sum("helpline_recording_spool_bytes", ""),
            "the disk is larger than what lies on it"
        );
    }
}
