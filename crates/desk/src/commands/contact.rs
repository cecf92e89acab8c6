//! A running call: hanging up, attaching legs, showing that one is still there.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use call_model::{CallId, Span, StaffId, UserId, call};
use ports::Part;
use uuid::Uuid;
use wire::Time;
use wire::call::CallView;
use wire::leg::LegGrant;

use super::apply::{self, Act, Actor, CUSTOMER_LEASE, call_input};
use super::{again, consult, modes, recorder, rows};
use crate::caller::Caller;
use crate::permissions;
use crate::refusal::{Code, Refused};
use crate::settings::Settings;
use crate::shared::{Core, to_the_end};
use crate::store::calls::{self, CallRow};
use crate::store::offers::PRIMARY;
use crate::store::queues::QueueRow;
use crate::store::{legs, nodes, offers, queues, recordings};
use crate::tx::Tx;
use crate::views::{self, Reader};

/// Longest free word of a person about why he does something, characters; the history's own limit.
pub const REASON_CHARS_MAX: usize = 64;

/// A free word for the history: one short line.
pub(crate) fn word(reason: Option<String>) -> Result<Option<String>, Refused> {
    let reason = reason
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty());
    let bad = |text: &String| text.chars().count() > REASON_CHARS_MAX || text.chars().any(char::is_control);
    if reason.as_ref().is_some_and(bad) {
        return Err(Refused::field("reason", "must be at most 64 characters of one line"));
    }
    Ok(reason)
}

/// How much of a call the caller may see.
pub(crate) fn reader(caller: &Caller) -> Reader {
    match caller {
        Caller::Staff { .. } => Reader::Staff,
        Caller::Customer { .. } | Caller::Service { .. } | Caller::Demo => Reader::Customer,
    }
}

/// Seconds after which a call of a node that is gone has been ended by another one, usually.
const GONE_RETRY_S: u32 = 5;

/// The call, if the caller may see it; the transaction goes on as the desk.
pub(crate) async fn find(tx: &mut Tx, call: CallId) -> Result<CallRow, Refused> {
    let row = calls::get(tx.conn(), Uuid::from_u128(call.0)).await?;
    tx.become_desk().await?;
    row.ok_or(Refused::new(Code::NotFound))
}

/// The same, for what only the media of the call's own node can do.
pub(crate) async fn find_here(core: &Core, tx: &mut Tx, call: CallId) -> Result<CallRow, Refused> {
    let row = find(tx, call).await?;
    is_here(core, tx, &row).await?;
    Ok(row)
}

/// Refuses what concerns the sound of a call that lives at another node: it would be written and shown, and not be so.
///
/// # Errors
/// `other_node`, with the WebSocket address of that node; `media_unavailable` when that one has not been seen for its lease,
/// so that its calls are ended soon.
pub(crate) async fn is_here(core: &Core, tx: &mut Tx, row: &CallRow) -> Result<(), Refused> {
    if row.node_id == core.node.node_id || row.ended_at.is_some() {
        return Ok(());
    }
    if !nodes::lives(tx.conn(), &row.node_id).await? {
        return Err(Refused::new(Code::MediaUnavailable).retry_after(GONE_RETRY_S));
    }
    let address = nodes::ws_url(tx.conn(), &row.node_id).await?.unwrap_or_default();
    let detail = format!("the call lives at another node, whose signalling is at {address}");
    Err(Refused::because(Code::OtherNode, detail))
}

/// Ends a call; twice is once.
pub(crate) async fn hang_up(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    reason: Option<String>,
) -> Result<CallView, Refused> {
    let word = word(reason)?;
    let (core_in, caller_in) = (Arc::clone(core), caller.clone());
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = find(tx, call).await?;
            // Who only waits has no sound that could go on: his place ends wherever he says so.
            if matches!(row.status.as_str(), "connecting" | "answered") {
                is_here(&core_in, tx, &row).await?;
            }
            let act = Act {
                actor: Actor::of(tx, &caller_in).await?,
                at: None,
                word,
            };
            if left_for_himself(tx, &caller_in, row.id, &act).await? {
                let row = calls::get(tx.conn(), row.id)
                    .await?
                    .ok_or(Refused::new(Code::NotFound))?;
                return views::call(tx.conn(), &row, reader(&caller_in)).await;
            }
            let who = match &caller_in {
                Caller::Customer { .. } => call::Who::Customer,
                Caller::Service { .. } | Caller::Demo => call::Who::Staff,
                Caller::Staff { staff, role, .. } => {
                    let own = row.assigned_staff_id == Some(Uuid::from_u128(staff.0));
                    if own || !permissions::may(*role, permissions::CALL_TAKEOVER) {
                        call::Who::Agent(*staff)
                    } else {
                        call::Who::Staff
                    }
                }
            };
            let done = call_input(&core_in, tx, row.id, call::Input::HangUp(who), &act).await?;
            if !done.changed {
                again::close(tx, &done.call);
            }
            views::call(tx.conn(), &done.call, reader(&caller_in)).await
        })
    })
    .await
}

/// A consulted colleague leaves, and the call goes on without him.
async fn left_for_himself(tx: &mut Tx, caller: &Caller, call: Uuid, act: &Act) -> Result<bool, Refused> {
    let Ok((staff, _)) = caller.staff() else {
        return Ok(false);
    };
    let me = Uuid::from_u128(staff.0);
    if !offers::helps(tx.conn(), call, me).await? {
        return Ok(false);
    }
    consult::leaves(tx, call, me, act).await
}

/// What a grant needs outside the transaction.
pub(crate) struct Granted {
    grant: ports::LegGrant,
    plan: ports::Plan,
    /// Who wants what is new in it; `None` where it names a leg that joins and changes nothing else.
    author: Option<ports::Author>,
    record: Option<ports::RecordCommand>,
    expires_at: Time,
}

impl Granted {
    /// The same, and its plan is of somebody's will.
    pub(super) fn by(self, author: ports::Author) -> Granted {
        Granted {
            author: Some(author),
            ..self
        }
    }
}

/// The right to attach one's own leg; asked again, a fresh right for the same leg.
pub(crate) async fn grant_leg(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    part: Option<Part>,
) -> Result<LegGrant, Refused> {
    to_the_end("grant", leg_granted(Arc::clone(core), caller.clone(), call, part)).await
}

/// The rows and what media must hear of them, in one.
async fn leg_granted(core: Arc<Core>, caller: Caller, call: CallId, part: Option<Part>) -> Result<LegGrant, Refused> {
    let (core_in, caller_in) = (Arc::clone(&core), caller.clone());
    let granted = core
        .run(caller.ctx(), move |tx| {
            Box::pin(async move {
                let seen = find_here(&core_in, tx, call).await?;
                let mut row = calls::lock(tx.conn(), seen.id)
                    .await?
                    .ok_or(Refused::new(Code::NotFound))?;
                let (part, partner) = own_part(tx, &caller_in, &row, part).await?;
                prepare(&core_in, tx, &mut row, part, partner).await
            })
        })
        .await?;
    hand_out(&core, granted).await
}

/// Which leg the caller may attach; with a consulted colleague, who he is.
async fn own_part(
    tx: &mut Tx,
    caller: &Caller,
    row: &CallRow,
    part: Option<Part>,
) -> Result<(Part, Option<StaffId>), Refused> {
    let mut partner = None;
    let own = match caller {
        Caller::Customer { .. } => Part::Customer,
        Caller::Staff { staff, .. } if row.assigned_staff_id == Some(Uuid::from_u128(staff.0)) => Part::Agent,
        Caller::Staff { staff, .. } if offers::helps(tx.conn(), row.id, Uuid::from_u128(staff.0)).await? => {
            partner = Some(*staff);
            Part::Partner
        }
        Caller::Staff { .. } => return Err(Refused::new(Code::Forbidden)),
        Caller::Service { .. } | Caller::Demo => match part.unwrap_or(Part::Customer) {
            part @ (Part::Customer | Part::Agent) => part,
            Part::Partner | Part::Supervisor | Part::Preflight => {
                return Err(Refused::field("part", "must be `customer` or `agent`"));
            }
        },
    };
    if part.is_some_and(|part| part != own) {
        return Err(Refused::because(Code::Forbidden, "only a service names another part"));
    }
    Ok((own, partner))
}

/// The rows of a grant: the leg, and a plan that names it. `partner`: who that is, for a colleague's leg.
pub(crate) async fn prepare(
    core: &Core,
    tx: &mut Tx,
    row: &mut CallRow,
    part: Part,
    partner: Option<StaffId>,
) -> Result<Granted, Refused> {
    let talks = matches!(row.status.as_str(), "connecting" | "answered");
    let waits = !talks && part == Part::Customer && may_wait_with_sound(tx, row).await?;
    if !talks && !waits {
        return Err(Refused::because(
            Code::IllegalTransition,
            "nobody has taken the call yet, or it is over",
        ));
    }
    let agent = match part {
        Part::Agent => row.assigned_staff_id.map(|id| StaffId(id.as_u128())),
        Part::Partner => partner,
        Part::Customer | Part::Supervisor | Part::Preflight => None,
    };
    let (leg, is_new) = apply::leg(core, tx, row, part, agent).await?;
    if is_new {
        row.plan_epoch += 1;
        calls::save(tx.conn(), row).await?;
    }
    let queue = queues::get(tx.conn(), &row.queue)
        .await?
        .ok_or(Refused::new(Code::Internal))?;
    let grant = rows::grant(core, &leg, part);
    granted(tx, row, &queue, grant).await
}

/// Whether a waiting customer may have a leg: who was given back to the queue hears the music there, on a page that was
/// loaded anew too; everybody else, where the house wants it.
async fn may_wait_with_sound(tx: &mut Tx, row: &CallRow) -> Result<bool, Refused> {
    if !matches!(row.status.as_str(), "queued" | "ringing") {
        return Ok(false);
    }
    let live = legs::live(tx.conn(), row.id).await?;
    Ok(live.iter().any(|leg| leg.part == "customer") || Settings::queue_needs_media(tx.conn()).await?)
}

/// A right with the plan that names its leg, and the order to record.
pub(super) async fn granted(
    tx: &mut Tx,
    row: &CallRow,
    queue: &QueueRow,
    grant: ports::LegGrant,
) -> Result<Granted, Refused> {
    let held = offers::live_of_call(tx.conn(), row.id).await?;
    let accepted = held
        .iter()
        .find(|offer| offer.state == "accepted" && offer.kind == PRIMARY)
        .map(|offer| offer.id);
    // One that runs goes on whoever has the call by now.
    let recordings = recordings::of_call(tx.conn(), row.id).await?;
    let running = recordings.iter().find(|recording| recording.state == "recording");
    let recording = match running {
        Some(recording) => Some(recording.id),
        None if recorder::leaves_out(tx, row, queue).await? => None,
        None => accepted,
    };
    let all = legs::live(tx.conn(), row.id).await?;
    Ok(Granted {
        grant,
        plan: rows::plan(row, &all, queue, &modes::of(tx, row.id).await?),
        author: None,
        record: recording.and_then(|recording| rows::record(recording, queue)),
        expires_at: Time(tx.now.plus(Span::seconds(i64::from(rows::FIRST_OFFER_S)))),
    })
}

/// Makes the leg known to media before the browser hears of it. Everything here may be said twice.
pub(crate) async fn hand_out(core: &Arc<Core>, granted: Granted) -> Result<LegGrant, Refused> {
    let leg = granted.grant.leg;
    let mut shown = LegGrant {
        call_id: Uuid::from_u128(granted.grant.room.0),
        leg_id: Uuid::from_u128(granted.grant.leg.0),
        grant: URL_SAFE_NO_PAD.encode(granted.grant.secret.expose()),
        part: views::part(views::part_word(granted.grant.part)),
        ice_servers: Vec::new(),
        ice_transport_policy: core.options.ice.policy,
        expires_at: granted.expires_at,
    };
    let room = granted.grant.room;
    core.media.admit(granted.grant).await?;
    match granted.author {
        Some(author) => core.media.plan_by(granted.plan, author),
        None => core.media.plan(granted.plan),
    }
    if let Some(command) = granted.record {
        core.media.record(room, command);
    }
    // A relay asks media for whom it works: never before media knows the leg.
    shown.ice_servers = core.options.ice.of_leg(leg);
    Ok(shown)
}

/// The waiting customer's page is there.
pub(crate) async fn customer_alive(core: &Arc<Core>, user: &UserId) -> Result<(), Refused> {
    let user = user.clone();
    core.write("signaling", move |tx| {
        Box::pin(async move {
            let until = tx.now.plus(CUSTOMER_LEASE);
            queues::extend(tx.conn(), user.as_str(), until).await?;
            Ok(())
        })
    })
    .await
}
