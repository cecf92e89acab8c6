//! Mute at the server: one party is heard by nobody and is not recorded, whatever his own page does.
//!
//! No state of the call: open intervals of the party's leg say that it is so, one because he wants it himself and one
//! because somebody else does. Muted and on hold at once he is on hold first, and still muted when he is taken back.
//!
//! Invariant: nobody takes back what somebody with more right has set, and nobody opens the microphone of another one who
//! has closed it.

use std::sync::Arc;

use call_model::{CallId, call};
use serde_json::json;
use uuid::Uuid;
use wire::call::CallView;
use wire::leg::Part;
use wire::staff::StaffRole;

use super::apply::{self, Act, Actor, MUTE, SELF_MUTE, Work};
use super::contact::{find_here, reader, word};
use super::{again, rows, tell};
use crate::caller::Caller;
use crate::permissions;
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::legs::{self, OpenInterval};
use crate::store::offers;
use crate::tx::Tx;
use crate::views;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mute {
    /// Nobody hears him.
    On,
    /// He is heard again.
    Off,
}

/// How often one leg's participant may mute himself: once a minute for the longest call. Each is an entry of the history
/// that a customer's page can cause; from then on his page keeps his microphone closed and the server is not told. Counted
/// for each leg, so that nobody uses up what the other one has.
pub(crate) const SELF_MUTES_MAX: i64 = 240;

/// Whose wish a mute is, from less to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    /// The customer, about himself.
    Customer,
    /// The agent, and the colleague whom he asked.
    Party,
    /// Who may join calls of others, and other systems of the house.
    Supervisor,
}

impl Right {
    fn of_role(role: StaffRole) -> Right {
        if permissions::may(role, permissions::CALL_BARGE) {
            Right::Supervisor
        } else {
            Right::Party
        }
    }

    /// Of whoever acts. A part of the server, which finds that an agent is lost, decides no more than he could.
    fn of(actor: &Actor) -> Right {
        match actor.role {
            "customer" => Right::Customer,
            "service" => Right::Supervisor,
            "system" => Right::Party,
            role => Right::of_role(views::staff_role(role)),
        }
    }

    /// Whoever has opened the interval; what no member of staff has, another system has.
    fn behind(open: &OpenInterval) -> Right {
        let role = open.staff_role.as_deref().map(views::staff_role);
        role.map_or(Right::Supervisor, Right::of_role)
    }
}

/// The database's word of a party.
fn party(part: Part) -> Result<&'static str, Refused> {
    match part {
        Part::Customer => Ok("customer"),
        Part::Agent => Ok("agent"),
        Part::Partner => Ok("partner"),
        Part::Supervisor | Part::Preflight => Err(Refused::field("part", "must be `customer`, `agent` or `partner`")),
    }
}

/// Mutes a party or lets him be heard again; twice is once.
pub(crate) async fn set(
    core: &Arc<Core>,
    caller: &Caller,
    call: CallId,
    part: Part,
    wanted: Mute,
    reason: Option<String>,
) -> Result<CallView, Refused> {
    let (word, part) = (word(reason)?, party(part)?);
    let (core_in, caller_in) = (Arc::clone(core), caller.clone());
    core.run(caller.ctx(), move |tx| {
        Box::pin(async move {
            let row = find_here(&core_in, tx, call).await?;
            let act = Act {
                actor: Actor::of(tx, &caller_in).await?,
                at: None,
                word,
            };
            let mut work = apply::load(tx, row.id, &act).await?;
            change(tx, &mut work, part, wanted, &caller_in, &act).await?;
            views::call(tx.conn(), &work.row, reader(&caller_in)).await
        })
    })
    .await
}

/// Whether the party is the caller himself. The agent of the call mutes everybody in it, a colleague and the customer
/// themselves; everybody else needs the permission to join.
async fn is_own(tx: &mut Tx, work: &Work, caller: &Caller, part: &str) -> Result<bool, Refused> {
    let forbidden = Refused::new(Code::Forbidden);
    let (staff, role) = match caller {
        Caller::Customer { .. } if part == "customer" => return Ok(true),
        Caller::Customer { .. } => return Err(forbidden),
        Caller::Service { .. } | Caller::Demo => return Ok(false),
        Caller::Staff { staff, role, .. } => (Uuid::from_u128(staff.0), *role),
    };
    if work.row.assigned_staff_id == Some(staff) {
        return Ok(part == "agent");
    }
    let helps = offers::helps(tx.conn(), work.row.id, staff).await?;
    let own = part == "partner" && helps;
    if own || permissions::may(role, permissions::CALL_BARGE) {
        return Ok(own);
    }
    Err(forbidden)
}

/// What a wish comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is so already.
    Nothing,
    Open,
    /// By somebody with more right than whoever set it.
    Raise,
    Close,
}

/// What is to be done about the party's own mute (`own`) or the one by others, with those that are `open` now.
fn decide(wanted: Mute, own: bool, right: Right, open: &[OpenInterval]) -> Result<(&'static str, Step), Refused> {
    let of = |kind: &str| open.iter().find(|open| open.kind == kind);
    let by_others = of(MUTE).map(Right::behind);
    let may_close = by_others.is_some_and(|behind| right >= behind);
    match (wanted, own) {
        (Mute::On, true) if of(SELF_MUTE).is_some() => Ok((SELF_MUTE, Step::Nothing)),
        (Mute::On, true) => Ok((SELF_MUTE, Step::Open)),
        (Mute::On, false) => Ok((
            MUTE,
            match by_others {
                None => Step::Open,
                Some(behind) if behind < right => Step::Raise,
                Some(_) => Step::Nothing,
            },
        )),
        (Mute::Off, true) if of(SELF_MUTE).is_some() => Ok((SELF_MUTE, Step::Close)),
        (Mute::Off, _) if may_close => Ok((MUTE, Step::Close)),
        (Mute::Off, _) if by_others.is_some() => Err(Refused::because(
            Code::Forbidden,
            "somebody with more right than you has muted this party",
        )),
        (Mute::Off, false) if of(SELF_MUTE).is_some() => {
            Err(Refused::because(Code::Forbidden, "this party has muted himself"))
        }
        (Mute::Off, _) => Ok((MUTE, Step::Nothing)),
    }
}

async fn change(
    tx: &mut Tx,
    work: &mut Work,
    part: &str,
    wanted: Mute,
    caller: &Caller,
    act: &Act,
) -> Result<(), Refused> {
    let own = is_own(tx, work, caller, part).await?;
    rows::call_of(&work.row, &work.offers, None)?.sound_may_change(call::Who::Staff)?;
    let live = legs::live(tx.conn(), work.row.id).await?;
    let leg = live.iter().find(|leg| leg.part == part).map(|leg| leg.id);
    let leg = leg.ok_or_else(|| Refused::because(Code::IllegalTransition, format!("the call has no {part} now")))?;
    let mut open = legs::open_intervals(tx.conn(), work.row.id).await?;
    open.retain(|open| open.leg_id == Some(leg));
    let (kind, step) = decide(wanted, own, Right::of(&act.actor), &open)?;
    if step == Step::Nothing {
        return again::plan(tx, work).await;
    }
    if matches!(step, Step::Close | Step::Raise) {
        legs::close_intervals(tx.conn(), work.row.id, Some(kind), Some(leg), work.change()).await?;
    }
    if matches!(step, Step::Open | Step::Raise) {
        if kind == SELF_MUTE && legs::count_intervals(tx.conn(), work.row.id, leg, kind).await? >= SELF_MUTES_MAX {
            return Err(Refused::because(Code::RateLimited, "muted too often in one call"));
        }
        let staff = caller.staff().ok().map(|(staff, _)| Uuid::from_u128(staff.0));
        legs::open_interval(tx.conn(), work.row.id, kind, Some(leg), staff, work.change()).await?;
    }
    tell_of(tx, work, part, kind == SELF_MUTE, wanted, act).await
}

/// The call goes on without the agent that it had: ends the mutes by others that he has set, and those that whoever does
/// it may take back, each with its entry in the history. What somebody with more right has set stays.
///
/// The plan is the caller's, who changes more than this.
pub(super) async fn lift(tx: &mut Tx, work: &Work, act: &Act) -> Result<(), Refused> {
    let right = Right::of(&act.actor);
    let his = |open: &OpenInterval| open.staff_id.is_some() && open.staff_id == work.agent_before;
    for open in legs::open_intervals(tx.conn(), work.row.id).await? {
        let ends = open.kind == MUTE && (his(&open) || Right::behind(&open) <= right);
        let (true, Some(leg)) = (ends, open.leg_id) else {
            continue;
        };
        legs::close_intervals(tx.conn(), work.row.id, Some(MUTE), Some(leg), work.change()).await?;
        let data = json!({ "part": open.part, "status": work.row.status });
        tell::noted(tx, work.row.id, "call.unmuted", work.at, act, &data).await?;
    }
    Ok(())
}

async fn tell_of(tx: &mut Tx, work: &mut Work, part: &str, own: bool, wanted: Mute, act: &Act) -> Result<(), Refused> {
    apply::replan(tx, work).await?;
    let mut data = json!({ "part": part });
    if own {
        data["own"] = json!(true);
    }
    if let Some(reason) = &act.word {
        data["reason"] = json!(reason);
    }
    let whom = if part == "customer" {
        tell::Whom::All
    } else {
        tell::Whom::Staff
    };
    let kind = match wanted {
        Mute::On => "call.muted",
        Mute::Off => "call.unmuted",
    };
    tell::changed(tx, work, kind, kind, whom, act, data).await
}

#[cfg(test)]
mod tests {
    use call_model::Timestamp;

    use super::*;
    use crate::types::At;

    fn open(kind: &str, role: Option<&str>) -> OpenInterval {
        OpenInterval {
            kind: kind.to_owned(),
            leg_id: None,
            part: None,
            staff_id: None,
            staff_name: None,
            staff_role: role.map(str::to_owned),
            started_at: At(Timestamp(0)),
            mode: None,
        }
    }

    #[test]
    fn each_takes_back_his_own_and_what_somebody_with_no_more_right_has_set() {
        use Right::{Customer, Party, Supervisor};
        let by = |role| vec![open(MUTE, Some(role))];
        let (nobody, himself) = (Vec::new(), vec![open(SELF_MUTE, None)]);
        let system = vec![open(MUTE, None)];
        let both = vec![open(SELF_MUTE, None), open(MUTE, Some("supervisor"))];
        let no = Err(Code::Forbidden);
        for (wanted, own, right, open, expected) in [
            (Mute::On, true, Customer, &nobody, Ok((SELF_MUTE, Step::Open))),
            (Mute::On, true, Customer, &himself, Ok((SELF_MUTE, Step::Nothing))),
            (Mute::On, true, Party, &by("supervisor"), Ok((SELF_MUTE, Step::Open))),
            (Mute::On, false, Party, &nobody, Ok((MUTE, Step::Open))),
            (Mute::On, false, Party, &himself, Ok((MUTE, Step::Open))),
            (Mute::On, false, Party, &by("agent"), Ok((MUTE, Step::Nothing))),
            (Mute::On, false, Supervisor, &by("agent"), Ok((MUTE, Step::Raise))),
            (Mute::On, false, Supervisor, &by("admin"), Ok((MUTE, Step::Nothing))),
            (Mute::Off, true, Customer, &nobody, Ok((MUTE, Step::Nothing))),
            (Mute::Off, true, Customer, &himself, Ok((SELF_MUTE, Step::Close))),
            (Mute::Off, true, Party, &both, Ok((SELF_MUTE, Step::Close))),
            (Mute::Off, true, Customer, &by("agent"), no),
            (Mute::Off, true, Party, &by("agent"), Ok((MUTE, Step::Close))),
            (Mute::Off, true, Party, &by("supervisor"), no),
            (Mute::Off, true, Party, &system, no),
            (Mute::Off, true, Supervisor, &by("supervisor"), Ok((MUTE, Step::Close))),
            (Mute::Off, false, Party, &by("team_lead"), Ok((MUTE, Step::Close))),
            (Mute::Off, false, Party, &by("supervisor"), no),
            (
                Mute::Off,
                false,
                Supervisor,
                &by("super_admin"),
                Ok((MUTE, Step::Close)),
            ),
            (Mute::Off, false, Supervisor, &himself, no),
            (Mute::Off, false, Supervisor, &both, Ok((MUTE, Step::Close))),
            (Mute::Off, false, Party, &nobody, Ok((MUTE, Step::Nothing))),
        ] {
            let came = decide(wanted, own, right, open).map_err(|refused| refused.code);
            assert_eq!(came, expected, "{wanted:?} own {own} {right:?} {open:?}");
        }
    }
}
