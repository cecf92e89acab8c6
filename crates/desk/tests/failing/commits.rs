//! A commit whose answer is lost: both pages show what was decided, and media must do it.

use call_model::{CallId, LegId};
use desk::{Caller, Code, Refused};
use ports::{Part, Shield, Stance};
use wire::call::Mute;

use crate::cut::Way;
use crate::scene::{Eye, Node, database, until};

/// A live call, its agent and its customer's leg, at a node that does nothing by itself any more.
async fn quiet() -> Option<(Way, Eye, Node, Caller, CallId, LegId)> {
    let db = database().await?;
    let eye = Eye::of(&db.superuser_url).await;
    let way = Way::to(&db.app_url);
    let mut node = Node::start(&way.url, "n").await;
    let agent = node.agent("amina", 1).await;
    node.online(&agent).await;
    node.run();
    let (call, _) = node.live_call("u1", &agent).await;
    node.until_applied().await;
    node.stop().await;
    let leg = node.media.leg(call, Part::Customer).unwrap();
    assert_eq!(node.media.stance(call, leg), Some(Stance::Talk));
    Some((way, eye, node, agent, call, leg))
}

fn unanswered<T>(way: &Way, done: Result<T, Refused>) {
    assert_eq!(done.err().map(|refused| refused.code), Some(Code::Database));
    assert!(way.has_swallowed());
}

fn customer() -> Mute {
    Mute {
        part: wire::leg::Part::Customer,
        reason: None,
    }
}

#[tokio::test]
async fn what_is_asked_for_again_is_told_to_media_again() {
    let Some((way, mut eye, node, agent, call, leg)) = quiet().await else {
        return;
    };
    way.swallow();
    unanswered(&way, node.desk.hold(&agent, call, None).await);
    assert_eq!(node.media.stance(call, leg), Some(Stance::Talk), "media has not heard");
    let open = "select count(*) from call_intervals where kind = 'hold' and ended_at is null";
    assert_eq!(eye.count(open).await, 1, "and it is so");
    node.desk.hold(&agent, call, None).await.unwrap();
    assert_eq!(node.media.stance(call, leg), Some(Stance::Held));
    node.desk.resume(&agent, call, None).await.unwrap();

    way.swallow();
    unanswered(&way, node.desk.mute(&agent, call, customer()).await);
    assert_eq!(node.media.stance(call, leg), Some(Stance::Talk));
    node.desk.mute(&agent, call, customer()).await.unwrap();
    assert_eq!(node.media.stance(call, leg), Some(Stance::Muted));

    way.swallow();
    let how = || wire::call::Shield { reason: None };
    unanswered(&way, node.desk.shield(&agent, call, how()).await);
    assert_eq!(node.media.shield(call), Some(Shield::Off));
    node.desk.shield(&agent, call, how()).await.unwrap();
    assert_eq!(node.media.shield(call), Some(Shield::On));

    way.swallow();
    unanswered(&way, node.desk.hang_up(&agent, call, None).await);
    assert!(node.media.closed.lock().unwrap().is_empty());
    node.desk.hang_up(&agent, call, None).await.unwrap();
    assert_eq!(*node.media.closed.lock().unwrap(), [call]);
}

#[tokio::test]
async fn what_nobody_asks_for_again_is_told_to_media_once_the_database_is_back() {
    let Some((way, _, mut node, agent, call, leg)) = quiet().await else {
        return;
    };
    way.swallow();
    unanswered(&way, node.desk.hold(&agent, call, None).await);
    node.run();
    until("the hold is not in force", || {
        node.media.stance(call, leg) == Some(Stance::Held)
    })
    .await;
    node.stop().await;

    way.swallow();
    unanswered(&way, node.desk.hang_up(&agent, call, None).await);
    node.run();
    until("the room is open", || *node.media.closed.lock().unwrap() == [call]).await;
    node.stop().await;
}
