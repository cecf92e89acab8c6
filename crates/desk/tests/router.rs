//! Routing on PostgreSQL: the order of a queue, freed slots, cool-downs, and two processes that decide at once.

#![cfg(test)]

mod scene;

use call_model::OfferId;
use desk::Code;
use scene::{Eye, Node, customer, database, staff_id};
use uuid::Uuid;

/// Calls of the fairness test.
const WAITING: usize = 120;

/// Pairs of which the one that came later was offered first.
const INVERSIONS: &str = "with first as (
        select w.rank_at, w.id, o.created_at, o.id as offer from call_queue w
        join lateral (select id, created_at from offers where call_id = w.call_id order by created_at limit 1) o on true)
    select count(*) from first a join first b on (a.rank_at, a.id) < (b.rank_at, b.id) and a.created_at > b.created_at";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_offer_a_queue_in_its_order_without_one_inversion() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let (mut one, mut two) = (
        Node::start(&db.app_url, "one").await,
        Node::start(&db.app_url, "two").await,
    );
    for n in 0..WAITING {
        let node = if n % 2 == 0 { &one } else { &two };
        node.call(&format!("u{n}")).await;
    }
    // A third of them by priority, which moves them before calls that came earlier.
    eye.run(
        "update call_queue set priority = 1, rank_at = enqueued_at - interval '60 seconds'
        where get_byte(uuid_send(id), 0) % 3 = 0",
    )
    .await;
    let mut agents = Vec::new();
    for n in 0..12 {
        agents.push(one.agent(&format!("agent{n}"), 10).await);
    }
    one.run();
    two.run();
    for (n, agent) in agents.iter().enumerate() {
        if n % 2 == 0 { &one } else { &two }.online(agent).await;
    }
    eye.until("select count(*) from offers where state = 'pending'", WAITING as i64)
        .await;
    assert_eq!(eye.count(INVERSIONS).await, 0);
    let took = eye
        .count("select (extract(epoch from max(created_at) - min(created_at)) * 1000)::bigint from offers")
        .await;
    println!("{WAITING} calls offered in {took} ms");
    assert_eq!(
        eye.count("select count(distinct call_id) from offers").await,
        WAITING as i64
    );
    let over = "select count(*) from (select staff_id from offers group by staff_id having count(*) > 10) too_many";
    assert_eq!(eye.count(over).await, 0);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freed_agent_gets_the_next_call_at_once() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    eye.run("update queues set wrap_up_seconds = 0").await;
    let mut node = Node::start(&db.app_url, "n").await;
    let agent = node.agent("amina", 1).await;
    node.run();
    node.online(&agent).await;
    let (first, second) = (node.call("u1").await, node.call("u2").await);
    let (offer, rung) = node.offer(&agent).await;
    assert_eq!(rung, first);
    assert_eq!(node.desk.offers(&agent).await.unwrap().len(), 1);
    node.desk.accept_offer(&agent, offer).await.unwrap();
    node.desk.hang_up(&customer("u1"), first, None).await.unwrap();
    assert_eq!(node.offer(&agent).await.1, second);
    let gap = "select (extract(epoch from b.created_at - a.ended_at) * 1000)::bigint from offers a, offers b
        where a.ended_at is not null and b.ended_at is null";
    let gap = eye.count(gap).await;
    println!("slot freed to next offer: {gap} ms");
    assert!(
        (0..900).contains(&gap),
        "the tick and not the wake found the freed agent: {gap} ms"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_rejects_a_call_is_not_asked_for_it_again_and_the_other_is() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let (amina, brian) = (node.agent("amina", 1).await, node.agent("brian", 1).await);
    node.run();
    node.online(&amina).await;
    let (first, second) = (node.call("u1").await, node.call("u2").await);
    let (offer, rung) = node.offer(&amina).await;
    assert_eq!(rung, first);
    node.desk.reject_offer(&amina, offer, None).await.unwrap();
    // The rejected call stands first and she is free, but she is not asked for it: she gets the next one.
    let (offer, rung) = node.offer(&amina).await;
    assert_eq!(rung, second);
    node.desk.reject_offer(&amina, offer, None).await.unwrap();
    node.online(&brian).await;
    assert_eq!(node.offer(&brian).await.1, first);
    assert!(node.desk.offers(&amina).await.unwrap().is_empty());
    assert_eq!(
        eye.count("select count(*) from offers where state = 'rejected'").await,
        2
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_who_has_not_checked_his_microphone_or_is_too_slow() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let (unchecked, slow, ready) = (
        node.agent("unchecked", 1).await,
        node.agent("slow", 1).await,
        node.agent("ready", 1).await,
    );
    for agent in [&unchecked, &slow, &ready] {
        node.online(agent).await;
    }
    eye.run(
        "update staff_presence set media_checked_at = null where staff_id = (select id from staff where staff_name = 'unchecked');
        update staff_presence set rtt_ms = 2000 where staff_id = (select id from staff where staff_name = 'slow');
        update staff_presence set online_since = now() + interval '1 hour', rtt_ms = 1999
            where staff_id = (select id from staff where staff_name = 'ready')",
    )
    .await;
    node.run();
    let call = node.call("u1").await;
    assert_eq!(node.offer(&ready).await.1, call);
    assert_eq!(eye.count("select count(*) from offers").await, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_agents_who_accept_the_same_call_exactly_one_has_it() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let node = Node::start(&db.app_url, "n").await;
    let (amina, brian) = (node.agent("amina", 1).await, node.agent("brian", 1).await);
    for round in 0..20 {
        let user = format!("u{round}");
        let call = node.call(&user).await;
        let offers = [
            ring(&db.superuser_url, call, &amina).await,
            ring(&db.superuser_url, call, &brian).await,
        ];
        let (desk_a, desk_b) = (node.desk.clone(), node.desk.clone());
        let (a, b) = (amina.clone(), brian.clone());
        let (first, second) = tokio::join!(
            tokio::spawn(async move { desk_a.accept_offer(&a, offers[0]).await.map(|_| ()) }),
            tokio::spawn(async move { desk_b.accept_offer(&b, offers[1]).await.map(|_| ()) }),
        );
        let codes: Vec<_> = [first.unwrap(), second.unwrap()]
            .into_iter()
            .map(|result| result.err().map(|refused| refused.code))
            .collect();
        assert!(
            codes == [None, Some(Code::OfferLost)] || codes == [Some(Code::OfferLost), None],
            "{codes:?}"
        );
        node.desk.hang_up(&customer(&user), call, None).await.unwrap();
    }
    assert_eq!(
        eye.count("select count(*) from offers where accepted_at is not null")
            .await,
        20
    );
}

/// Rings a call at several agents, as a queue does that asks all of them.
async fn ring(url: &str, call: call_model::CallId, agent: &desk::Caller) -> OfferId {
    let mut eye = Eye::of(url).await;
    let offer = Uuid::new_v4();
    eye.ring_shared(offer, call, staff_id(agent)).await;
    OfferId(offer.as_u128())
}
