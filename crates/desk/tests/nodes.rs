//! Two nodes on one database: what concerns the sound of a call is done by the node whose media has it, or refused by name.

#![cfg(test)]

mod scene;

use call_model::CallId;
use desk::{Caller, Code, Refused};
use ports::Part;
use scene::{Eye, Node, customer, database, start};
use wire::call::{ConsultStart, ConsultStep, Supervise, SuperviseEnd, SuperviseMode};

/// Two nodes, and an agent who is online; nothing runs yet.
async fn two() -> Option<(Eye, Node, Node, Caller)> {
    let db = database().await?;
    let eye = Eye::of(&db.superuser_url).await;
    let (one, two) = (
        Node::start(&db.app_url, "one").await,
        Node::start(&db.app_url, "two").await,
    );
    let agent = one.agent("amina", 1).await;
    one.online(&agent).await;
    Some((eye, one, two, agent))
}

/// It was refused, and says where to go.
fn elsewhere<T>(what: &str, done: Result<T, Refused>) {
    let refused = done.err().unwrap_or_else(|| panic!("{what} was done"));
    assert_eq!(refused.code, Code::OtherNode, "{what}");
    assert!(
        refused
            .detail
            .as_deref()
            .is_some_and(|detail| detail.ends_with("ws://one/ws")),
        "{what}: {refused}"
    );
}

#[tokio::test]
async fn what_another_node_would_have_to_do_is_refused_with_its_address() {
    let Some((mut eye, mut one, two, agent)) = two().await else {
        return;
    };
    let boss = one.supervisor("sue").await;
    one.run();
    let call = one.call("u1").await;
    let (offer, _) = one.offer(&agent).await;
    elsewhere("accept", two.desk.accept_offer(&agent, offer).await);
    elsewhere("start", two.desk.start_call(&customer("u1"), start("u1")).await);
    one.desk.accept_offer(&agent, offer).await.unwrap();
    one.desk.grant_leg(&customer("u1"), call, None).await.unwrap();
    one.media.connect(call).unwrap();
    one.until_status("u1", call, "answered").await;
    one.until_applied().await;

    let rows = "select plan_epoch from voice_calls";
    let before = eye.count(rows).await;
    let party = || wire::call::Mute {
        part: wire::leg::Part::Customer,
        reason: None,
    };
    let keys = || wire::call::Shield { reason: None };
    elsewhere("hold", two.desk.hold(&agent, call, None).await);
    elsewhere("resume", two.desk.resume(&agent, call, None).await);
    elsewhere("mute", two.desk.mute(&agent, call, party()).await);
    elsewhere("unmute", two.desk.unmute(&agent, call, party()).await);
    elsewhere("shield", two.desk.shield(&agent, call, keys()).await);
    elsewhere("unshield", two.desk.unshield(&agent, call, keys()).await);
    elsewhere("leg", two.desk.grant_leg(&customer("u1"), call, None).await);
    let help = ConsultStart {
        staff_id: uuid::Uuid::nil(),
        reason: None,
    };
    elsewhere("consult", two.desk.consult(&agent, call, help).await);
    let step = || ConsultStep { reason: None };
    elsewhere("cancel", two.desk.consult_cancel(&agent, call, step()).await);
    for mode in [SuperviseMode::Monitor, SuperviseMode::Takeover] {
        let how = Supervise { mode, reason: None };
        elsewhere("supervise", two.desk.supervise(&boss, call, how).await);
    }
    let end = SuperviseEnd::default();
    elsewhere("end", two.desk.end_supervision(&boss, call, end).await);
    elsewhere("hang up", two.desk.hang_up(&agent, call, None).await);
    assert_eq!(eye.count(rows).await, before, "nothing was written");
    assert_eq!(two.media.legs(call), []);

    one.desk.hang_up(&agent, call, None).await.unwrap();
    assert!(
        two.desk.hang_up(&agent, call, None).await.is_ok(),
        "what has ended is the same everywhere"
    );
    two.desk.end_wrap_up(&agent, call).await.unwrap();
    one.stop().await;
}

#[tokio::test]
async fn each_node_ends_its_own_calls_whoever_leads() {
    let Some((mut eye, mut one, mut two, agent)) = two().await else {
        return;
    };
    two.run();
    two.after_looks(1).await;
    one.run();
    let (call, _) = one.live_call("u1", &agent).await;
    one.until_applied().await;
    let leg = one.media.leg(call, Part::Agent);
    assert!(leg.is_some());
    eye.run("update voice_calls set answered_at = clock_timestamp() - interval '4 hours'")
        .await;
    one.until_status("u1", call, "completed").await;
    let closed = |node: &Node| node.media.closed.lock().unwrap().clone();
    assert_eq!(closed(&one), [call]);
    assert_eq!(closed(&two), [] as [CallId; 0]);
    one.stop().await;
    two.stop().await;
}
