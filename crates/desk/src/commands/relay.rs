//! The relay of this node, for whoever runs it: what is allocated, ending one allocation, taking no new ones, a new
//! secret. Every change leaves a row in the audit log before it is made.

use std::sync::Arc;

use call_model::Timestamp;
use ports::{AllocationView, RelayControl, TooSoon};
use uuid::Uuid;
use wire::Time;
use wire::relay::{RelayAllocation, RelayState, RelayVia};

use super::apply::{Act, Actor};
use super::contact;
use crate::caller::Caller;
use crate::facade::Desk;
use crate::permissions::{self, SETTINGS_WRITE};
use crate::refusal::{Code, Refused};
use crate::shared::Core;
use crate::store::events::{self, Audit};
use crate::store::legs::{self, LegOwner};
use crate::tx::broken;
use crate::views;

/// Allocations in one answer; who looks for one among more asks the metrics first.
pub const RELAY_ROWS_MAX: usize = 500;
/// Longest name of an allocation, characters: worker, place and generation are 16 digits and two signs.
pub const RELAY_ID_CHARS_MAX: usize = 64;

impl Desk {
    /// What is allocated at this node's relay.
    ///
    /// # Errors
    /// `forbidden`, `database`.
    pub async fn relay(&self, caller: &Caller) -> Result<RelayState, Refused> {
        self.told(state(self.core(), caller).await)
    }

    /// Ends one allocation; its client may make another.
    ///
    /// # Errors
    /// `forbidden`, `not_found`, `validation`, `database`.
    pub async fn relay_kill(&self, caller: &Caller, id: String, reason: Option<String>) -> Result<(), Refused> {
        self.told(kill(self.core(), caller, id, reason).await)
    }

    /// No new allocation from now on, or new ones again; what runs goes on. Twice is once.
    ///
    /// # Errors
    /// `forbidden`, `not_found` without a relay, `validation`, `database`.
    pub async fn relay_drain(
        &self,
        caller: &Caller,
        draining: bool,
        reason: Option<String>,
    ) -> Result<RelayState, Refused> {
        self.told(drain(self.core(), caller, draining, reason).await)
    }

    /// New credentials are made with a new secret. Those made with the one before count on until they run out.
    ///
    /// # Errors
    /// As [`Desk::relay_drain`]; `too_soon` while credentials made with the secret before the present one still count.
    pub async fn relay_rotate(&self, caller: &Caller, reason: Option<String>) -> Result<RelayState, Refused> {
        self.told(rotate(self.core(), caller, reason).await)
    }
}

async fn state(core: &Arc<Core>, caller: &Caller) -> Result<RelayState, Refused> {
    allow(caller)?;
    let mut found = match &core.options.ice.relay {
        Some(relay) => relay.list().await,
        None => Vec::new(),
    };
    let total = u32::try_from(found.len()).unwrap_or(u32::MAX);
    found.truncate(RELAY_ROWS_MAX);
    let ids: Vec<Uuid> = found.iter().map(|one| Uuid::from_u128(one.leg.0)).collect();
    let (owners, now) = core
        .write("relay", move |tx| {
            Box::pin(async move { Ok((legs::owners(tx.conn(), &ids).await?, tx.now)) })
        })
        .await?;
    Ok(RelayState {
        node_id: core.node.node_id.clone(),
        on: core.options.ice.relay.is_some(),
        draining: core.relay_marks.draining(),
        rotated_at: core.relay_marks.rotated_at().map(Time),
        allocations: found.into_iter().map(|one| shown(one, &owners)).collect(),
        total,
        server_time: Time(now),
    })
}

fn shown(one: AllocationView, owners: &[LegOwner]) -> RelayAllocation {
    let leg_id = Uuid::from_u128(one.leg.0);
    let owner = owners.iter().find(|owner| owner.id == leg_id);
    RelayAllocation {
        id: one.id,
        leg_id,
        call_id: owner.map(|owner| owner.call_id),
        part: owner.map(|owner| views::part(&owner.part)),
        name: owner.map(|owner| owner.name.clone()),
        via: match one.via {
            ports::Via::Udp => RelayVia::Udp,
            ports::Via::Tcp => RelayVia::Tcp,
            ports::Via::Tls => RelayVia::Tls,
        },
        flow: one.flow,
        age_seconds: one.age_s,
        expires_in_seconds: one.expires_in_s,
        permissions: one.permissions,
        channels: one.channels,
        packets_up: one.packets_up,
        packets_down: one.packets_down,
        bytes_up: one.bytes_up,
        bytes_down: one.bytes_down,
        dropped: one.dropped,
    }
}

async fn kill(core: &Arc<Core>, caller: &Caller, id: String, reason: Option<String>) -> Result<(), Refused> {
    let relay = relay(core, caller)?;
    if id.is_empty() || id.chars().count() > RELAY_ID_CHARS_MAX || !id.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Refused::new(Code::NotFound));
    }
    note(core, caller, "relay.kill", ("allocation", id.clone()), reason).await?;
    if relay.kill(&id).await {
        Ok(())
    } else {
        Err(Refused::new(Code::NotFound))
    }
}

async fn drain(
    core: &Arc<Core>,
    caller: &Caller,
    draining: bool,
    reason: Option<String>,
) -> Result<RelayState, Refused> {
    let relay = relay(core, caller)?;
    let action = if draining { "relay.drain" } else { "relay.serve" };
    note(core, caller, action, ("relay", core.node.node_id.clone()), reason).await?;
    relay.drain(draining);
    core.relay_marks.drain(draining);
    state(core, caller).await
}

async fn rotate(core: &Arc<Core>, caller: &Caller, reason: Option<String>) -> Result<RelayState, Refused> {
    let relay = Arc::clone(relay(core, caller)?);
    let (core_in, caller_in) = (Arc::clone(core), caller.clone());
    // A task of its own: who goes away meanwhile leaves no row about what was not done.
    let done = tokio::spawn(async move {
        // One at a time from the question to the exchange, or two would be written down and one be made.
        let _alone = core_in.relay_marks.rotating().await;
        may_rotate(relay.rotates_in_s())?;
        let subject = ("relay", core_in.node.node_id.clone());
        let at = note(&core_in, &caller_in, "relay.rotate", subject, reason).await?;
        relay.rotate_secret().or_else(|TooSoon { wait_s }| may_rotate(wait_s))?;
        core_in.relay_marks.rotated(at);
        Ok(())
    });
    done.await.unwrap_or_else(|_| Err(broken("relay")))?;
    state(core, caller).await
}

/// Two secrets count at a time: with a third one credentials that browsers were just given would count no more.
fn may_rotate(wait_s: u32) -> Result<(), Refused> {
    if wait_s == 0 {
        return Ok(());
    }
    let why = "credentials made with the secret before this one still count";
    Err(Refused::because(Code::TooSoon, why).retry_after(wait_s))
}

/// Who changes settings, and the operator's own programs.
fn allow(caller: &Caller) -> Result<(), Refused> {
    match caller {
        Caller::Service { .. } => Ok(()),
        Caller::Staff { role, .. } if permissions::may(*role, SETTINGS_WRITE) => Ok(()),
        Caller::Customer { .. } | Caller::Staff { .. } | Caller::Demo => Err(Refused::new(Code::Forbidden)),
    }
}

fn relay<'a>(core: &'a Core, caller: &Caller) -> Result<&'a Arc<dyn RelayControl>, Refused> {
    allow(caller)?;
    let relay = core.options.ice.relay.as_ref();
    relay.ok_or(Refused::because(Code::NotFound, "this node has no relay"))
}

/// Writes the row; returns when.
async fn note(
    core: &Arc<Core>,
    caller: &Caller,
    action: &'static str,
    (subject, id): (&'static str, String),
    reason: Option<String>,
) -> Result<Timestamp, Refused> {
    let reason = contact::word(reason)?;
    let caller = caller.clone();
    core.write("relay", move |tx| {
        Box::pin(async move {
            let act = Act::now(Actor::of(tx, &caller).await?);
            let now = tx.now;
            let entry = Audit {
                actor_id: &act.actor.id,
                actor_role: act.actor.role,
                action,
                subject_type: subject,
                subject_id: &id,
                reason: reason.as_deref(),
            };
            events::audit(tx.conn(), now, &entry).await?;
            Ok(now)
        })
    })
    .await
}
