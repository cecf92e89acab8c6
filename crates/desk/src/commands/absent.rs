//! Who was let into a conversation beside its agent and never came: a supervisor, a consulted colleague.
//!
//! Media drops a leg whose first offer never comes without a report, because nothing has happened there. Here a row, an
//! open interval and an entry of the history say that somebody takes part; this takes them back, and says why.

use call_model::Span;
use call_model::consult::Why;
use uuid::Uuid;

use super::apply::{self, Act, Actor};
use super::rows::FIRST_OFFER_S;
use super::{consult, supervise};
use crate::refusal::Refused;
use crate::store::{due, legs};
use crate::tx::Tx;

/// How long it may take since he was let in last: as long as media waits for the first offer, for the first connectivity
/// check, and for the keys. Higher: the customer of a colleague who never comes stays on music, and the agent is told of
/// somebody who does not listen. Lower: he would be sent away while he connects, as media lets him.
pub(crate) const ATTACH_LIMIT: Span =
    Span::seconds(FIRST_OFFER_S as i64 + ports::ICE_LIMIT_S as i64 + ports::DTLS_LIMIT_S as i64);

/// The word for it in the history, beside an interval and in the audit log.
pub(super) const NEVER_CAME: &str = Why::NeverCame.word();

/// The leg's time is over; looked at again under the lock of its call.
pub(crate) async fn never_came(tx: &mut Tx, call: Uuid, leg: Uuid) -> Result<(), Refused> {
    let mut act = Act::now(Actor::system("reaper"));
    let mut work = apply::load(tx, call, &act).await?;
    if !due::is_unattached(tx.conn(), leg, ATTACH_LIMIT.as_seconds()).await? {
        return Ok(());
    }
    let Some(leg) = legs::get(tx.conn(), leg, call).await? else {
        return Ok(());
    };
    if leg.part == "partner" {
        return consult::end(tx, &mut work, Why::NeverCame, &act).await;
    }
    let why = Some(NEVER_CAME.to_owned());
    (act.word, work.word) = (why.clone(), why);
    supervise::never_came(tx, &mut work, &leg, &act).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_offers_and_connects_at_the_last_moment_is_still_in_time() {
        assert_eq!(ATTACH_LIMIT, Span::seconds(45));
    }
}
