//! Sixteen clients do everything at once, and afterwards nothing is wrong: no call with two agents, no agent above his
//! slots, no deadlock, no row that contradicts another.
//!
//! `HELPLINE_RACE_SECONDS` sets how long (10 without it).

#![cfg(test)]

mod scene;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use call_model::{CallId, OfferId};
use desk::{Caller, Code, Desk, Refused};
use ports::{Cause, Part};
use scene::{Dice, Eye, Node, ScriptedMedia, customer, database, start};
use tokio::time::{Instant, sleep};
use wire::staff::{PresenceSet, PresenceStatus};

/// Clients; half of them customers, half agents.
const CLIENTS: u64 = 16;
/// Customers; each client plays all of them, so starts of one person collide.
const USERS: u64 = 24;
/// Agents; each is played by all agents' clients, so two windows of one agent collide.
const AGENTS: u64 = 8;
/// How often the pauses between offers are forgotten.
const NO_REST: Duration = Duration::from_millis(200);
/// Without the variable.
const SECONDS: u64 = 10;

/// What must be zero afterwards, and what it means.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "an offer that goes back in time",
        "select count(*) from offers where accepted_at < created_at or wrapping_at < accepted_at
            or ended_at < greatest(created_at, accepted_at, wrapping_at)",
    ),
    (
        "a call that goes back in time",
        "select count(*) from voice_calls where enqueued_at < created_at or connecting_at < enqueued_at
            or answered_at < enqueued_at or ended_at < greatest(created_at, connecting_at, answered_at)",
    ),
    (
        "two agents had one call at the same time",
        "select count(*) from offers a join offers b on a.call_id = b.call_id and a.id < b.id
            where a.accepted_at is not null and b.accepted_at is not null
            and tstzrange(a.accepted_at, coalesce(a.wrapping_at, a.ended_at, 'infinity'))
                && tstzrange(b.accepted_at, coalesce(b.wrapping_at, b.ended_at, 'infinity'))",
    ),
    (
        "a slot held two contacts at the same time",
        "select count(*) from offers a join offers b on a.staff_id = b.staff_id and a.slot = b.slot and a.id < b.id
            where tstzrange(a.created_at, coalesce(a.ended_at, 'infinity'))
                && tstzrange(b.created_at, coalesce(b.ended_at, 'infinity'))",
    ),
    (
        "an agent had a slot that he does not have",
        "select count(*) from offers o join staff s on s.id = o.staff_id where o.slot > s.max_concurrent_calls",
    ),
    (
        "a connected call without its one accepted offer",
        "select count(*) from voice_calls c where c.status in ('connecting', 'answered') and 1 <> (select count(*)
            from offers o where o.call_id = c.id and o.state = 'accepted' and o.staff_id = c.assigned_staff_id)",
    ),
    (
        "an accepted offer without its connected call",
        "select count(*) from offers o join voice_calls c on c.id = o.call_id where o.state = 'accepted'
            and (c.status not in ('connecting', 'answered') or c.assigned_staff_id <> o.staff_id)",
    ),
    (
        "a ringing call that rings nowhere",
        "select count(*) from voice_calls c where c.status = 'ringing'
            and not exists (select from offers o where o.call_id = c.id and o.state = 'pending')",
    ),
    (
        "an offer that rings for a call that does not",
        "select count(*) from offers o join voice_calls c on c.id = o.call_id
            where o.state = 'pending' and c.status <> 'ringing'",
    ),
    (
        "a waiting call without its one place",
        "select count(*) from voice_calls c where c.status in ('queued', 'ringing')
            and 1 <> (select count(*) from call_queue q where q.call_id = c.id and q.left_at is null)",
    ),
    (
        "a place of a call that does not wait",
        "select count(*) from call_queue q join voice_calls c on c.id = q.call_id
            where q.left_at is null and c.status not in ('queued', 'ringing')",
    ),
    (
        "a living leg of an ended call",
        "select count(*) from call_legs l join voice_calls c on c.id = l.call_id
            where l.state <> 'down' and c.ended_at is not null",
    ),
    (
        "a gap in a call's history",
        "select count(*) from (select call_id from call_events group by call_id having max(seq) <> count(*)) gaps",
    ),
    (
        "a call whose history ends otherwise than the call",
        "select count(*) from voice_calls c where c.ended_at is not null and 1 <> (select count(*) from call_events e
            where e.call_id = c.id and e.kind = 'call.' || c.status)",
    ),
    (
        "a call that was accepted more often than its offers say",
        "select count(*) from voice_calls c where
            (select count(*) from call_events e where e.call_id = c.id and e.kind = 'call.accepted')
            <> (select count(*) from offers o where o.call_id = c.id and o.accepted_at is not null)",
    ),
    (
        "an event for browsers that was told for no entry of the history",
        "select abs((select count(*) from call_events where kind = 'call.offered')
            - (select count(*) from hub_events where kind = 'call.offered'))",
    ),
];

/// What the clients did and were told.
#[derive(Default)]
struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    fn add(&self, what: &str, result: Result<(), Refused>) {
        let word = match &result {
            Ok(()) => "ok".to_owned(),
            Err(refused) => refused.code.word().to_owned(),
        };
        *self.0.lock().unwrap().entry(format!("{what} {word}")).or_default() += 1;
        if let Err(refused) = result {
            let expected = matches!(
                refused.code,
                Code::NotFound
                    | Code::OfferLost
                    | Code::OfferExpired
                    | Code::IllegalTransition
                    | Code::Forbidden
                    | Code::AlreadyInCall
                    // Whoever asks does so at any of the nodes.
                    | Code::OtherNode
            );
            assert!(expected, "{what}: {refused:?}");
        }
    }

    fn ok(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(&format!("{what} ok")).copied().unwrap_or(0)
    }
}

/// What every client needs.
struct Field {
    desks: Vec<Desk>,
    media: Vec<Arc<ScriptedMedia>>,
    agents: Vec<Caller>,
    calls: Mutex<Vec<(u64, CallId)>>,
    /// Calls with the agent who took them.
    taken: Mutex<Vec<(usize, CallId)>>,
    dice: Dice,
    tally: Tally,
}

impl Field {
    fn desk(&self) -> &Desk {
        &self.desks[usize::try_from(self.dice.below(self.desks.len() as u64)).unwrap()]
    }

    /// The desk of the node that carries this customer's calls; legs are only given there.
    fn desk_of(&self, user: u64) -> &Desk {
        &self.desks[usize::try_from(user).unwrap() % self.desks.len()]
    }

    /// A call that somebody has started lately.
    fn some_call(&self) -> Option<(u64, CallId)> {
        let calls = self.calls.lock().unwrap();
        let recent = &calls[calls.len().saturating_sub(32)..];
        if recent.is_empty() {
            return None;
        }
        Some(recent[usize::try_from(self.dice.below(recent.len() as u64)).unwrap()])
    }
}

/// One thing that a customer does.
async fn customer_acts(field: &Field) {
    let n = field.dice.below(USERS);
    let user = format!("u{n}");
    match field.dice.below(40) {
        0..14 => {
            let result = field.desk_of(n).start_call(&customer(&user), start(&user)).await;
            if let Ok((_, started)) = &result {
                let call = CallId(started.call_id.as_u128());
                field.calls.lock().unwrap().push((n, call));
            }
            field.tally.add("start", result.map(|_| ()));
        }
        14..16 => {
            if let Some((n, call)) = field.some_call() {
                let who = customer(&format!("u{n}"));
                let result = field.desk().hang_up(&who, call, None).await;
                field.tally.add("customer hang-up", result.map(|_| ()));
            }
        }
        16..39 => {
            if let Some((n, call)) = field.some_call() {
                let who = customer(&format!("u{n}"));
                let result = field.desk_of(n).grant_leg(&who, call, None).await;
                field.tally.add("customer leg", result.map(|_| ()));
                for media in &field.media {
                    media.connect(call);
                }
            }
        }
        _ => {
            if let Some((_, call)) = field.some_call() {
                lose(field, call, Part::Customer, "customer lost");
            }
        }
    }
}

/// A leg of the call is lost, wherever it lives.
fn lose(field: &Field, call: CallId, part: Part, what: &str) {
    for media in &field.media {
        if let Some(leg) = media.leg(call, part) {
            media.lose(call, leg, Cause::Lost);
            field.tally.add(what, Ok(()));
        }
    }
}

/// One thing that an agent does.
async fn agent_acts(field: &Field) {
    let n = usize::try_from(field.dice.below(AGENTS)).unwrap();
    let agent = &field.agents[n];
    let desk = field.desk();
    match field.dice.below(40) {
        0..30 => {
            let Ok(offers) = desk.offers(agent).await else { return };
            let Some(offer) = offers.first() else { return };
            let (id, call) = (OfferId(offer.offer_id.as_u128()), CallId(offer.call_id.as_u128()));
            if field.dice.below(4) == 0 {
                field.tally.add("reject", desk.reject_offer(agent, id, None).await);
                return;
            }
            let user = offer
                .customer_name
                .rsplit('u')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap();
            let result = field.desk_of(user).accept_offer(agent, id).await;
            let taken = result.is_ok();
            field.tally.add("accept", result.map(|_| ()));
            if taken {
                field.taken.lock().unwrap().push((n, call));
                // Most customers' pages are quick; the others come later or never.
                if field.dice.below(4) > 0 {
                    let who = customer(&format!("u{user}"));
                    let result = field.desk_of(user).grant_leg(&who, call, None).await;
                    field.tally.add("customer leg", result.map(|_| ()));
                }
                for media in &field.media {
                    media.connect(call);
                }
            }
        }
        30..32 => {
            let own = field.taken.lock().unwrap().pop();
            if let Some((owner, call)) = own {
                let result = desk.hang_up(&field.agents[owner], call, None).await;
                field.tally.add("agent hang-up", result.map(|_| ()));
                field
                    .tally
                    .add("end wrap-up", desk.end_wrap_up(&field.agents[owner], call).await);
            }
            if let Some((_, call)) = field.some_call() {
                let result = desk.hang_up(agent, call, None).await;
                field.tally.add("somebody's hang-up", result.map(|_| ()));
            }
        }
        32..36 => {
            if let Some((_, call)) = field.some_call() {
                field.tally.add("end wrap-up", desk.end_wrap_up(agent, call).await);
            }
        }
        36 => {
            if let Some((_, call)) = field.some_call() {
                lose(field, call, Part::Agent, "agent lost");
            }
        }
        _ => {
            let wanted = PresenceSet {
                status: if field.dice.below(4) == 0 {
                    PresenceStatus::Away
                } else {
                    PresenceStatus::Online
                },
                reason: None,
                media_checked: true,
            };
            let result = desk.set_presence(agent, wanted).await;
            field.tally.add("presence", result.map(|_| ()));
        }
    }
}

fn seconds() -> u64 {
    std::env::var("HELPLINE_RACE_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(SECONDS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_clients_leave_nothing_wrong() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    // Short wrap-ups and rings, so that the reaper takes part.
    eye.run("update queues set wrap_up_seconds = 1, ring_seconds = 5").await;
    let mut nodes = [
        Node::start(&db.app_url, "one").await,
        Node::start(&db.app_url, "two").await,
    ];
    let mut agents = Vec::new();
    for n in 0..AGENTS {
        let agent = nodes[0]
            .agent(&format!("agent{n}"), 1 + u32::try_from(n % 2).unwrap())
            .await;
        nodes[0].online(&agent).await;
        agents.push(agent);
    }
    for node in &mut nodes {
        node.run();
    }
    let field = Arc::new(Field {
        desks: nodes.iter().map(|node| node.desk.clone()).collect(),
        media: nodes.iter().map(|node| Arc::clone(&node.media)).collect(),
        agents,
        calls: Mutex::default(),
        taken: Mutex::default(),
        dice: Dice::new(7),
        tally: Tally::default(),
    });
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let field = Arc::clone(&field);
        clients.spawn(async move {
            while Instant::now() < end {
                if n % 2 == 0 {
                    customer_acts(&field).await;
                } else {
                    agent_acts(&field).await;
                }
            }
        });
    }
    // Whoever has just failed would rest for a quarter of a minute; here he must not.
    while Instant::now() < end {
        eye.run("delete from cooldowns; update staff_presence set strikes = 0")
            .await;
        sleep(NO_REST).await;
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    for node in &mut nodes {
        node.until_applied().await;
        node.stop().await;
        assert_eq!(node.store.leaked_connections(), 0);
        node.store.close().await;
    }
    judge(&field, &mut eye).await;
}

/// Prints what happened and looks for what must not have.
async fn judge(field: &Field, eye: &mut Eye) {
    for (what, n) in field.tally.0.lock().unwrap().iter() {
        println!("{n:>8}  {what}");
    }
    for (name, sql) in [
        ("calls", "select count(*) from voice_calls"),
        (
            "answered",
            "select count(*) from voice_calls where answered_at is not null",
        ),
        ("offers", "select count(*) from offers"),
        (
            "reports applied",
            "select coalesce(sum(media_seq), 0)::bigint from voice_calls",
        ),
        ("events", "select count(*) from call_events"),
        (
            "transactions",
            "select xact_commit from pg_stat_database where datname = current_database()",
        ),
    ] {
        println!("{:>8}  {name} in the database", eye.count(sql).await);
    }
    let deadlocks = eye
        .count("select deadlocks from pg_stat_database where datname = current_database()")
        .await;
    println!("{deadlocks:>8}  deadlocks");
    let mut violations = Vec::new();
    for (meaning, sql) in INVARIANTS {
        let n = eye.count(sql).await;
        if n != 0 {
            // At once: when time is wrong, later ones cannot even be computed.
            println!("{n:>8}  {meaning}");
            violations.push(*meaning);
        }
    }
    println!("{:>8}  invariants hold", INVARIANTS.len() - violations.len());
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(deadlocks, 0);
    // A race in which nothing happened proves nothing.
    for what in ["start", "accept", "reject", "customer hang-up", "agent hang-up"] {
        assert!(field.tally.ok(what) > 10, "too few of: {what}");
    }
}
