//! What a role may do: presets of permission words, each role with all of the one below it.
//!
//! The scope (own, team, all) is not here: row level security shows each role its rows.

use wire::staff::StaffRole;

/// May take contacts of others into the hand: move them, hold them.
pub(crate) const CONTACT_REASSIGN: &str = "contact.reassign";
/// May listen to calls of others.
pub(crate) const CALL_MONITOR: &str = "call.monitor";
/// May speak to the agent of a call, unheard by the customer.
pub(crate) const CALL_WHISPER: &str = "call.whisper";
/// May join calls of others.
pub(crate) const CALL_BARGE: &str = "call.barge";
/// May play recordings.
pub(crate) const RECORDING_PLAY: &str = "recording.play";
/// May end calls of others.
pub(crate) const CALL_TAKEOVER: &str = "call.takeover";
/// May look at line tests and hand out links to them.
pub(crate) const PREFLIGHT: &str = "preflight.view";
/// May add and change staff below admins.
pub(crate) const STAFF_WRITE: &str = "staff.write";
/// May change how the system works, and empty a node.
pub(crate) const SETTINGS_WRITE: &str = "settings.write";
/// May add and change admins.
pub(crate) const ROLE_GRANT: &str = "role.grant";

const AGENT: &[&str] = &[
    "contact.handle",
    "queue.pick",
    "contact.note",
    "contact.view",
    "contact.transfer",
    "contact.escalate",
    "recording.pause",
    "report.view",
    "qa.ack",
    "qa.appeal",
    PREFLIGHT,
];
const TEAM_LEAD: &[&str] = &[
    CONTACT_REASSIGN,
    CALL_MONITOR,
    CALL_WHISPER,
    "staff.status.other",
    RECORDING_PLAY,
];
const SUPERVISOR: &[&str] = &[CALL_BARGE, CALL_TAKEOVER, "qa.review", "team.members.write"];
const ADMIN: &[&str] = &[
    STAFF_WRITE,
    "queue.write",
    "hours.write",
    "canned.write",
    "outcome.write",
    SETTINGS_WRITE,
    "retention.write",
    "webhook.write",
    "audit.view",
];
const SUPER_ADMIN: &[&str] = &[ROLE_GRANT, "key.write", "hold.write", "erasure.approve"];

/// Everything that `role` may do.
pub(crate) fn of(role: StaffRole) -> Vec<&'static str> {
    let presets: &[&[&str]] = match role {
        StaffRole::Agent => &[AGENT],
        StaffRole::TeamLead => &[AGENT, TEAM_LEAD],
        StaffRole::Supervisor => &[AGENT, TEAM_LEAD, SUPERVISOR],
        StaffRole::Admin => &[AGENT, TEAM_LEAD, SUPERVISOR, ADMIN],
        StaffRole::SuperAdmin => &[AGENT, TEAM_LEAD, SUPERVISOR, ADMIN, SUPER_ADMIN],
    };
    presets.concat()
}

/// Whether `role` may do `permission`.
pub(crate) fn may(role: StaffRole, permission: &str) -> bool {
    of(role).contains(&permission)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_all_that_the_one_below_may() {
        let roles = [
            StaffRole::Agent,
            StaffRole::TeamLead,
            StaffRole::Supervisor,
            StaffRole::Admin,
            StaffRole::SuperAdmin,
        ];
        for pair in roles.windows(2) {
            assert!(
                of(pair[0]).iter().all(|permission| may(pair[1], permission)),
                "{pair:?}"
            );
            assert!(of(pair[0]).len() < of(pair[1]).len(), "{pair:?}");
        }
        assert!(!may(StaffRole::Agent, RECORDING_PLAY));
        assert!(may(StaffRole::TeamLead, RECORDING_PLAY));
        assert!(!may(StaffRole::Supervisor, STAFF_WRITE));
        assert!(!may(StaffRole::Admin, ROLE_GRANT));
    }
}
