//! A customer asks for a call: one live call per person, whatever is sent how often.

use std::sync::Arc;

use call_model::{CallId, UserId, call};
use serde_json::json;
use uuid::Uuid;
use wire::Time;
use wire::call::{CallStart, CallStarted, CallView};

use super::apply::{Act, Actor, CUSTOMER_LEASE, call_input};
use super::contact;
use super::once::{self, IdempotencyKey, Once};
use super::recorder;
use super::shield;
use super::tell;
use crate::after::After;
use crate::auth::Auth;
use crate::caller::{Caller, Created, CustomerVia};
use crate::refusal::{Code, Refused};
use crate::settings::Settings;
use crate::shared::Core;
use crate::store::calls::{self, CallRow};
use crate::store::{events, nodes, queues};
use crate::tx::Tx;
use crate::types::At;
use crate::views::{self, Reader};

/// Longest display name, characters; the column's own limit.
pub const CUSTOMER_NAME_CHARS_MAX: usize = 200;
/// Longest e-mail address, bytes (RFC 5321 §4.5.3.1: 64 + 1 + 255).
pub const CUSTOMER_EMAIL_BYTES_MAX: usize = 320;
/// Longest version of a consent text, characters; the column's own limit.
pub const CONSENT_VERSION_CHARS_MAX: usize = 64;
/// Seconds after which a full node may be asked again.
const FULL_RETRY_S: u32 = 10;
/// A loser of two simultaneous starts may not yet see the winner's row.
const TRIES: u32 = 3;

/// A checked request.
#[derive(Clone)]
struct Wanted {
    user: UserId,
    name: String,
    email: String,
    queue: Option<String>,
    consent: Option<String>,
}

/// The call as the transaction left it.
struct Made {
    created: Created,
    view: CallView,
    ws_url: Option<String>,
    now: call_model::Timestamp,
}

/// Makes a call or finds the live one; the token is a fresh ticket either way. With a key that was used before, it is
/// the call of that time, however it stands now.
pub(crate) async fn start_call(
    core: &Arc<Core>,
    auth: &Auth,
    caller: &Caller,
    body: CallStart,
    key: Option<IdempotencyKey>,
) -> Result<(Created, CallStarted), Refused> {
    let once = Once::of(key, caller, "call.start", &body);
    let wanted = check(caller, body)?;
    let mut tries = 0;
    let made = loop {
        tries += 1;
        match attempt(core, caller, wanted.clone(), once.clone()).await {
            Err(refused) if refused.code == Code::AlreadyInCall && tries < TRIES => {}
            other => break other?,
        }
    };
    let call = CallId(made.view.call_id.as_u128());
    let ticket = auth.issue_ticket(wanted.user, call, made.now);
    let started = CallStarted {
        call_id: made.view.call_id,
        status: made.view.status,
        position: made.view.position,
        estimated_wait_seconds: made.view.estimated_wait_seconds,
        token: ticket.expose(),
        signaling_url: made.ws_url.unwrap_or_else(|| core.node.ws_url.clone()),
        ice_servers: core.options.ice.common(),
        server_time: Time(made.now),
    };
    Ok((made.created, started))
}

/// Who is meant, and whether every field is sound.
fn check(caller: &Caller, body: CallStart) -> Result<Wanted, Refused> {
    let user = UserId::new(body.user_id).ok_or_else(|| Refused::field("userId", "must be 1 to 128 bytes of text"))?;
    let (name, email) = match caller {
        Caller::Customer { user_id, .. } if *user_id != user => {
            return Err(Refused::because(Code::Forbidden, "the token speaks for another user"));
        }
        // A ticket or pass speaks for the one call it was made for.
        Caller::Customer { via, .. } if *via == CustomerVia::Ticket => {
            return Err(Refused::because(Code::Forbidden, "a ticket starts no call"));
        }
        Caller::Customer { name, email, .. } => (name.clone(), email.clone()),
        Caller::Service { .. } | Caller::Demo => (None, None),
        Caller::Staff { .. } => return Err(Refused::because(Code::Forbidden, "only customers start calls")),
    };
    if body.call_type != "voice" {
        return Err(Refused::field("callType", "must be `voice`"));
    }
    let or_token = |own: String, token: Option<String>| if own.is_empty() { token.unwrap_or_default() } else { own };
    let name = or_token(body.customer_name, name);
    let email = or_token(body.customer_email, email);
    if name.chars().count() > CUSTOMER_NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Refused::field(
            "customerName",
            "must be at most 200 characters of one line",
        ));
    }
    if email.len() > CUSTOMER_EMAIL_BYTES_MAX || email.chars().any(char::is_control) {
        return Err(Refused::field("customerEmail", "must be at most 320 bytes of one line"));
    }
    let consent = body.consent_version.filter(|version| !version.is_empty());
    if consent.as_ref().is_some_and(|version| {
        version.chars().count() > CONSENT_VERSION_CHARS_MAX || version.chars().any(char::is_control)
    }) {
        return Err(Refused::field(
            "consentVersion",
            "must be at most 64 characters of one line",
        ));
    }
    Ok(Wanted {
        user,
        name,
        email,
        queue: body.queue,
        consent,
    })
}

async fn attempt(core: &Arc<Core>, caller: &Caller, wanted: Wanted, once: Option<Once>) -> Result<Made, Refused> {
    let (core_in, caller) = (Arc::clone(core), caller.clone());
    core.write("api", move |tx| {
        Box::pin(async move {
            let (created, row) = match once::begin(tx, once.as_ref()).await? {
                Some(outcome) => {
                    let earlier = earlier(tx, &outcome).await?;
                    contact::is_here(&core_in, tx, &earlier.1).await?;
                    earlier
                }
                None => {
                    let found = find_or_insert(&core_in, tx, &caller, wanted).await?;
                    let outcome = json!({ "callId": found.1.id, "created": found.0 == Created::New });
                    once::keep(
                        tx,
                        once.as_ref(),
                        if found.0 == Created::New { 201 } else { 200 },
                        &outcome,
                    )
                    .await?;
                    found
                }
            };
            // Who asks again is there: his place must not run out before his page has its connection.
            if row.ended_at.is_none() {
                let until = tx.now.plus(CUSTOMER_LEASE);
                queues::extend(tx.conn(), &row.user_id, until).await?;
            }
            Ok(Made {
                created,
                view: views::call(tx.conn(), &row, Reader::Customer).await?,
                ws_url: nodes::ws_url(tx.conn(), &row.node_id).await?,
                now: tx.now,
            })
        })
    })
    .await
}

/// The call that an earlier request with the same key has led to.
async fn earlier(tx: &mut Tx, outcome: &serde_json::Value) -> Result<(Created, CallRow), Refused> {
    let id = outcome["callId"].as_str().and_then(|id| id.parse().ok());
    let id = id.ok_or(Refused::new(Code::Internal))?;
    let created = match outcome["created"].as_bool() {
        Some(true) => Created::New,
        _ => Created::Existing,
    };
    // It may have outlived its retention.
    let row = calls::get(tx.conn(), id).await?.ok_or(Refused::new(Code::NotFound))?;
    Ok((created, row))
}

/// The customer's live call, or a new one.
async fn find_or_insert(
    core: &Core,
    tx: &mut Tx,
    caller: &Caller,
    wanted: Wanted,
) -> Result<(Created, CallRow), Refused> {
    match calls::live_of_user(tx.conn(), wanted.user.as_str()).await? {
        Some(id) => {
            let row = calls::get(tx.conn(), id).await?;
            let row = row.ok_or(Refused::new(Code::Internal))?;
            // A ticket of ours opens nothing there.
            contact::is_here(core, tx, &row).await?;
            Ok((Created::Existing, row))
        }
        None => Ok((Created::New, insert(core, tx, caller, wanted).await?)),
    }
}

/// The row, its first event, and its place in the queue.
async fn insert(core: &Core, tx: &mut Tx, caller: &Caller, wanted: Wanted) -> Result<CallRow, Refused> {
    let load = core.media.load();
    if load.draining {
        return Err(Refused::new(Code::Draining).retry_after(FULL_RETRY_S));
    }
    if load.full || load.legs >= load.capacity_legs {
        return Err(Refused::new(Code::MediaFull).retry_after(FULL_RETRY_S));
    }
    let queue = match &wanted.queue {
        Some(name) => queues::get(tx.conn(), name).await?,
        None => queues::default(tx.conn()).await?,
    };
    let queue = queue.ok_or_else(|| Refused::field("queue", "no such queue"))?;
    let now = tx.now;
    let row = CallRow {
        id: Uuid::from_u128(core.fresh_id()),
        user_id: wanted.user.as_str().to_owned(),
        customer_email: wanted.email,
        customer_name: wanted.name,
        status: call::Status::Initiated.word().to_owned(),
        end_reason: None,
        end_phase: None,
        assigned_staff_id: None,
        queue: queue.name.clone(),
        priority: 0,
        node_id: core.node.node_id.clone(),
        node_epoch: i64::try_from(core.node.epoch).unwrap_or(i64::MAX),
        media_seq: 0,
        plan_epoch: 0,
        consent_version: wanted.consent,
        created_at: At(now),
        enqueued_at: None,
        connecting_at: None,
        answered_at: None,
        ended_at: None,
    };
    calls::insert(tx.conn(), &row).await?;
    let act = Act::now(Actor::of(tx, caller).await?);
    tell::noted(tx, row.id, "call.initiated", now, &act, &json!({ "queue": queue.name })).await?;
    recorder::promised(core, tx, row.id, &queue, &act).await?;
    shield::from_the_begin(core, tx, &row).await?;
    let done = call_input(core, tx, row.id, call::Input::Enqueue, &act).await?;
    tell_absent(tx, &done.call).await?;
    Ok(done.call)
}

/// Nobody is there: the queue's people get a mail.
async fn tell_absent(tx: &mut Tx, row: &CallRow) -> Result<(), Refused> {
    let strength = queues::strength(tx.conn(), Some(&row.queue)).await?;
    if strength.idle + strength.busy > 0 || !Settings::read(tx.conn()).await?.mail_incoming_call {
        return Ok(());
    }
    let payload = json!({ "template": "incoming_call", "queue": row.queue });
    events::outbox(tx.conn(), "mail", &format!("incoming_call:{}", row.id), &payload).await?;
    tx.after.push(After::WakeOutbox);
    Ok(())
}
