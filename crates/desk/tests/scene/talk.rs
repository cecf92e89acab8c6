//! A call in talk, and what media was last told of it.

use call_model::CallId;
use desk::Caller;
use ports::Plan;

use crate::common::{Told, World, customer};

/// A call that `agent` has, with sound; both sides have a leg.
pub(crate) async fn talking(world: &mut World, user: &str, agent: &Caller) -> CallId {
    let call = world.call(user).await;
    let offer = world.ring(call, agent).await;
    world.desk.accept_offer(agent, offer).await.unwrap();
    world.desk.grant_leg(&customer(user), call, None).await.unwrap();
    world
        .run("update voice_calls set status = 'answered', answered_at = clock_timestamp() where status = 'connecting'")
        .await;
    call
}

/// The last plan that media was given.
pub(crate) fn plan(world: &World) -> Plan {
    let heard = world.media.heard();
    let mut plans = heard.into_iter().filter_map(|told| match told {
        Told::Plan(plan) => Some(plan),
        Told::Admit(..) | Told::Record(..) | Told::CloseLeg(..) | Told::CloseRoom(..) => None,
    });
    plans.next_back().expect("media was given a plan")
}
