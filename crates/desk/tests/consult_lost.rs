//! Nobody answers, or somebody is lost, while a colleague is consulted: whatever happens, the customer has an agent, a
//! queue, or no call any more; never the music alone.

#![cfg(test)]

mod scene;

use std::time::Duration;

use call_model::{CallId, OfferId, StaffId};
use desk::Caller;
use ports::{Cause, Part};
use scene::{Eye, Node, customer, database, service, staff_id};
use tokio::time::timeout;
use wire::call::{ConsultStart, ConsultStep, Supervise, SuperviseMode};

/// Longer than every amnesty: twice the 45 s in which a leg must come.
const LONG_UNBROKEN: Duration = Duration::from_secs(91);
/// How long the reaper, who looks every second, is waited for; and how often.
const REAPED: Duration = Duration::from_secs(4);
const LOOKS: u32 = 5;
/// Two agents of one call, or a call without one.
const BROKEN: &str = "select count(*) from voice_calls c where c.status = 'answered' and 1 <> (
    select count(*) from offers o where o.call_id = c.id and o.kind = 'primary' and o.state = 'accepted'
        and o.staff_id = c.assigned_staff_id)";
const HELD: &str = "select s.staff_name || ' ' || o.kind || ' ' || o.state from offers o
    join staff s on s.id = o.staff_id where o.state in ('pending', 'accepted', 'wrapping') order by s.staff_name";
const OPEN: &str = "select count(*) from call_intervals where kind in ('consult', 'conference', 'hold', 'mute')
    and ended_at is null";
const ENDED: &str = "select count(*) from call_events where kind = 'call.consult_ended'";
const WHY: &str = "select data ->> 'reason' from call_events where kind = 'call.consult_ended'";

struct Scene {
    node: Node,
    eye: Eye,
    amina: Caller,
    baraka: Caller,
    call: CallId,
}

const fn step() -> ConsultStep {
    ConsultStep { reason: None }
}

impl Scene {
    /// A running node, a call of amina's, and baraka, who is asked.
    async fn new() -> Option<Scene> {
        let db = database().await?;
        let eye = Eye::of(&db.superuser_url).await;
        let mut node = Node::start(&db.app_url, "n").await;
        let (amina, baraka) = (node.agent("amina", 1).await, node.agent("baraka", 1).await);
        node.online(&amina).await;
        node.run();
        let (call, _) = node.live_call("u1", &amina).await;
        node.online(&baraka).await;
        let StaffId(partner) = staff_id(&baraka);
        let whom = ConsultStart {
            staff_id: uuid::Uuid::from_u128(partner),
            reason: None,
        };
        node.desk.consult(&amina, call, whom).await.unwrap();
        Some(Scene {
            node,
            eye,
            amina,
            baraka,
            call,
        })
    }

    /// Baraka answers, and his line comes up.
    async fn answered(&mut self) {
        let offer = self.node.desk.offers(&self.baraka).await.unwrap()[0].offer_id;
        let offer = OfferId(offer.as_u128());
        self.node.desk.accept_offer(&self.baraka, offer).await.unwrap();
        self.node.media.comes_up(self.call, Part::Partner);
        self.eye
            .until(
                "select count(*) from call_legs where part = 'partner' and state = 'up'",
                1,
            )
            .await;
    }

    async fn merged(&mut self) {
        self.answered().await;
        self.node
            .desk
            .consult_merge(&self.amina, self.call, step())
            .await
            .unwrap();
    }

    fn lose(&self, part: Part, cause: Cause) {
        let leg = self.node.media.leg(self.call, part).expect("the leg is there");
        self.node.media.lose(self.call, leg, cause);
    }

    /// The consultation is over and nothing of it is left; why it ended.
    async fn over(&mut self) -> String {
        self.eye.until(ENDED, 1).await;
        self.node.until_applied().await;
        assert_eq!(self.eye.count(OPEN).await, 0);
        assert_eq!(self.eye.count(BROKEN).await, 0);
        self.eye.texts(WHY).await.remove(0)
    }

    /// Lets the process's connection look old until the number is `wanted`. A statement that is under way at that moment
    /// is overtaken by its own time limit and makes the connection young again, so it may take more than once.
    async fn aged_until(&mut self, sql: &'static str, wanted: i64) {
        for _ in 0..LOOKS {
            self.node.age(LONG_UNBROKEN).await;
            let looked = timeout(REAPED, async {
                while self.eye.count(sql).await != wanted {
                    tokio::task::yield_now().await;
                }
            });
            if looked.await.is_ok() {
                return;
            }
        }
        panic!("never {wanted}: {sql}");
    }

    async fn status(&mut self) -> String {
        self.eye.texts("select status from voice_calls").await.remove(0)
    }
}

#[tokio::test]
async fn a_colleague_who_says_nothing_has_missed_an_offer_and_the_agent_has_the_customer() {
    let Some(mut scene) = Scene::new().await else { return };
    scene
        .eye
        .run("update offers set expires_at = clock_timestamp() where state = 'pending'")
        .await;
    assert_eq!(scene.over().await, "timeout");
    assert_eq!(scene.status().await, "answered");
    assert_eq!(scene.eye.texts(HELD).await, ["amina primary accepted"]);
    let strikes = "select strikes::bigint from staff_presence p join staff s on s.id = p.staff_id
        where staff_name = 'baraka'";
    assert_eq!(scene.eye.count(strikes).await, 1);
    scene.node.stop().await;
}

#[tokio::test]
async fn a_colleague_whose_page_is_gone_is_asked_no_longer_and_the_call_keeps_its_agent() {
    let Some(mut scene) = Scene::new().await else { return };
    scene
        .eye
        .run("update staff_presence set lease_until = '-infinity' where staff_id = (select id from staff where staff_name = 'baraka')")
        .await;
    scene.aged_until(ENDED, 1).await;
    assert_eq!(scene.over().await, "partner_lost");
    assert_eq!(scene.status().await, "answered");
    assert_eq!(scene.eye.texts(HELD).await, ["amina primary accepted"]);
    scene.node.stop().await;
}

#[tokio::test]
async fn a_colleague_whose_line_is_lost_leaves_agent_and_customer_together() {
    for (cause, why) in [(Cause::Lost, "partner_lost"), (Cause::HangUp, "partner_left")] {
        let Some(mut scene) = Scene::new().await else { return };
        scene.answered().await;
        scene.lose(Part::Partner, cause);
        assert_eq!(scene.over().await, why);
        assert_eq!(scene.status().await, "answered");
        assert_eq!(scene.eye.texts(HELD).await, ["amina primary accepted"]);
        scene.node.stop().await;
    }
}

#[tokio::test]
async fn a_colleague_who_says_yes_and_never_comes_leaves_the_customer_on_music_for_as_long_as_he_may_connect() {
    let Some(mut scene) = Scene::new().await else { return };
    let offer = scene.node.desk.offers(&scene.baraka).await.unwrap()[0].offer_id;
    let offer = OfferId(offer.as_u128());
    scene.node.desk.accept_offer(&scene.baraka, offer).await.unwrap();
    scene
        .eye
        .run("update call_legs set granted_at = clock_timestamp() - interval '35 seconds' where part = 'partner'")
        .await;
    scene.node.age(LONG_UNBROKEN).await;
    scene.node.after_looks(2).await;
    assert_eq!(scene.eye.count(ENDED).await, 0, "he may be about to connect");
    scene
        .eye
        .run("update call_legs set granted_at = clock_timestamp() - interval '45 seconds' where part = 'partner'")
        .await;
    scene.aged_until(ENDED, 1).await;
    assert_eq!(scene.over().await, "never_came");
    assert_eq!(scene.status().await, "answered");
    assert_eq!(scene.eye.texts(HELD).await, ["amina primary accepted"]);
    let leg = "select cause from call_legs where part = 'partner' and state = 'down'";
    assert_eq!(scene.eye.texts(leg).await, ["ice_timeout"]);
    let customers = scene.node.media.leg(scene.call, Part::Customer).unwrap();
    let stance = scene.node.media.stance(scene.call, customers);
    assert_eq!(stance, Some(ports::Stance::Talk), "no music any more");
    scene.node.stop().await;
}

#[tokio::test]
async fn an_agent_who_is_lost_apart_from_the_customer_gives_him_back_to_the_queue() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.answered().await;
    scene.eye.run("update staff set status = 'away'").await;
    scene.lose(Part::Agent, Cause::Lost);
    assert_eq!(scene.over().await, "agent_lost");
    assert_eq!(scene.status().await, "queued");
    assert_eq!(scene.eye.texts(HELD).await, Vec::<String>::new(), "both are free");
    let legs = "select count(*) from call_legs where state <> 'down' and part <> 'customer'";
    assert_eq!(scene.eye.count(legs).await, 0);
    scene.node.stop().await;
}

#[tokio::test]
async fn a_conference_that_loses_its_agent_goes_on_with_the_colleague() {
    for cause in [Cause::Lost, Cause::HangUp] {
        let Some(mut scene) = Scene::new().await else { return };
        scene.merged().await;
        scene.lose(Part::Agent, cause);
        scene
            .eye
            .until("select count(*) from call_events where kind = 'call.owner_changed'", 1)
            .await;
        scene.node.until_applied().await;
        assert_eq!(scene.status().await, "answered");
        assert_eq!(scene.eye.texts(HELD).await, ["baraka primary accepted"]);
        assert_eq!((scene.eye.count(BROKEN).await, scene.eye.count(OPEN).await), (0, 0));
        let leg = "select count(*) from call_legs where part = 'agent' and state = 'up'";
        assert_eq!(scene.eye.count(leg).await, 1, "his leg is the agent's");
        scene.node.desk.hang_up(&scene.baraka, scene.call, None).await.unwrap();
        assert_eq!(scene.status().await, "completed");
        scene.node.stop().await;
    }
}

#[tokio::test]
async fn a_customer_who_is_lost_ends_the_call_for_all() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.merged().await;
    scene.lose(Part::Customer, Cause::Lost);
    assert_eq!(scene.over().await, "call_ended");
    assert_eq!(scene.status().await, "completed");
    assert_eq!(scene.eye.texts(HELD).await, ["amina primary wrapping"]);
    scene.node.stop().await;
}

#[tokio::test]
async fn whoever_takes_a_call_over_and_never_comes_gives_it_back_after_twenty_seconds() {
    let Some(mut scene) = Scene::new().await else { return };
    scene
        .node
        .desk
        .consult_cancel(&scene.amina, scene.call, step())
        .await
        .unwrap();
    scene.node.agent("sue", 1).await;
    scene
        .eye
        .run("update staff set role = 'supervisor' where staff_name = 'sue'; update staff set status = 'away'")
        .await;
    let id = scene
        .eye
        .texts("select id::text from staff where staff_name = 'sue'")
        .await;
    let id = StaffId(id[0].parse::<uuid::Uuid>().unwrap().as_u128());
    let session = scene.node.desk.staff_session(&service(), id).await.unwrap();
    let sue = scene.node.desk.auth().bearer(&session.token).await.unwrap();
    let take = Supervise {
        mode: SuperviseMode::Takeover,
        reason: None,
    };
    scene.node.desk.supervise(&sue, scene.call, take).await.unwrap();
    scene
        .eye
        .run("update call_legs set granted_at = clock_timestamp() - interval '20 seconds' where state = 'granted'")
        .await;
    let queued = "select count(*) from voice_calls where status = 'queued'";
    scene.aged_until(queued, 1).await;
    scene
        .node
        .desk
        .hang_up(&customer("u1"), scene.call, None)
        .await
        .unwrap();
    scene.node.stop().await;
}
