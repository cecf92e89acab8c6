//! What stands beside the status of a call with an agent, as its readers see it: hold, mutes, the shield over pressed keys,
//! a consulted colleague, and who supervises. Converts, never decides.

use sqlx::PgConnection;
use uuid::Uuid;
use wire::Time;
use wire::call::{Consult, ConsultState, LiveSupervisor, Shielded, Supervised};
use wire::leg::Part;

use crate::commands::apply::{CONFERENCE, CONSULT, HOLD, MUTE, SELF_MUTE, SHIELD, SUPERVISE};
use crate::commands::modes::mode_of;
use crate::commands::shield;
use crate::refusal::Refused;
use crate::store::legs::{self, OpenInterval};
use crate::store::offers::{self, ConsultRow};
use crate::types::At;
use crate::views::{self, Reader, time};

/// See the top of this file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beside {
    held_since: Option<At>,
    /// Since when agent and colleague are apart from the customer, asked or speaking.
    apart_since: Option<At>,
    muted: Vec<Part>,
    pub(crate) shielded: Shielded,
    muted_self: Vec<Part>,
    muted_by_others: Vec<Part>,
    pub(crate) consult: Option<Consult>,
    pub(crate) supervisors: Vec<LiveSupervisor>,
}

impl Beside {
    /// Of one call, as the desk.
    pub(crate) async fn read(conn: &mut PgConnection, call: Uuid) -> Result<Beside, Refused> {
        let intervals = legs::open_intervals(&mut *conn, call).await?;
        let apart = intervals
            .iter()
            .any(|open| matches!(open.kind.as_str(), CONSULT | CONFERENCE));
        let consult = if apart {
            offers::consult(conn, call).await?
        } else {
            None
        };
        Ok(Beside::of(&intervals, consult))
    }

    fn of(intervals: &[OpenInterval], consult: Option<ConsultRow>) -> Beside {
        let mut beside = Beside::default();
        let mut conference = None;
        for open in intervals {
            match open.kind.as_str() {
                HOLD => beside.held_since = Some(open.started_at),
                CONSULT => beside.apart_since = Some(open.started_at),
                MUTE | SELF_MUTE => beside.mute(open),
                CONFERENCE => conference = Some(open.started_at),
                SHIELD if shield::is_always(open.mode.as_deref()) => beside.shielded = Shielded::Always,
                SHIELD => beside.shielded = Shielded::On,
                SUPERVISE => beside.supervisors.extend(supervisor(open)),
                _ => {}
            }
        }
        beside.consult = consult.map(|row| {
            let (state, since) = match (row.state.as_str(), conference) {
                ("pending", _) => (ConsultState::Ringing, row.created_at),
                (_, Some(since)) => (ConsultState::Conference, since),
                (_, None) => (ConsultState::Talking, row.accepted_at.unwrap_or(row.created_at)),
            };
            Consult {
                staff_id: row.staff_id,
                staff_name: row.staff_name,
                state,
                since: time(since),
            }
        });
        beside
    }

    /// A party may be muted twice, by himself and by somebody else.
    fn mute(&mut self, open: &OpenInterval) {
        let Some(part) = open.part.as_deref().map(views::part) else {
            return;
        };
        if !self.muted.contains(&part) {
            self.muted.push(part);
        }
        if open.kind == SELF_MUTE {
            self.muted_self.push(part);
        } else {
            self.muted_by_others.push(part);
        }
    }

    /// Since when the customer hears music. For himself that is hold whatever the reason.
    pub(crate) fn held_since(&self, reader: Reader) -> Option<Time> {
        let since = match reader {
            Reader::Staff => self.held_since,
            Reader::Customer => self.held_since.or(self.apart_since),
        };
        since.map(time)
    }

    /// Whose voice is kept from everybody.
    pub(crate) fn muted(&self, reader: Reader) -> Vec<Part> {
        shown(&self.muted, reader)
    }

    /// Who of them wants it so himself.
    pub(crate) fn muted_self(&self, reader: Reader) -> Vec<Part> {
        shown(&self.muted_self, reader)
    }

    /// Whom of them somebody else has muted; he may have muted himself as well.
    pub(crate) fn muted_by_others(&self, reader: Reader) -> Vec<Part> {
        shown(&self.muted_by_others, reader)
    }

    /// Who supervises, as the agent is told.
    pub(crate) fn supervised(&self) -> Vec<Supervised> {
        let supervisors = self.supervisors.iter();
        supervisors
            .map(|one| Supervised {
                staff_name: one.staff_name.clone(),
                mode: one.mode,
            })
            .collect()
    }
}

/// The customer is told of himself only.
fn shown(parts: &[Part], reader: Reader) -> Vec<Part> {
    let own = |part: &&Part| reader == Reader::Staff || **part == Part::Customer;
    parts.iter().filter(own).copied().collect()
}

fn supervisor(open: &OpenInterval) -> Option<LiveSupervisor> {
    Some(LiveSupervisor {
        staff_id: open.staff_id?,
        staff_name: open.staff_name.clone().unwrap_or_default(),
        mode: mode_of(open.mode.as_deref()),
        since: time(open.started_at),
    })
}
