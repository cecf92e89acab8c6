//! What admins set: from where on sound counts as bad, which mails are sent, and whether supervisors are announced.

use std::sync::Arc;

use ports::Thresholds;
use ports::thresholds::{self as limits, Bounds};
use serde_json::{Value, json};
use wire::settings::{
    Announce, AnnounceTo, MailSettings, MailSettingsView, QualitySettings, QualityThresholds, SupervisionSettings,
    SupervisionSettingsView,
};

use super::apply::{Act, Actor};
use crate::after::After;
use crate::caller::Caller;
use crate::facade::Desk;
use crate::permissions::{self, SETTINGS_WRITE};
use crate::refusal::{Code, Refused};
use crate::settings::{self, ALERT_AFTER_S_MAX, ALERT_AFTER_S_MIN, ALERT_QUIET_MINUTES_MAX, ALERT_QUIET_MINUTES_MIN};
use crate::settings::{NOTIFICATIONS, QUALITY, SUPERVISION};
use crate::shared::Core;
use crate::store::events::{self, Audit};
use crate::store::settings as store;
use crate::tx::Tx;

/// What a change of settings may replace: an admin who has not seen what another one set does not undo it unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Whatever is set.
    Any,
    /// One of these versions of the group; 0 stands for one that was never set.
    Versions(Vec<i64>),
}

impl Known {
    fn versions(&self) -> Option<&[i64]> {
        match self {
            Known::Any => None,
            Known::Versions(versions) => Some(versions),
        }
    }
}

impl Desk {
    /// What is set, and what may be.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn settings(&self, caller: &Caller) -> Result<wire::settings::Settings, Refused> {
        self.told(read(self.core(), caller).await)
    }

    /// Sets from where on sound counts as bad; holds for running calls from their next second on.
    ///
    /// # Errors
    /// `forbidden`, `validation` beyond a limit, `version_mismatch`, `database`.
    pub async fn set_quality(
        &self,
        caller: &Caller,
        set: QualityThresholds,
        known: Known,
    ) -> Result<wire::settings::Settings, Refused> {
        self.told(set_quality(self.core(), caller, set, known).await)
    }

    /// Sets which mails are asked for.
    ///
    /// # Errors
    /// `forbidden`, `validation` beyond a limit, `version_mismatch`, `database`.
    pub async fn set_mail(
        &self,
        caller: &Caller,
        set: MailSettings,
        known: Known,
    ) -> Result<wire::settings::Settings, Refused> {
        self.told(set_mail(self.core(), caller, set, known).await)
    }

    /// Sets whether supervisors are announced; holds for running calls from the next change in them on.
    ///
    /// # Errors
    /// `forbidden`, `version_mismatch`, `database`.
    pub async fn set_supervision(
        &self,
        caller: &Caller,
        set: SupervisionSettings,
        known: Known,
    ) -> Result<wire::settings::Settings, Refused> {
        self.told(set_supervision(self.core(), caller, set, known).await)
    }
}

/// Who changes settings, and the operator's own programs.
fn allow(caller: &Caller) -> Result<(), Refused> {
    match caller {
        Caller::Service { .. } => Ok(()),
        Caller::Staff { role, .. } if permissions::may(*role, SETTINGS_WRITE) => Ok(()),
        Caller::Customer { .. } | Caller::Staff { .. } | Caller::Demo => Err(Refused::new(Code::Forbidden)),
    }
}

async fn read(core: &Arc<Core>, caller: &Caller) -> Result<wire::settings::Settings, Refused> {
    allow(caller)?;
    core.write("settings", |tx| Box::pin(async move { view(tx).await }))
        .await
}

async fn set_quality(
    core: &Arc<Core>,
    caller: &Caller,
    set: QualityThresholds,
    known: Known,
) -> Result<wire::settings::Settings, Refused> {
    allow(caller)?;
    check(&set)?;
    let leaves = serde_json::to_value(set).map_err(|_| Refused::new(Code::Internal))?;
    let caller = caller.clone();
    core.write("settings", move |tx| {
        Box::pin(async move {
            put(tx, &caller, QUALITY, &leaves, &known).await?;
            let view = view(tx).await?;
            let set = settings::Settings::thresholds(tx.conn()).await?;
            tx.after.push(After::Thresholds(set));
            Ok(view)
        })
    })
    .await
}

async fn set_mail(
    core: &Arc<Core>,
    caller: &Caller,
    mut set: MailSettings,
    known: Known,
) -> Result<wire::settings::Settings, Refused> {
    allow(caller)?;
    within(
        "qualityAlertAfterSeconds",
        set.quality_alert_after_seconds,
        ALERT_AFTER_S_MIN,
        ALERT_AFTER_S_MAX,
    )?;
    within(
        "qualityAlertQuietMinutes",
        set.quality_alert_quiet_minutes,
        ALERT_QUIET_MINUTES_MIN,
        ALERT_QUIET_MINUTES_MAX,
    )?;
    let mut roles = Vec::new();
    for role in set.quality_alert_roles {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    set.quality_alert_roles = roles;
    let leaves = serde_json::to_value(set).map_err(|_| Refused::new(Code::Internal))?;
    let caller = caller.clone();
    core.write("settings", move |tx| {
        Box::pin(async move {
            put(tx, &caller, NOTIFICATIONS, &leaves, &known).await?;
            view(tx).await
        })
    })
    .await
}

async fn set_supervision(
    core: &Arc<Core>,
    caller: &Caller,
    set: SupervisionSettings,
    known: Known,
) -> Result<wire::settings::Settings, Refused> {
    allow(caller)?;
    let leaves = serde_json::to_value(set).map_err(|_| Refused::new(Code::Internal))?;
    let caller = caller.clone();
    core.write("settings", move |tx| {
        Box::pin(async move {
            put(tx, &caller, SUPERVISION, &leaves, &known).await?;
            view(tx).await
        })
    })
    .await
}

/// Writes leaves of a group, if they change anything, with a line in the audit log. What is set already needs no version:
/// the answer to the same request may have been lost (RFC 9110 §13.1.1).
async fn put(tx: &mut Tx, caller: &Caller, group: &str, leaves: &Value, known: &Known) -> Result<(), Refused> {
    let (before, version) = store::read(tx.conn(), group).await?;
    let before = before.unwrap_or_else(|| json!({}));
    let changed: Vec<_> = leaves.as_object().into_iter().flatten().collect();
    let changed = changed.iter().any(|(name, value)| before.get(name) != Some(*value));
    if !changed {
        return Ok(());
    }
    let act = Act::now(Actor::of(tx, caller).await?);
    let versions = known.versions();
    // The second look is the one that counts: somebody may come in between.
    if versions.is_some_and(|versions| !versions.contains(&version))
        || !store::put(tx.conn(), group, leaves, &act.actor.id, versions).await?
    {
        let why = "Somebody else has changed these settings meanwhile. Read them again.";
        return Err(Refused::because(Code::VersionMismatch, why));
    }
    let now = tx.now;
    let entry = Audit {
        actor_id: &act.actor.id,
        actor_role: act.actor.role,
        action: "settings.changed",
        subject_type: "settings",
        subject_id: group,
        reason: None,
    };
    events::audit(tx.conn(), now, &entry).await
}

async fn view(tx: &mut Tx) -> Result<wire::settings::Settings, Refused> {
    let (quality, quality_version) = store::read(tx.conn(), QUALITY).await?;
    let (mail, mail_version) = store::read(tx.conn(), NOTIFICATIONS).await?;
    let (supervision, supervision_version) = store::read(tx.conn(), SUPERVISION).await?;
    Ok(wire::settings::Settings {
        quality: QualitySettings {
            version: quality_version.unsigned_abs(),
            value: shown(&settings::thresholds_of(quality.as_ref())),
            usual: shown(&Thresholds::of(|bounds| bounds.usual)),
            min: shown(&Thresholds::of(|bounds| bounds.min)),
            max: shown(&Thresholds::of(|bounds| bounds.max)),
        },
        mail: MailSettingsView {
            version: mail_version.unsigned_abs(),
            value: mails(mail.as_ref()),
            usual: mails(None),
            after_seconds_min: ALERT_AFTER_S_MIN,
            after_seconds_max: ALERT_AFTER_S_MAX,
            quiet_minutes_min: ALERT_QUIET_MINUTES_MIN,
            quiet_minutes_max: ALERT_QUIET_MINUTES_MAX,
        },
        supervision: SupervisionSettingsView {
            version: supervision_version.unsigned_abs(),
            value: supervised(supervision.as_ref()),
            usual: supervised(None),
        },
    })
}

/// As decisions read it: what nobody knows is off, a tone is for the agent, and a tone for nobody is the notice alone.
fn supervised(group: Option<&Value>) -> SupervisionSettings {
    let leaf = |name: &str| group.and_then(|group| group.get(name)).and_then(Value::as_str);
    SupervisionSettings {
        announce: match leaf("announce") {
            Some("tone") if leaf("announceTo") == Some("none") => Announce::Notice,
            Some("tone") => Announce::Tone,
            Some("notice") => Announce::Notice,
            Some(_) | None => Announce::Off,
        },
        announce_to: match leaf("announceTo") {
            Some("all") => AnnounceTo::All,
            Some(_) | None => AnnounceTo::Agent,
        },
    }
}

fn mails(group: Option<&Value>) -> MailSettings {
    let alert = settings::alert_mail_of(group);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole seconds within limits"
    )]
    let whole = |seconds: f64| seconds as u32;
    MailSettings {
        notify_staff_on_incoming_call: settings::flag(group, "notifyStaffOnIncomingCall"),
        notify_on_quality_alert: alert.on,
        quality_alert_roles: alert.roles,
        quality_alert_after_seconds: whole(alert.after_s),
        quality_alert_quiet_minutes: whole(alert.quiet_s / 60.0),
    }
}

fn shown(set: &Thresholds) -> QualityThresholds {
    QualityThresholds {
        low_mos: set.low_mos,
        loss_burst_packets: set.loss_burst_packets,
        high_rtt_ms: set.high_rtt_ms,
        high_jitter_ms: set.high_jitter_ms,
        high_loss_percent: set.high_loss_percent,
        one_way_seconds: set.one_way_seconds,
        dead_air_seconds: set.dead_air_seconds,
        dead_microphone_seconds: set.dead_microphone_seconds,
        clipping_percent: set.clipping_percent,
    }
}

fn check(set: &QualityThresholds) -> Result<(), Refused> {
    let leaves: [(&str, f64, Bounds); 9] = [
        ("lowMos", set.low_mos, limits::LOW_MOS),
        (
            "lossBurstPackets",
            set.loss_burst_packets.into(),
            limits::LOSS_BURST_PACKETS,
        ),
        ("highRttMs", set.high_rtt_ms.into(), limits::HIGH_RTT_MS),
        ("highJitterMs", set.high_jitter_ms.into(), limits::HIGH_JITTER_MS),
        ("highLossPercent", set.high_loss_percent, limits::HIGH_LOSS_PERCENT),
        ("oneWaySeconds", set.one_way_seconds.into(), limits::ONE_WAY_SECONDS),
        ("deadAirSeconds", set.dead_air_seconds.into(), limits::DEAD_AIR_SECONDS),
        (
            "deadMicrophoneSeconds",
            set.dead_microphone_seconds.into(),
            limits::DEAD_MICROPHONE_SECONDS,
        ),
        ("clippingPercent", set.clipping_percent.into(), limits::CLIPPING_PERCENT),
    ];
    let wrong = leaves.into_iter().filter(|(_, value, bounds)| !bounds.allow(*value));
    let fields: Vec<_> = wrong
        .map(|(name, _, Bounds { min, max, .. })| (name.to_owned(), format!("must lie between {min} and {max}")))
        .collect();
    if fields.is_empty() {
        return Ok(());
    }
    Err(Refused {
        fields,
        ..Refused::new(Code::Validation)
    })
}

fn within(name: &str, value: u32, min: u32, max: u32) -> Result<(), Refused> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Refused::field(name, format!("must lie between {min} and {max}")))
}
