//! Settings with their defaults; a missing group or leaf is no error.

use serde_json::Value;
use sqlx::PgConnection;

use crate::refusal::Refused;
use crate::store::settings;

/// Seconds a call or chat waits before it is abandoned (`CHAT_CONFIG.queue_timeout_seconds`).
pub(crate) const QUEUE_TIMEOUT_S: u32 = 300;
/// Shortest time-out that can be set: less than one round of ringing would abandon calls that are being answered.
const QUEUE_TIMEOUT_S_MIN: u64 = 5;
/// Longest: a day.
const QUEUE_TIMEOUT_S_MAX: u64 = 86_400;

/// The settings that decisions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// See [`QUEUE_TIMEOUT_S`]; a queue may have its own.
    pub(crate) queue_timeout_s: u32,
    /// Whether a call that nobody is there for is mailed to the queue's staff.
    pub(crate) mail_incoming_call: bool,
    /// Whether bad sound is mailed.
    pub(crate) mail_quality_alert: bool,
}

impl Settings {
    /// As they stand in the database now.
    pub(crate) async fn read(conn: &mut PgConnection) -> Result<Self, Refused> {
        let chat = settings::get(&mut *conn, "CHAT_CONFIG").await?;
        let mail = settings::get(conn, "NOTIFICATION_CONFIG").await?;
        Ok(Self::from_groups(chat.as_ref(), mail.as_ref()))
    }

    /// Whether agents are told who supervises them: a rule of the house, and off unless it says so.
    pub(crate) async fn announces(conn: &mut PgConnection) -> Result<bool, Refused> {
        let group = settings::get(conn, "supervision").await?;
        Ok(Self::is_announced(group.as_ref()))
    }

    fn is_announced(group: Option<&Value>) -> bool {
        let word = group.and_then(|group| group.get("announce")).and_then(Value::as_str);
        matches!(word, Some("tone" | "notice"))
    }

    fn from_groups(chat: Option<&Value>, mail: Option<&Value>) -> Self {
        let leaf = |group: Option<&'_ Value>, name: &str| group.and_then(|group| group.get(name)).cloned();
        let flag = |name: &str| leaf(mail, name).and_then(|v| v.as_bool()).unwrap_or(true);
        let timeout = leaf(chat, "queue_timeout_seconds")
            .and_then(|v| v.as_u64())
            .map(|s| s.clamp(QUEUE_TIMEOUT_S_MIN, QUEUE_TIMEOUT_S_MAX))
            .and_then(|s| u32::try_from(s).ok());
        Settings {
            queue_timeout_s: timeout.unwrap_or(QUEUE_TIMEOUT_S),
            mail_incoming_call: flag("notifyStaffOnIncomingCall"),
            mail_quality_alert: flag("notifyOnQualityAlert"),
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
    fn the_timeout_is_taken_up_to_its_limits() {
        let with = |s: u64| Settings::from_groups(Some(&json!({"queue_timeout_seconds": s})), None).queue_timeout_s;
        assert_eq!([with(5), with(4), with(86_400), with(86_401)], [5, 5, 86_400, 86_400]);
    }
}
