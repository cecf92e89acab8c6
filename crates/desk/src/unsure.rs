//! Decisions of which nobody knows whether they were taken: the database went away between a commit and its answer.
//!
//! What was to be done after such a commit is not done, for it may not be so; nor may it be forgotten, or a page would show
//! a hold that media does not know of. The calls and legs that it was about are kept, and once the database is back each is
//! told to media as the rows have it: what they say is the truth, whatever became of the commit. Media takes everything
//! twice.
//!
//! Holds no order, only names: an order of that time could be older than what was decided since.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::after::After;
use crate::commands::again;
use crate::refusal::note;
use crate::shared::Core;

/// How often it is looked whether the database is back.
const LOOK: Duration = Duration::from_secs(1);

/// What an unanswered commit was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Touched {
    /// Who hears whom in a call, or its end.
    Call(Uuid),
    /// What a leg is to its call.
    Part(Uuid),
    /// The end of a leg.
    Leg(Uuid),
}

/// See the top of this file. As many as commits can be under way when the database goes, with their calls and legs.
#[derive(Debug, Default)]
pub(crate) struct Unsure(Mutex<HashSet<Touched>>);

impl Unsure {
    /// This was to be done after a commit without an answer.
    pub(crate) fn add(&self, after: &[After]) {
        self.put(after.iter().filter_map(touched));
    }

    fn put(&self, touched: impl IntoIterator<Item = Touched>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(touched);
    }

    /// Parts before calls: a plan names a leg as what it is.
    fn take(&self) -> Vec<Touched> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<_> = taken.into_iter().collect();
        taken.sort_by_key(|touched| match touched {
            Touched::Part(_) => 0,
            Touched::Call(_) => 1,
            Touched::Leg(_) => 2,
        });
        taken
    }
}

/// What media must be told about; queues, pages and the outbox are looked at every second anyhow.
fn touched(after: &After) -> Option<Touched> {
    match after {
        After::Plan(plan, _) => Some(Touched::Call(Uuid::from_u128(plan.room.0))),
        After::CloseRoom(call, _) => Some(Touched::Call(Uuid::from_u128(call.0))),
        After::ChangePart(leg, _, _) => Some(Touched::Part(Uuid::from_u128(leg.0))),
        After::CloseLeg(leg, _) | After::FreeRelay(leg) => Some(Touched::Leg(Uuid::from_u128(leg.0))),
        After::Thresholds(_) | After::WakeQueue(_) | After::WakeHub | After::WakeOutbox | After::Count(_) => None,
    }
}

/// Tells media once the database is back, until `stop`.
pub(crate) async fn run(core: Arc<Core>, stop: CancellationToken) {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        if core.store.unbroken_for().is_zero() {
            continue;
        }
        let mut taken = core.store.unsure().take().into_iter();
        while let Some(touched) = taken.next() {
            if let Err(refused) = again::tell(&core, touched).await {
                note("unsure", &refused);
                core.store.unsure().put(std::iter::once(touched).chain(taken));
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use call_model::{CallId, LegId};
    use ports::{Author, Cause, Part};

    use super::*;

    #[test]
    fn each_call_and_leg_is_kept_once_and_told_in_an_order_that_media_understands() {
        let unsure = Unsure::default();
        let author = Author {
            role: "system",
            reason: None,
        };
        let close = || After::CloseRoom(CallId(1), Cause::HangUp);
        unsure.add(&[close(), After::WakeHub, After::CloseLeg(LegId(2), Cause::HangUp)]);
        unsure.add(&[close(), After::ChangePart(LegId(3), Part::Agent, author)]);
        let id = Uuid::from_u128;
        assert_eq!(
            unsure.take(),
            [Touched::Part(id(3)), Touched::Call(id(1)), Touched::Leg(id(2))]
        );
        assert_eq!(unsure.take(), []);
    }
}
