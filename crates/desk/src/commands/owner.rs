//! A call gets another owner while its sound goes on: a colleague who was consulted, or a supervisor.
//!
//! Invariant: in every committed state exactly one accepted offer is the one that holds the call, and its agent is the
//! call's.

use call_model::{OfferId, StaffId, call};
use ports::{Cause, Part};
use uuid::Uuid;

use super::apply::{self, Act, CONFERENCE, CONSULT, HOLD, Work};
use super::mute;
use crate::after::After;
use crate::refusal::Refused;
use crate::shared::Core;
use crate::store::legs::{self, LegRow};
use crate::tx::Tx;

/// Who gets the call, by which offer, and what becomes of the agent before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) offer: Uuid,
    pub(super) agent: Uuid,
    pub(super) leaves: call::Leaves,
    /// Why the leg of the agent before ends.
    pub(super) cause: Cause,
}

/// Ends the part of the agent before: his leg, his offer, and what he had set. The new owner's offer is accepted and his
/// leg made or promoted by the caller, afterwards.
pub(super) async fn change(core: &Core, tx: &mut Tx, work: &mut Work, owner: Owner, act: &Act) -> Result<(), Refused> {
    for leg in legs::live(tx.conn(), work.row.id).await? {
        if leg.part == "agent" {
            end_leg(tx, work, &leg, owner.cause).await?;
        }
    }
    // Who begins, begins in talk, as far as whoever gives or takes the call may decide that.
    for kind in [HOLD, CONSULT, CONFERENCE] {
        legs::close_intervals(tx.conn(), work.row.id, Some(kind), None, work.change()).await?;
    }
    mute::lift(tx, work, act).await?;
    let input = call::Input::HandOver {
        offer: OfferId(owner.offer.as_u128()),
        agent: StaffId(owner.agent.as_u128()),
        leaves: owner.leaves,
    };
    apply::call_step(core, tx, work, input, act).await?;
    Ok(())
}

/// A leg is over, with everything that was open about it.
pub(super) async fn end_leg(tx: &mut Tx, work: &Work, leg: &LegRow, cause: Cause) -> Result<(), Refused> {
    legs::close_intervals(tx.conn(), work.row.id, None, Some(leg.id), work.change()).await?;
    legs::down(tx.conn(), leg.id, work.at, cause.word()).await?;
    tx.after
        .push(After::CloseLeg(call_model::LegId(leg.id.as_u128()), cause));
    Ok(())
}

/// The colleague's leg is the agent's from now on.
pub(super) async fn promote_leg(tx: &mut Tx, work: &Work, leg: &LegRow) -> Result<(), Refused> {
    legs::change_part(tx.conn(), leg.id, "agent").await?;
    tx.after.push(After::ChangePart(
        call_model::LegId(leg.id.as_u128()),
        Part::Agent,
        work.author(),
    ));
    Ok(())
}
