//! What is to be done once a decision is committed: orders to media, and who must be woken.
//!
//! Nothing here decides, and nothing here may fail the decision: media keeps the highest plan, closing twice is one.

use call_model::{CallId, LegId};
use ports::{Author, Cause, Part, Plan, Thresholds};
use uuid::Uuid;

/// One thing to do after the commit, in the order in which they were noted.
#[derive(Clone, Debug)]
pub(crate) enum After {
    /// Put a plan in force, and who wants what is new in it.
    Plan(Plan, Author),
    /// A participant is something else to the call from now on.
    ChangePart(LegId, Part, Author),
    /// End one leg.
    CloseLeg(LegId, Cause),
    /// The leg is over elsewhere: free what it has at the relay.
    FreeRelay(LegId),
    /// End a call's room.
    CloseRoom(CallId, Cause),
    /// From where on sound counts as bad.
    Thresholds(Thresholds),
    /// Something changed in this queue: offer what waits, show who waits.
    WakeQueue(String),
    /// Something is to be told to browsers.
    WakeHub,
    /// Something lies in the outbox.
    WakeOutbox,
    /// Count what has happened.
    Count(Count),
}

/// One thing for the figures.
#[derive(Clone, Debug)]
pub(crate) enum Count {
    /// A call entered this state; also a line of the log.
    State {
        /// Which.
        call: Uuid,
        /// The state's word.
        state: &'static str,
        /// Why it ended.
        reason: Option<String>,
    },
    /// An offer ended, by this reason.
    OfferEnd(&'static str),
    /// Two-way sound: seconds waited in the queue, seconds from the agent's yes.
    Answered {
        /// Waited.
        wait_s: f64,
        /// Set up.
        setup_s: f64,
    },
}
