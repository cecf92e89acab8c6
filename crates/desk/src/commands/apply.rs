//! The one place where effects of `call_model` become rows, events, orders to media and wakes.
//!
//! Load the call locked, its agents, its offers; ask the model; write rows; carry out the effects; tell. Used alike by
//! people's commands, the router, the timers and media's reports.
//!
//! Lock order: queue (advisory, router only), call, staff, offer. An offer is only ever changed under its call's lock.

use call_model::consult::Why;
use call_model::{CallId, OfferId, Span, StaffId, Timestamp, call, offer};
use ports::Cause;
use uuid::Uuid;

use super::modes::Modes;
use super::{consult, modes, mute, offer_step, recorder, rows, supervise, tell};
use crate::after::{After, Count};
use crate::caller::Caller;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::calls::{self, CallRow};
use crate::store::legs::{self, LegRow};
use crate::store::offers::{self, OfferRow};
use crate::store::queues::{self, QueueRow};
use crate::store::recordings::{self, Ordered, RecordingRow};
use crate::store::staff;
use crate::tx::Tx;
use crate::types::At;

/// How long a waiting customer's page may be silent: three missed heartbeats of a throttled tab.
pub(crate) const CUSTOMER_LEASE: Span = Span::seconds(20);

/// Kind of the spans in which the customer is on hold.
pub(crate) const HOLD: &str = "hold";
/// Kind of the spans in which the server keeps a leg's voice from everybody because somebody else wants it.
pub(crate) const MUTE: &str = "mute";
/// Kind of the spans in which it does so because the leg's own participant wants it.
pub(crate) const SELF_MUTE: &str = "self_mute";
/// Kind of the spans in which a colleague is asked, and speaks with the agent apart from the customer.
pub(crate) const CONSULT: &str = "consult";
/// Kind of the spans in which customer, agent and colleague speak.
pub(crate) const CONFERENCE: &str = "conference";
/// Kind of the spans in which a supervisor takes part.
pub(crate) const SUPERVISE: &str = "supervise";

/// Kind of the spans in which nobody gets the keys that are pressed.
pub(crate) const SHIELD: &str = "shield";

/// Who has it done.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    /// For the audit log.
    pub(crate) id: String,
    /// For the audit log.
    pub(crate) role: &'static str,
    /// For the call's history: `customer`, `staff:<name>`, `system:<part>`.
    pub(crate) label: String,
}

impl Actor {
    /// A part of the server.
    pub(crate) fn system(part: &'static str) -> Self {
        Actor {
            id: part.to_owned(),
            role: "system",
            label: format!("system:{part}"),
        }
    }

    /// A member of staff, by name.
    pub(crate) async fn staff(tx: &mut Tx, id: StaffId, role: &'static str) -> Result<Self, Refused> {
        let id = Uuid::from_u128(id.0);
        let name = staff::name(tx.conn(), id).await?.unwrap_or_default();
        Ok(Actor {
            id: id.to_string(),
            role,
            label: format!("staff:{name}"),
        })
    }

    /// Whoever asked.
    pub(crate) async fn of(tx: &mut Tx, caller: &Caller) -> Result<Self, Refused> {
        let (id, role) = caller.audit_name();
        match caller {
            Caller::Customer { .. } => Ok(Actor {
                id,
                role,
                label: "customer".to_owned(),
            }),
            Caller::Staff { staff, .. } => Self::staff(tx, *staff, role).await,
            Caller::Service { .. } | Caller::Demo => Ok(Actor {
                id,
                role,
                label: "system:service".to_owned(),
            }),
        }
    }
}

/// Who, when, and in whose words.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// Who.
    pub(crate) actor: Actor,
    /// When it happened, for what is reported late; the database clock otherwise.
    pub(crate) at: Option<Timestamp>,
    /// A free word of a person, checked before.
    pub(crate) word: Option<String>,
}

impl Act {
    /// Here and now.
    pub(crate) fn now(actor: Actor) -> Self {
        Act {
            actor,
            at: None,
            word: None,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// The call's row as it is now, still locked.
    pub(crate) call: CallRow,
    /// False when it was a repetition.
    pub(crate) changed: bool,
}

/// A call with all that its decisions touch, locked.
pub(super) struct Work {
    pub(super) row: CallRow,
    /// Whose call it was when it was loaded.
    pub(super) agent_before: Option<Uuid>,
    pub(super) offers: Vec<OfferRow>,
    pub(super) queue: QueueRow,
    /// When it happened.
    pub(super) at: Timestamp,
    /// Who does it, as in the call's history.
    pub(super) actor: String,
    /// What he is.
    pub(super) role: &'static str,
    /// The word that he gave.
    pub(super) word: Option<String>,
}

impl Work {
    /// Who changes it, when, and why.
    pub(super) fn change(&self) -> legs::Change<'_> {
        legs::Change {
            at: self.at,
            actor: &self.actor,
            reason: self.word.as_deref(),
        }
    }

    /// The same as media writes it down: no name.
    pub(super) fn author(&self) -> ports::Author {
        ports::Author {
            role: self.role,
            reason: self.word.clone(),
        }
    }
}

/// Something happens to a call.
///
/// # Errors
/// `not_found`; what the model refuses, with nothing changed.
pub(crate) async fn call_input(
    core: &Core,
    tx: &mut Tx,
    call: Uuid,
    input: call::Input,
    act: &Act,
) -> Result<Done, Refused> {
    let mut work = load(tx, call, act).await?;
    let changed = match input {
        call::Input::AgentLost if consult::inherited(core, tx, &mut work, act).await? => true,
        input => call_step(core, tx, &mut work, input, act).await?,
    };
    Ok(Done {
        call: work.row,
        changed,
    })
}

/// Something happens to an offer, and through it to its call.
///
/// # Errors
/// `not_found`; what the model refuses, with nothing changed.
pub(crate) async fn offer_input(
    core: &Core,
    tx: &mut Tx,
    offer: Uuid,
    input: offer::Input,
    act: &Act,
) -> Result<Done, Refused> {
    let seen = offers::get(tx.conn(), offer)
        .await?
        .ok_or(Refused::new(Code::NotFound))?;
    let mut work = load(tx, seen.call_id, act).await?;
    let place = match work.offers.iter().position(|held| held.id == offer) {
        Some(place) => place,
        None => {
            // It has ended; the model says what that means for this input.
            let ended = offers::get(tx.conn(), offer)
                .await?
                .ok_or(Refused::new(Code::NotFound))?;
            work.offers.push(ended);
            work.offers.len() - 1
        }
    };
    let is_consult = consult::is_consult(&work.offers[place]);
    let step = offer_step::step(tx, &mut work, place, input, act).await?;
    if is_consult {
        if step.accepted {
            consult::accepted(core, tx, &mut work, place, act).await?;
        } else if step.changed {
            consult::unanswered(tx, &mut work, place, act).await?;
        }
        return Ok(Done {
            call: work.row,
            changed: step.changed,
        });
    }
    let id = OfferId(offer.as_u128());
    let mut changed = step.changed;
    if step.accepted {
        let agent = StaffId(seen.staff_id.as_u128());
        changed |= call_step(core, tx, &mut work, call::Input::Accept { offer: id, agent }, act).await?;
        offer_step::rescind_others(tx, &mut work, offer, offer::Rescinded::WonByOther, act).await?;
    }
    if step.requeue && !work.offers.iter().any(|held| held.state == "pending") {
        changed |= call_step(core, tx, &mut work, call::Input::OfferEnded { offer: id }, act).await?;
    }
    Ok(Done {
        call: work.row,
        changed,
    })
}

/// Locks call, agents and offers, in this order.
pub(super) async fn load(tx: &mut Tx, call: Uuid, act: &Act) -> Result<Work, Refused> {
    load_with(tx, call, &[], act).await
}

/// The same with further members of staff, whose slots are to be taken: all are locked in one order.
pub(super) async fn load_with(tx: &mut Tx, call: Uuid, others: &[Uuid], act: &Act) -> Result<Work, Refused> {
    let row = calls::lock(tx.conn(), call)
        .await?
        .ok_or(Refused::new(Code::NotFound))?;
    let mut agents = offers::staff_of_call(tx.conn(), call).await?;
    agents.extend_from_slice(others);
    staff::lock_all(tx.conn(), &agents).await?;
    let offers = offers::live_of_call(tx.conn(), call).await?;
    let queue = queues::get(tx.conn(), &row.queue)
        .await?
        .ok_or(Refused::new(Code::Internal))?;
    let now = tx.read_clock().await?;
    Ok(Work {
        agent_before: row.assigned_staff_id,
        row,
        offers,
        queue,
        at: act.at.unwrap_or(now).min(now),
        actor: act.actor.label.clone(),
        role: act.actor.role,
        word: act.word.clone(),
    })
}

/// Tells media who hears whom, after something beside the call's status has changed.
pub(super) async fn replan(tx: &mut Tx, work: &mut Work) -> Result<(), Refused> {
    replan_for(tx, work, None).await
}

/// The same. `why`: the stable word where nobody gave one.
pub(super) async fn replan_for(tx: &mut Tx, work: &mut Work, why: Option<&str>) -> Result<(), Refused> {
    work.row.plan_epoch += 1;
    calls::save(tx.conn(), &work.row).await?;
    let live = legs::live(tx.conn(), work.row.id).await?;
    let modes = modes::of(tx, work.row.id).await?;
    let mut author = work.author();
    author.reason = author.reason.or_else(|| why.map(str::to_owned));
    let plan = rows::plan(&work.row, &live, &work.queue, &modes);
    tx.after.push(After::Plan(plan, author));
    Ok(())
}

/// Asks the model and carries out what it says; false for a repetition.
pub(super) async fn call_step(
    core: &Core,
    tx: &mut Tx,
    work: &mut Work,
    input: call::Input,
    act: &Act,
) -> Result<bool, Refused> {
    let offer = match input {
        call::Input::Offer { offer } | call::Input::Accept { offer, .. } | call::Input::OfferEnded { offer } => {
            Some(offer)
        }
        _ => None,
    };
    let mut call = rows::call_of(&work.row, &work.offers, offer)?;
    let before = call.clone();
    let effects = call.apply(work.at, input)?;
    if effects.is_empty() && call == before {
        return Ok(false);
    }
    let first = work.row.answered_at.is_none();
    rows::write_call(&mut work.row, &call);
    let mut told = Vec::new();
    for effect in effects {
        match effect {
            call::Effect::Tell(kind) => told.push(kind),
            effect => carry_out(core, tx, work, effect, act).await?,
        }
    }
    calls::save(tx.conn(), &work.row).await?;
    if before.status() != call.status() {
        tx.after.push(After::Count(Count::State {
            call: work.row.id,
            state: call.status().word(),
            reason: work.row.end_reason.clone(),
        }));
    }
    if let (call::Status::Connecting, call::State::Answered { offer, since, .. }) = (before.status(), call.state) {
        answered(tx, work, offer, since, first).await?;
    }
    if let call::Input::Offer { offer } = input {
        tell::offered(tx, work, Uuid::from_u128(offer.0), act).await?;
    }
    for kind in told {
        tell::call_changed(tx, work, kind, act).await?;
    }
    tx.after.push(After::WakeHub);
    Ok(true)
}

/// One effect, `Tell` excepted.
async fn carry_out(core: &Core, tx: &mut Tx, work: &mut Work, effect: call::Effect, act: &Act) -> Result<(), Refused> {
    match effect {
        call::Effect::OpenSegment { enqueued_at, priority } => {
            let priority = i16::try_from(priority).unwrap_or(0);
            let lease_until = tx.now.plus(CUSTOMER_LEASE);
            let id = Uuid::from_u128(core.fresh_id());
            queues::open(
                tx.conn(),
                id,
                work.row.id,
                &work.row.queue,
                priority,
                enqueued_at,
                lease_until,
            )
            .await?;
        }
        call::Effect::CloseSegment => {
            let reason = work.row.end_reason.clone().unwrap_or_else(|| "accepted".to_owned());
            queues::close(tx.conn(), work.row.id, work.at, &reason).await?;
        }
        call::Effect::RescindOffer(_, why) => offer_step::rescind_all(tx, work, why, act).await?,
        call::Effect::TakeBack(offer, why) => {
            offer_step::by_id(tx, work, offer, offer::Input::Rescind(why), act).await?;
        }
        call::Effect::FailOffer(offer) => offer_step::by_id(tx, work, offer, offer::Input::Fail, act).await?,
        call::Effect::BeginWrapUp(offer) => offer_step::begin_wrap_up(tx, work, offer, act).await?,
        call::Effect::AdmitLegs { agent } => admit_legs(core, tx, work, agent).await?,
        call::Effect::CloseAgentLeg => {
            consult::end_with_call(tx, work, Why::AgentLost, act).await?;
            close_agent_leg(tx, work, act).await?;
        }
        call::Effect::CloseRoom => {
            consult::end_with_call(tx, work, Why::CallEnded, act).await?;
            close_room(tx, work).await?;
        }
        call::Effect::WakeQueue => tx.after.push(After::WakeQueue(work.row.queue.clone())),
        call::Effect::Tell(_) => {}
    }
    Ok(())
}

/// Gives both sides a leg in the rows; the rights to attach them are handed out one by one afterwards.
async fn admit_legs(core: &Core, tx: &mut Tx, work: &mut Work, agent: StaffId) -> Result<(), Refused> {
    for leg in legs::live(tx.conn(), work.row.id)
        .await?
        .iter()
        .filter(|leg| leg.part == "agent")
    {
        legs::down(tx.conn(), leg.id, work.at, Cause::Replaced.word()).await?;
        tx.after
            .push(After::CloseLeg(call_model::LegId(leg.id.as_u128()), Cause::Replaced));
    }
    leg(core, tx, &work.row, ports::Part::Customer, None).await?;
    leg(core, tx, &work.row, ports::Part::Agent, Some(agent)).await?;
    work.row.plan_epoch += 1;
    Ok(())
}

/// The living leg of `part`, or a new one; true when it is new.
pub(super) async fn leg(
    core: &Core,
    tx: &mut Tx,
    row: &CallRow,
    part: ports::Part,
    agent: Option<StaffId>,
) -> Result<(LegRow, bool), Refused> {
    let word = crate::views::part_word(part);
    let live = legs::live(tx.conn(), row.id).await?;
    for old in live.iter().filter(|leg| leg.part == word) {
        if old.node_epoch == row.node_epoch {
            let now = tx.now;
            legs::renew(tx.conn(), old.id, now).await?;
            return Ok((old.clone(), false));
        }
        // Of an earlier start of the node: nobody can come back to it.
        let now = tx.now;
        legs::down(tx.conn(), old.id, now, Cause::Lost.word()).await?;
    }
    let leg = LegRow {
        id: Uuid::from_u128(core.fresh_id()),
        call_id: row.id,
        part: word.to_owned(),
        staff_id: agent.map(|agent| Uuid::from_u128(agent.0)),
        node_epoch: row.node_epoch,
        state: "granted".to_owned(),
        granted_at: At(tx.now),
    };
    legs::insert(tx.conn(), &leg, &row.node_id).await?;
    Ok((leg, true))
}

/// The agent's part is over, the customer stays; whoever supervised the agent leaves with him. A recording goes on: it
/// has one side for the customer and one for whoever has the call, and says why they are silent meanwhile.
async fn close_agent_leg(tx: &mut Tx, work: &mut Work, act: &Act) -> Result<(), Refused> {
    let legs = legs::live(tx.conn(), work.row.id).await?;
    for leg in legs.iter().filter(|leg| leg.part != "customer") {
        legs::down(tx.conn(), leg.id, work.at, Cause::HangUp.word()).await?;
        for kind in [MUTE, SELF_MUTE] {
            legs::close_intervals(tx.conn(), work.row.id, Some(kind), Some(leg.id), work.change()).await?;
        }
        tx.after
            .push(After::CloseLeg(call_model::LegId(leg.id.as_u128()), Cause::HangUp));
        if leg.part == "supervisor" {
            supervise::ended(tx, work, leg, None).await?;
        }
    }
    // The next agent begins in talk; what keys are shielded stay so, so does a customer whom a supervisor has muted, and
    // whether he has muted himself is his affair.
    for kind in [HOLD, SUPERVISE] {
        legs::close_intervals(tx.conn(), work.row.id, Some(kind), None, work.change()).await?;
    }
    mute::lift(tx, work, act).await?;
    let shield = modes::of(tx, work.row.id).await?.shield;
    work.row.plan_epoch += 1;
    let rest: Vec<_> = legs.into_iter().filter(|leg| leg.part == "customer").collect();
    let modes = Modes {
        shield,
        ..Modes::default()
    };
    let plan = rows::plan(&work.row, &rest, &work.queue, &modes);
    tx.after.push(After::Plan(plan, work.author()));
    Ok(())
}

/// Why the room of an ended call is closed.
pub(super) fn cause_of(row: &CallRow) -> Cause {
    match row.end_reason.as_deref() {
        Some("drain" | "node_lost") => Cause::Drain,
        Some("media_lost" | "media_failed" | "customer_lost") => Cause::Lost,
        _ => Cause::HangUp,
    }
}

/// Everything about the call's sound is over.
async fn close_room(tx: &mut Tx, work: &Work) -> Result<(), Refused> {
    let cause = cause_of(&work.row);
    for leg in legs::all_down(tx.conn(), work.row.id, work.at, cause.word()).await? {
        tx.after.push(After::FreeRelay(call_model::LegId(leg.as_u128())));
    }
    legs::close_intervals(tx.conn(), work.row.id, None, None, work.change()).await?;
    tx.after.push(After::CloseRoom(CallId(work.row.id.as_u128()), cause));
    Ok(())
}

/// Two-way sound: the recording has begun, by the queue's rule, unless it was left out. Waiting is counted by the `first`
/// answer only.
async fn answered(tx: &mut Tx, work: &Work, offer: OfferId, since: Timestamp, first: bool) -> Result<(), Refused> {
    if first {
        let began = |at: Option<At>| at.map_or(since, |at| at.0);
        tx.after.push(After::Count(Count::Answered {
            wait_s: began(work.row.connecting_at)
                .since(began(work.row.enqueued_at))
                .as_seconds(),
            setup_s: since.since(began(work.row.connecting_at)).as_seconds(),
        }));
    }
    if work.queue.recording == "off" {
        return Ok(());
    }
    // One that runs has heard an agent before.
    let before = recordings::of_call(tx.conn(), work.row.id).await?;
    if before.iter().any(|recording| recording.state == "recording") {
        return Ok(());
    }
    if recorder::leaves_out(tx, &work.row, &work.queue).await? {
        return Ok(());
    }
    let row = RecordingRow {
        id: Uuid::from_u128(offer.0),
        call_id: work.row.id,
        state: "recording".to_owned(),
        customer_left: true,
        started_at: At(since),
        reason: None,
        duration_ms: None,
        layout: None,
        coverage_customer: None,
        coverage_agent: None,
        degraded: false,
        audio_key: None,
        audio_size: None,
        audio_sha256: None,
    };
    let ordered = Ordered {
        node: &work.row.node_id,
        policy: &work.queue.recording,
        consent: work.row.consent_version.as_deref(),
    };
    recordings::insert(tx.conn(), &row, ordered).await
}
