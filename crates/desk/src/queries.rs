//! Reading: calls, queues, histories, recordings, oneself. Every row is looked at under the caller's own role.
//!
//! Never changes anything, except that the playing of a recording is written to the audit log.

use std::sync::Arc;

use call_model::{CallId, RecordingId, StaffId, Timestamp};
use uuid::Uuid;
use wire::Time;
use wire::call::{CallEvent, CallEvents, CallPage, CallStatus, CallView, QueueSnapshot};
use wire::offer::Offer;
use wire::quality::Quality;
use wire::recording::{Recording, Recordings};
use wire::signal::Snapshot;
use wire::staff::{Me, StaffList};

use crate::auth::SESSION_IDLE;
use crate::caller::Caller;
use crate::commands::contact::{find, reader};
use crate::commands::{heard, supervise};
use crate::estimate;
use crate::permissions;
use crate::refusal::{Code, Refused};
use crate::scores;
use crate::shared::Core;
use crate::store::events::{self, Audit};
use crate::store::reports::ListFilter;
use crate::store::{self, calls, offers, quality, queues, recordings, reports, sessions, staff, voices};
use crate::tx::Tx;
use crate::types::At;
use crate::views::{self, Reader};

/// Rows of one page of calls.
pub const PAGE_ROWS_MAX: u32 = 200;
/// Longest text searched for, characters: as long as a name.
pub const SEARCH_CHARS_MAX: usize = 200;
/// Entries of one history; a call of four hours has some dozens.
const EVENTS_MAX: i64 = 1_000;
/// Staff in one list.
pub(crate) const STAFF_MAX: i64 = 2_000;
/// Playing the same recording again within this time is the same listening.
const PLAYBACK_AUDIT_S: f64 = 600.0;

/// What the list of calls is narrowed to; all that are given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallFilter {
    /// Where the call stands.
    pub status: Option<CallStatus>,
    /// The agent who had it.
    pub agent: Option<StaffId>,
    /// The queue it waited in.
    pub queue: Option<String>,
    /// Made at this time or later.
    pub from: Option<Timestamp>,
    /// Made before this time.
    pub to: Option<Timestamp>,
    /// Lowest opinion score of either side is at most this, 1 to 4.5.
    pub max_mos: Option<f64>,
    /// Part of the customer's name.
    pub search: Option<String>,
    /// `next` of the page before.
    pub before: Option<String>,
    /// Rows, [`PAGE_ROWS_MAX`] at most.
    pub limit: u32,
}

/// What is needed to play a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Playback {
    /// Its row.
    pub recording: Recording,
    /// Key of the sound in the store.
    pub audio_key: String,
    /// SHA-256 of the sound.
    pub sha256: [u8; 32],
    /// Bytes of the sound.
    pub size: u64,
}

/// Whether new calls may come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The database has answered within [`crate::DATABASE_SILENT_MAX`].
    pub database: bool,
    /// The node is being emptied, or another start of it has taken over.
    pub draining: bool,
}

/// One call.
pub(crate) async fn call(core: &Arc<Core>, caller: &Caller, call: CallId) -> Result<CallView, Refused> {
    let reader = reader(caller);
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = find(tx, call).await?;
            views::call(tx.conn(), &row, reader).await
        })
    })
    .await
    .map(|view| CallView {
        estimated_wait_seconds: estimate::unless_full(core, view.estimated_wait_seconds),
        ..view
    })
}

/// Whether the queue of a call takes none unrecorded.
pub(crate) async fn must_be_recorded(core: &Arc<Core>, caller: &Caller, call: CallId) -> Result<bool, Refused> {
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = find(tx, call).await?;
            let queue = queues::get(tx.conn(), &row.queue).await?;
            Ok(queue.is_some_and(|queue| queue.recording == "required"))
        })
    })
    .await
}

/// Who waits, as far as the caller sees it, and how many could answer.
pub(crate) async fn queue_calls(core: &Arc<Core>, caller: &Caller) -> Result<QueueSnapshot, Refused> {
    if matches!(caller, Caller::Customer { .. }) {
        return Err(Refused::new(Code::Forbidden));
    }
    core.run(caller.ctx(), |tx| Box::pin(async move { views::queue(tx).await }))
        .await
}

/// Everything a page needs to draw itself.
pub(crate) async fn snapshot(core: &Arc<Core>, caller: &Caller) -> Result<Snapshot, Refused> {
    let caller_in = caller.clone();
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let mut shown = Snapshot {
                call: None,
                offer: None,
                wrap_up: None,
                me: None,
                queue: None,
            };
            match &caller_in {
                Caller::Customer { user_id, .. } => {
                    if let Some(id) = calls::live_of_user(tx.conn(), user_id.as_str()).await? {
                        let row = find(tx, CallId(id.as_u128())).await?;
                        shown.call = Some(views::call(tx.conn(), &row, Reader::Customer).await?);
                    }
                }
                Caller::Staff { staff, .. } => {
                    shown.queue = Some(views::queue(tx).await?);
                    desk_of(tx, *staff, &mut shown).await?;
                    shown.me = Some(me_in(tx, &caller_in).await?);
                }
                Caller::Service { .. } | Caller::Demo => {}
            }
            Ok(shown)
        })
    })
    .await
}

/// What lies on the agent's desk.
async fn desk_of(tx: &mut Tx, agent: StaffId, shown: &mut Snapshot) -> Result<(), Refused> {
    let now = tx.now;
    for held in offers::live_of_staff(tx.conn(), Uuid::from_u128(agent.0)).await? {
        let Some(row) = calls::get(tx.conn(), held.call_id).await? else {
            continue;
        };
        match held.state.as_str() {
            "pending" if held.expires_at.0 > now => {
                shown.offer = Some(views::offer(tx.conn(), &held, &row).await?);
            }
            "accepted" => shown.call = Some(views::call(tx.conn(), &row, Reader::Staff).await?),
            "wrapping" => shown.wrap_up = Some(views::wrap_up(&held, &row.customer_name)),
            _ => {}
        }
    }
    Ok(())
}

/// The agent's pending offers.
pub(crate) async fn offers(core: &Arc<Core>, caller: &Caller) -> Result<Vec<Offer>, Refused> {
    let (agent, _) = caller.staff()?;
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let now = tx.now;
            let mut pending = Vec::new();
            for held in offers::live_of_staff(tx.conn(), Uuid::from_u128(agent.0)).await? {
                if held.state == "pending"
                    && held.expires_at.0 > now
                    && let Some(row) = calls::get(tx.conn(), held.call_id).await?
                {
                    pending.push((held, row));
                }
            }
            // Who asks may be somebody whom he does not see otherwise.
            tx.become_desk().await?;
            let mut shown = Vec::new();
            for (held, row) in &pending {
                shown.push(views::offer(tx.conn(), held, row).await?);
            }
            Ok(shown)
        })
    })
    .await
}

/// A page of calls, newest first.
pub(crate) async fn calls(core: &Arc<Core>, caller: &Caller, filter: CallFilter) -> Result<CallPage, Refused> {
    not_for_customers(caller)?;
    let limit = filter.limit.clamp(1, PAGE_ROWS_MAX);
    let filter = list_filter(filter)?;
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            // One more than asked for says whether there is another page.
            let mut rows = reports::list(tx.conn(), &filter, i64::from(limit) + 1).await?;
            let more = rows.len() > limit as usize;
            rows.truncate(limit as usize);
            let next = rows.last().filter(|_| more).map(|row| cursor(row.created_at, row.id));
            Ok(CallPage {
                calls: rows.into_iter().map(views::list_row).collect(),
                next,
            })
        })
    })
    .await
}

/// The cursor behind a row.
pub(crate) fn cursor(at: At, id: Uuid) -> String {
    format!("{}_{}", at.0.0, id.simple())
}

/// The row of a cursor.
pub(crate) fn parse_cursor(text: &str) -> Option<(At, Uuid)> {
    let (at, id) = text.split_once('_')?;
    Some((At(Timestamp(at.parse().ok()?)), Uuid::try_parse(id).ok()?))
}

/// A status as the database has it.
const fn status_word(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Initiated => "initiated",
        CallStatus::Queued => "queued",
        CallStatus::Ringing => "ringing",
        CallStatus::Connecting => "connecting",
        CallStatus::Answered => "answered",
        CallStatus::Completed => "completed",
        CallStatus::Abandoned => "abandoned",
        CallStatus::Failed => "failed",
    }
}

fn list_filter(filter: CallFilter) -> Result<ListFilter, Refused> {
    if filter
        .search
        .as_ref()
        .is_some_and(|text| text.chars().count() > SEARCH_CHARS_MAX)
    {
        return Err(Refused::field("search", "must be at most 200 characters"));
    }
    let before = match &filter.before {
        Some(text) => Some(parse_cursor(text).ok_or_else(|| Refused::field("before", "is no cursor of ours"))?),
        None => None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "scores lie between 1 and 5; the column is a real"
    )]
    let mos_max = filter.max_mos.map(|mos| mos as f32);
    Ok(ListFilter {
        status: filter.status.map(|status| status_word(status).to_owned()),
        agent: filter.agent.map(|id| Uuid::from_u128(id.0)),
        queue: filter.queue,
        from: filter.from.map(At),
        to: filter.to.map(At),
        mos_max,
        search: filter.search.filter(|text| !text.is_empty()),
        before,
    })
}

/// The history of a call.
pub(crate) async fn call_events(core: &Arc<Core>, caller: &Caller, call: CallId) -> Result<CallEvents, Refused> {
    not_for_customers(caller)?;
    // Who may not listen to others is one whom the house may have listened to.
    let is_agent = matches!(caller, Caller::Staff { role, .. } if !permissions::may(*role, permissions::CALL_MONITOR));
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = visible(tx, call).await?;
            let rows = reports::events(tx.conn(), row, EVENTS_MAX).await?;
            let shown = |row: reports::EventRow| {
                let data = match is_agent {
                    true => supervise::for_agents(row.data)?,
                    false => row.data,
                };
                Some(CallEvent {
                    seq: u64::try_from(row.seq).unwrap_or(0),
                    kind: row.kind,
                    at: views::time(row.at),
                    actor: row.actor,
                    data,
                })
            };
            Ok(CallEvents {
                events: rows.into_iter().filter_map(shown).collect(),
            })
        })
    })
    .await
}

/// The quality of a call, per leg and direction.
pub(crate) async fn call_quality(core: &Arc<Core>, caller: &Caller, call: CallId) -> Result<Quality, Refused> {
    not_for_customers(caller)?;
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = calls::get(tx.conn(), Uuid::from_u128(call.0))
                .await?
                .ok_or(Refused::new(Code::NotFound))?;
            let tracks = quality::of_call(tx.conn(), row.id, row.created_at.0).await?;
            let told = store::heard::of_call(tx.conn(), row.id, heard::REPORTS_MAX).await?;
            let begin = row.answered_at.unwrap_or(row.created_at);
            let end_to_end = scores::end_to_end(&tracks);
            Ok(Quality {
                tracks: tracks.into_iter().map(scores::track).collect(),
                end_to_end,
                heard: heard::tracks(&told, begin.0),
            })
        })
    })
    .await
}

/// The recordings of a call.
pub(crate) async fn call_recordings(core: &Arc<Core>, caller: &Caller, call: CallId) -> Result<Recordings, Refused> {
    not_for_customers(caller)?;
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = visible(tx, call).await?;
            let rows = recordings::of_call(tx.conn(), row).await?;
            let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
            let voices = voices::of(tx.conn(), &ids).await?;
            Ok(Recordings {
                recordings: rows.iter().map(|row| views::recording(row, &voices)).collect(),
            })
        })
    })
    .await
}

/// The call, if the caller may see it; the transaction stays under his role.
async fn visible(tx: &mut Tx, call: CallId) -> Result<Uuid, Refused> {
    let row = calls::get(tx.conn(), Uuid::from_u128(call.0)).await?;
    row.map(|row| row.id).ok_or(Refused::new(Code::NotFound))
}

/// Where the sound of a recording is: the master, or the file of the voice with this number; who listens is noted, once
/// per person, recording and ten minutes.
pub(crate) async fn playback(
    core: &Arc<Core>,
    caller: &Caller,
    id: RecordingId,
    voice: Option<u16>,
) -> Result<Playback, Refused> {
    not_for_customers(caller)?;
    if let Caller::Staff { role, .. } = caller
        && !permissions::may(*role, permissions::RECORDING_PLAY)
    {
        return Err(Refused::new(Code::Forbidden));
    }
    let (actor, role) = caller.audit_name();
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = recordings::get(tx.conn(), Uuid::from_u128(id.0)).await?;
            let row = row.ok_or(Refused::new(Code::NotFound))?;
            let (Some(audio_key), Some(size), Some(sha256), "stored") =
                (&row.audio_key, row.audio_size, &row.audio_sha256, row.state.as_str())
            else {
                return Err(Refused::new(Code::RecordingMissing));
            };
            let voices = voices::of(tx.conn(), &[row.id]).await?;
            let (audio_key, size, sha256) = match voice {
                None => (audio_key, size, sha256),
                Some(number) => voices
                    .iter()
                    .find(|voice| u16::try_from(voice.number) == Ok(number))
                    .map(|voice| (&voice.audio_key, voice.audio_size, &voice.audio_sha256))
                    .ok_or(Refused::new(Code::NotFound))?,
            };
            tx.become_desk().await?;
            let subject = row.id.to_string();
            let entry = Audit {
                actor_id: &actor,
                actor_role: role,
                action: "recording.play",
                subject_type: "recording",
                subject_id: &subject,
                reason: None,
            };
            if !events::recently_audited(tx.conn(), &entry, PLAYBACK_AUDIT_S).await? {
                let now = tx.now;
                events::audit(tx.conn(), now, &entry).await?;
            }
            Ok(Playback {
                recording: views::recording(&row, &voices),
                audio_key: audio_key.clone(),
                sha256: sha256.as_slice().try_into().map_err(|_| Refused::new(Code::Internal))?,
                size: u64::try_from(size).unwrap_or(0),
            })
        })
    })
    .await
}

/// Everybody the caller sees.
pub(crate) async fn staff_list(core: &Arc<Core>, caller: &Caller) -> Result<StaffList, Refused> {
    not_for_customers(caller)?;
    core.run(caller.ctx(), |tx| {
        Box::pin(async move {
            let rows = staff::list(tx.conn(), STAFF_MAX).await?;
            Ok(StaffList {
                staff: rows.into_iter().map(views::staff_row).collect(),
            })
        })
    })
    .await
}

/// The signed-in member of staff.
pub(crate) async fn me(core: &Arc<Core>, caller: &Caller) -> Result<Me, Refused> {
    caller.staff()?;
    let caller_in = caller.clone();
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move { me_in(tx, &caller_in).await })
    })
    .await
}

/// The same inside a transaction, which goes on as the desk.
pub(crate) async fn me_in(tx: &mut Tx, caller: &Caller) -> Result<Me, Refused> {
    let Caller::Staff {
        staff: id,
        role,
        session,
    } = caller
    else {
        return Err(Refused::new(Code::Forbidden));
    };
    tx.become_desk().await?;
    // A connection may be older than the role that its owner has by now.
    let session = sessions::find(tx, *session, SESSION_IDLE)
        .await?
        .filter(|found| views::staff_role(&found.role) == *role)
        .ok_or(Refused::new(Code::Unauthenticated))?;
    let row = staff::get(tx.conn(), Uuid::from_u128(id.0))
        .await?
        .ok_or(Refused::new(Code::NotFound))?;
    Ok(Me {
        staff_id: row.id,
        staff_name: row.staff_name,
        email: row.email,
        role: *role,
        permissions: permissions::of(*role).into_iter().map(str::to_owned).collect(),
        presence: views::presence(&row.status),
        session_ends_at: Time(session.ends_at),
    })
}

/// What only staff and services look at.
fn not_for_customers(caller: &Caller) -> Result<(), Refused> {
    match caller {
        Caller::Customer { .. } => Err(Refused::new(Code::Forbidden)),
        Caller::Staff { .. } | Caller::Service { .. } | Caller::Demo => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let (at, id) = (At(Timestamp(1_795_514_523_456_789)), Uuid::from_u128(7));
        assert_eq!(parse_cursor(&cursor(at, id)), Some((at, id)));
        for text in ["", "_", "1", "x_00000000000000000000000000000007", "1_x"] {
            assert_eq!(parse_cursor(text), None, "{text}");
        }
    }

    #[test]
    fn a_search_is_taken_up_to_its_limit() {
        let with = |n: usize| {
            list_filter(CallFilter {
                search: Some("x".repeat(n)),
                ..CallFilter::default()
            })
        };
        assert!(with(SEARCH_CHARS_MAX).is_ok());
        assert!(with(SEARCH_CHARS_MAX + 1).is_err());
    }
}
