//! A call in talk, and what media was last told of it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use call_model::CallId;
use desk::Caller;
use ports::{Plan, Stance};
use uuid::Uuid;
use wire::staff::{PresenceSet, PresenceStatus};

use crate::common::{Told, World, customer};

/// What the answer of the calls that are answered leaves of their recordings.
const RECORDINGS: &str = "insert into helpline.recordings (id, call_id, node_id, policy, started_at)
    select o.id, c.id, c.node_id, q.recording, c.answered_at from voice_calls c
    join helpline.offers o on o.call_id = c.id and o.kind = 'primary' and o.state = 'accepted'
    join helpline.queues q on q.name = c.queue and q.recording <> 'off'
    where c.status = 'answered' on conflict do nothing";

/// A call that `agent` has, with sound, recorded as its queue wants it; both sides have a leg.
pub(crate) async fn talking(world: &mut World, user: &str, agent: &Caller) -> CallId {
    let call = world.call(user).await;
    let offer = world.ring(call, agent).await;
    world.desk.accept_offer(agent, offer).await.unwrap();
    world.desk.grant_leg(&customer(user), call, None).await.unwrap();
    world
        .run("update voice_calls set status = 'answered', answered_at = clock_timestamp() where status = 'connecting'")
        .await;
    world.run(RECORDINGS).await;
    call
}

/// The last plan that media was given.
pub(crate) fn plan(world: &World) -> Plan {
    let heard = world.media.heard();
    let mut plans = heard.into_iter().filter_map(|told| match told {
        Told::Plan(plan) => Some(plan),
        Told::Admit(..) | Told::Record(..) | Told::Part(..) | Told::CloseLeg(..) | Told::CloseRoom(..) => None,
    });
    plans.next_back().expect("media was given a plan")
}

/// Lets a member of staff be asked.
pub(crate) async fn online(world: &World, staff: &Caller) {
    let wanted = PresenceSet {
        status: PresenceStatus::Online,
        reason: None,
        media_checked: true,
    };
    world.desk.set_presence(staff, wanted).await.unwrap();
}

/// How a living leg of the only call takes part, by what it is; `None` when there is none or the plan does not name it.
pub(crate) async fn stance(world: &mut World, part: &str) -> Option<Stance> {
    let sql = "select id::text from helpline.call_legs where part = $1 and state <> 'down'";
    let id: Option<String> = sqlx::query_scalar(sql)
        .bind(part)
        .fetch_optional(&mut world.eye)
        .await
        .unwrap();
    let leg = id?.parse::<Uuid>().unwrap().as_u128();
    let plan = plan(world);
    plan.stances
        .into_iter()
        .find(|(named, _)| named.0 == leg)
        .map(|(_, stance)| stance)
}

/// Kinds of the call's history from `call.answered` or, in these scenes, `call.accepted` on.
pub(crate) async fn history(world: &mut World) -> Vec<String> {
    world
        .texts(
            "select kind from helpline.call_events where kind not in
            ('call.initiated', 'call.queued', 'call.ringing', 'call.offered', 'call.accepted') order by seq",
        )
        .await
}
