//! Settings with their defaults; a missing group or leaf is no error, and one beyond its limits counts as the limit:
//! the guide's own clients may write the table.

use ports::thresholds::{self, Bounds};
use ports::{Announce, Thresholds};
use serde_json::Value;
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use wire::staff::StaffRole;

use crate::refusal::{Refused, note};
use crate::shared::Core;
use crate::store::settings;

/// The group of the thresholds.
pub(crate) const QUALITY: &str = "quality";
/// The group of what holds for supervisors.
pub(crate) const SUPERVISION: &str = "supervision";
/// The group of the mails, as the guide names it.
pub(crate) const NOTIFICATIONS: &str = "NOTIFICATION_CONFIG";

/// Seconds a call or chat waits before it is abandoned (`CHAT_CONFIG.queue_timeout_seconds`).
pub(crate) const QUEUE_TIMEOUT_S: u32 = 300;
/// Shortest time-out that can be set: less than one round of ringing would abandon calls that are being answered.
const QUEUE_TIMEOUT_S_MIN: u64 = 5;
/// Longest: a day.
const QUEUE_TIMEOUT_S_MAX: u64 = 86_400;

/// Seconds that a flag stands before somebody is told: most troubles of a line are over by then.
pub const ALERT_AFTER_S: u32 = 30;
/// Shortest: a flag that is raised stays for five seconds by its own rule.
pub const ALERT_AFTER_S_MIN: u32 = 5;
/// Longest: later than ten minutes nobody can help the call.
pub const ALERT_AFTER_S_MAX: u32 = 600;
/// Minutes of quiet of a queue after a mail about it.
pub const ALERT_QUIET_MINUTES: u32 = 15;
/// Shortest: one mail a minute and queue is as much as anybody reads.
pub const ALERT_QUIET_MINUTES_MIN: u32 = 1;
/// Longest: a day, so that a queue is never quiet for ever.
pub const ALERT_QUIET_MINUTES_MAX: u32 = 1_440;
/// Who is told where nothing is set.
pub(crate) const ALERT_ROLES: [StaffRole; 3] = [StaffRole::Supervisor, StaffRole::Admin, StaffRole::SuperAdmin];

/// How often a node looks whether thresholds were changed elsewhere.
const LOOK: Duration = Duration::from_secs(1);

/// The settings that decisions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// See [`QUEUE_TIMEOUT_S`]; a queue may have its own.
    pub(crate) queue_timeout_s: u32,
    /// Whether a call that nobody is there for is mailed to the queue's staff.
    pub(crate) mail_incoming_call: bool,
}

/// When bad sound is mailed, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertMail {
    pub(crate) on: bool,
    pub(crate) roles: Vec<StaffRole>,
    pub(crate) after_s: f64,
    pub(crate) quiet_s: f64,
}

impl Settings {
    /// As they stand in the database now.
    pub(crate) async fn read(conn: &mut PgConnection) -> Result<Self, Refused> {
        let chat = settings::get(&mut *conn, "CHAT_CONFIG").await?;
        let mail = settings::get(conn, NOTIFICATIONS).await?;
        Ok(Self::from_groups(chat.as_ref(), mail.as_ref()))
    }

    /// Whether customers may have their line up while they wait, for music and prompts (`routing.queue_needs_media`): off,
    /// for a line costs media what a call costs it.
    pub(crate) async fn queue_needs_media(conn: &mut PgConnection) -> Result<bool, Refused> {
        let group = settings::get(conn, "routing").await?;
        let leaf = group.as_ref().and_then(|group| group.get("queue_needs_media"));
        Ok(leaf.and_then(Value::as_bool).unwrap_or(false))
    }

    /// Whether agents are shown who supervises them: a rule of the house, and off unless it says so.
    pub(crate) async fn announces(conn: &mut PgConnection) -> Result<bool, Refused> {
        let group = settings::get(conn, SUPERVISION).await?;
        Ok(Self::is_announced(group.as_ref()))
    }

    /// From where on sound counts as bad.
    pub(crate) async fn thresholds(conn: &mut PgConnection) -> Result<Thresholds, Refused> {
        let group = settings::get(conn, QUALITY).await?;
        Ok(thresholds_of(group.as_ref()))
    }

    /// When bad sound is mailed, and to whom.
    pub(crate) async fn alert_mail(conn: &mut PgConnection) -> Result<AlertMail, Refused> {
        let group = settings::get(conn, NOTIFICATIONS).await?;
        Ok(alert_mail_of(group.as_ref()))
    }

    /// Who hears a tone when a supervisor begins: nobody, unless the house says `tone`.
    pub(crate) async fn announce(conn: &mut PgConnection) -> Result<Announce, Refused> {
        let group = settings::get(conn, SUPERVISION).await?;
        Ok(Self::tone_for(group.as_ref()))
    }

    fn tone_for(group: Option<&Value>) -> Announce {
        let leaf = |name: &str| group.and_then(|group| group.get(name)).and_then(Value::as_str);
        match (leaf("announce"), leaf("announceTo")) {
            (Some("tone"), Some("none")) => Announce::Nobody,
            (Some("tone"), Some("all")) => Announce::All,
            (Some("tone"), _) => Announce::Agents,
            (Some(_) | None, _) => Announce::Nobody,
        }
    }

    fn is_announced(group: Option<&Value>) -> bool {
        let word = group.and_then(|group| group.get("announce")).and_then(Value::as_str);
        matches!(word, Some("tone" | "notice"))
    }

    fn from_groups(chat: Option<&Value>, mail: Option<&Value>) -> Self {
        let timeout = chat
            .and_then(|group| group.get("queue_timeout_seconds"))
            .and_then(Value::as_u64)
            .map(|s| s.clamp(QUEUE_TIMEOUT_S_MIN, QUEUE_TIMEOUT_S_MAX))
            .and_then(|s| u32::try_from(s).ok());
        Settings {
            queue_timeout_s: timeout.unwrap_or(QUEUE_TIMEOUT_S),
            mail_incoming_call: flag(mail, "notifyStaffOnIncomingCall"),
        }
    }
}

/// Thresholds as a group has them.
pub(crate) fn thresholds_of(group: Option<&Value>) -> Thresholds {
    let leaf = |name: &str, bounds: Bounds| {
        let set = group.and_then(|group| group.get(name)).and_then(Value::as_f64);
        set.map_or(bounds.usual, |set| set.clamp(bounds.min, bounds.max))
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds of whole numbers are positive and small"
    )]
    let whole = |name: &str, bounds: Bounds| leaf(name, bounds) as u32;
    Thresholds {
        low_mos: leaf("lowMos", thresholds::LOW_MOS),
        loss_burst_packets: whole("lossBurstPackets", thresholds::LOSS_BURST_PACKETS),
        high_rtt_ms: whole("highRttMs", thresholds::HIGH_RTT_MS),
        high_jitter_ms: whole("highJitterMs", thresholds::HIGH_JITTER_MS),
        high_loss_percent: leaf("highLossPercent", thresholds::HIGH_LOSS_PERCENT),
        one_way_seconds: whole("oneWaySeconds", thresholds::ONE_WAY_SECONDS),
        dead_air_seconds: whole("deadAirSeconds", thresholds::DEAD_AIR_SECONDS),
        dead_microphone_seconds: whole("deadMicrophoneSeconds", thresholds::DEAD_MICROPHONE_SECONDS),
        clipping_percent: whole("clippingPercent", thresholds::CLIPPING_PERCENT),
    }
}

/// Mails about bad sound as a group has them.
pub(crate) fn alert_mail_of(group: Option<&Value>) -> AlertMail {
    let number = |name: &str, usual: u32, min: u32, max: u32| {
        let set = group.and_then(|group| group.get(name)).and_then(Value::as_u64);
        let set = set.map_or(usual, |set| u32::try_from(set).unwrap_or(max));
        f64::from(set.clamp(min, max))
    };
    let roles = group.and_then(|group| group.get("qualityAlertRoles")).cloned();
    let roles = roles.and_then(|roles| serde_json::from_value(roles).ok());
    AlertMail {
        on: flag(group, "notifyOnQualityAlert"),
        roles: roles.unwrap_or_else(|| ALERT_ROLES.to_vec()),
        after_s: number(
            "qualityAlertAfterSeconds",
            ALERT_AFTER_S,
            ALERT_AFTER_S_MIN,
            ALERT_AFTER_S_MAX,
        ),
        quiet_s: 60.0
            * number(
                "qualityAlertQuietMinutes",
                ALERT_QUIET_MINUTES,
                ALERT_QUIET_MINUTES_MIN,
                ALERT_QUIET_MINUTES_MAX,
            ),
    }
}

/// A switch of the mails: on unless the house says off.
pub(crate) fn flag(group: Option<&Value>, name: &str) -> bool {
    let set = group.and_then(|group| group.get(name)).and_then(Value::as_bool);
    set.unwrap_or(true)
}

/// Tells media when thresholds have changed, wherever that was, until `stop`. Whoever changes them here tells at once.
pub(crate) async fn watch(core: Arc<Core>, stop: CancellationToken) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = None;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        let read = core.write("settings", |tx| {
            Box::pin(async move { Settings::thresholds(tx.conn()).await })
        });
        match read.await {
            Ok(set) if known != Some(set) => {
                core.media.set_thresholds(set);
                known = Some(set);
            }
            Ok(_) => {}
            Err(refused) => note("settings", &refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_and_foreign_leaves_have_their_defaults() {
        let none = Settings::from_groups(None, None);
        assert_eq!((none.queue_timeout_s, none.mail_incoming_call), (QUEUE_TIMEOUT_S, true));
        let odd = json!({"queue_timeout_seconds": "soon"});
        assert_eq!(Settings::from_groups(Some(&odd), None), none);
        assert_eq!(thresholds_of(None), Thresholds::default());
        let odd = json!({"lowMos": "low", "deadAirSeconds": null});
        assert_eq!(thresholds_of(Some(&odd)), Thresholds::default());
        let odd = json!({"qualityAlertRoles": ["boss"], "qualityAlertAfterSeconds": -1, "notifyOnQualityAlert": "yes"});
        assert_eq!(alert_mail_of(Some(&odd)), alert_mail_of(None));
        assert_eq!(alert_mail_of(None).roles, ALERT_ROLES);
    }

    #[test]
    fn supervision_is_announced_only_where_the_house_says_so() {
        let with = |word: &str| Settings::is_announced(Some(&json!({ "announce": word })));
        assert_eq!(
            [with("off"), with("tone"), with("notice"), with("loud")],
            [false, true, true, false]
        );
        assert!(!Settings::is_announced(None) && !Settings::is_announced(Some(&json!({ "announce": true }))));
    }

    #[test]
    fn a_tone_is_for_the_agent_unless_the_house_names_others_and_only_with_a_tone_announced() {
        let with = |group: Value| Settings::tone_for(Some(&group));
        assert_eq!(with(json!({ "announce": "tone" })), Announce::Agents);
        assert_eq!(
            with(json!({ "announce": "tone", "announceTo": "agent" })),
            Announce::Agents
        );
        assert_eq!(with(json!({ "announce": "tone", "announceTo": "all" })), Announce::All);
        assert_eq!(
            with(json!({ "announce": "tone", "announceTo": "none" })),
            Announce::Nobody
        );
        assert_eq!(with(json!({ "announce": "tone", "announceTo": 7 })), Announce::Agents);
        for word in ["off", "notice", "loud"] {
            assert_eq!(with(json!({ "announce": word, "announceTo": "all" })), Announce::Nobody);
        }
        assert_eq!(Settings::tone_for(None), Announce::Nobody);
    }

    #[test]
    fn the_timeout_is_taken_up_to_its_limits() {
        let with = |s: u64| Settings::from_groups(Some(&json!({"queue_timeout_seconds": s})), None).queue_timeout_s;
        assert_eq!([with(5), with(4), with(86_400), with(86_401)], [5, 5, 86_400, 86_400]);
    }

    #[test]
    fn thresholds_and_times_beyond_their_limits_count_as_the_limits() {
        let mos = |value: f64| thresholds_of(Some(&json!({ "lowMos": value }))).low_mos;
        assert_eq!([mos(1.4), mos(1.5), mos(4.4), mos(4.5)], [1.5, 1.5, 4.4, 4.4]);
        let air = |value: i64| thresholds_of(Some(&json!({ "deadAirSeconds": value }))).dead_air_seconds;
        assert_eq!([air(-3), air(5), air(600), air(601)], [5, 5, 600, 600]);
        let mail = |after: u64, quiet: u64| {
            let group = json!({"qualityAlertAfterSeconds": after, "qualityAlertQuietMinutes": quiet});
            let mail = alert_mail_of(Some(&group));
            (mail.after_s, mail.quiet_s)
        };
        assert_eq!(mail(4, 0), (5.0, 60.0));
        assert_eq!(mail(601, u64::MAX), (600.0, 86_400.0));
    }
}
