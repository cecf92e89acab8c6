//! What an admin sets: from where on sound counts as bad and who is told of it, and whether supervisors are announced.

use crate::staff::StaffRole;
use crate::wire;

wire! {
    /// From where on a second of a call's sound is bad, a value for each flag. Raised in 3 of 5 seconds or at once, cleared
    /// after 5 good ones.
    #[serde(deny_unknown_fields)]
    pub struct QualityThresholds {
        /// Opinion score below which `low_mos` is raised, 1.5 to 4.4.
        pub low_mos: f64,
        /// Packets missing in a row that raise `loss_burst`.
        pub loss_burst_packets: u32,
        /// Round trip above which `high_rtt` is raised, milliseconds.
        pub high_rtt_ms: u32,
        /// Jitter above which `high_jitter` is raised, milliseconds.
        pub high_jitter_ms: u32,
        /// Lost share above which `high_loss` is raised, per cent.
        pub high_loss_percent: f64,
        /// Seconds of sound that goes one way only which raise `one_way`.
        pub one_way_seconds: u32,
        /// Seconds of a conversation without a word which raise `dead_air`.
        pub dead_air_seconds: u32,
        /// Seconds of a level that never changes which raise `dead_microphone`.
        pub dead_microphone_seconds: u32,
        /// Share of a second's packets at full level that counts for `clipping`, per cent.
        pub clipping_percent: u32,
    }
}

wire! {
    /// Which mails are asked for; the leaves of `NOTIFICATION_CONFIG` that have an effect today. This version has no sender:
    /// a mail that is due is a line in the log.
    #[serde(deny_unknown_fields)]
    pub struct MailSettings {
        /// A call comes in for a queue that nobody serves at the moment.
        pub notify_staff_on_incoming_call: bool,
        /// A flag of a call's sound stays raised.
        pub notify_on_quality_alert: bool,
        /// Whom the second goes to: admins, and of the others those who lead or serve the queue.
        pub quality_alert_roles: Vec<StaffRole>,
        /// Seconds for which a flag must have stood.
        pub quality_alert_after_seconds: u32,
        /// Minutes without another such mail about the same queue.
        pub quality_alert_quiet_minutes: u32,
    }
}

wire! {
    /// The thresholds with what may be set.
    pub struct QualitySettings {
        /// Which version this is, for `If-Match` of a change; 0 where nothing was set.
        #[cfg_attr(test, ts(type = "number"))]
        pub version: u64,
        /// What holds now.
        pub value: QualityThresholds,
        /// What holds where nothing was set.
        pub usual: QualityThresholds,
        /// The least that may be set.
        pub min: QualityThresholds,
        /// The greatest that may be set.
        pub max: QualityThresholds,
    }
}

wire! {
    /// The mails with what may be set.
    pub struct MailSettingsView {
        /// Which version this is, for `If-Match` of a change; 0 where nothing was set.
        #[cfg_attr(test, ts(type = "number"))]
        pub version: u64,
        /// What holds now.
        pub value: MailSettings,
        /// What holds where nothing was set.
        pub usual: MailSettings,
        /// The least seconds for which a flag must have stood.
        pub after_seconds_min: u32,
        /// The most.
        pub after_seconds_max: u32,
        /// The least minutes without another mail.
        pub quiet_minutes_min: u32,
        /// The most.
        pub quiet_minutes_max: u32,
    }
}

wire! {
    /// Whether people are told that a supervisor listens, whispers or joins.
    pub enum Announce {
        /// They are not.
        Off,
        /// The agent's page shows who, and how.
        Notice,
        /// The same, and a tone sounds.
        Tone,
    }
}

wire! {
    /// Who hears the tone.
    pub enum AnnounceTo {
        /// The agent and a colleague who is consulted.
        Agent,
        /// They and the customer.
        All,
    }
}

wire! {
    /// How supervisors are announced. Laws differ by country; every supervision is audited in any case.
    #[serde(deny_unknown_fields)]
    pub struct SupervisionSettings {
        /// Whether, and how.
        pub announce: Announce,
        /// Who hears a tone.
        pub announce_to: AnnounceTo,
    }
}

wire! {
    /// The same with what holds where nothing was set.
    pub struct SupervisionSettingsView {
        /// Which version this is, for `If-Match` of a change; 0 where nothing was set.
        #[cfg_attr(test, ts(type = "number"))]
        pub version: u64,
        /// What holds now.
        pub value: SupervisionSettings,
        /// What holds where nothing was set.
        pub usual: SupervisionSettings,
    }
}

wire! {
    /// `GET /api/support/settings`, and the reply to every change.
    pub struct Settings {
        /// From where on sound counts as bad.
        pub quality: QualitySettings,
        /// Which mails are asked for.
        pub mail: MailSettingsView,
        /// How supervisors are announced.
        pub supervision: SupervisionSettingsView,
    }
}
