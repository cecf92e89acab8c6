//! Somebody goes away while what he has wished is carried out.

use ports::Part;
use tokio::time::timeout;
use wire::call::{Supervise, SuperviseMode};

use crate::scene::{Eye, Node, PATIENCE, database, until};

#[tokio::test]
async fn a_takeover_reaches_media_though_the_supervisor_has_gone_meanwhile() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let agent = node.agent("amina", 1).await;
    let boss = node.supervisor("sue").await;
    node.online(&agent).await;
    node.run();
    let (call, _) = node.live_call("u1", &agent).await;
    let before = node.media.recorded.lock().unwrap().len();

    let gate = node.media.gate();
    let (desk, how) = (
        node.desk.clone(),
        Supervise {
            mode: SuperviseMode::Takeover,
            reason: None,
        },
    );
    let asked = tokio::spawn(async move { desk.supervise(&boss, call, how).await });
    timeout(PATIENCE, gate.came())
        .await
        .expect("it is committed, and media is asked");
    let taken = "select s.staff_name from voice_calls c join staff s on s.id = c.assigned_staff_id";
    assert_eq!(eye.texts(taken).await, ["sue"]);
    assert_eq!(node.media.leg(call, Part::Agent), None, "the agent before has left");
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    gate.open();
    let is_here = || node.media.leg(call, Part::Agent).is_some() && node.media.recorded.lock().unwrap().len() > before;
    until("media knows nothing of his leg and of the recording", is_here).await;
    node.stop().await;
}
