//! The feed of the browsers goes on where it stood, whoever reads it.

#![cfg(test)]

mod scene;

use desk::HubFeed;
use scene::{Eye, Node, PATIENCE, database};
use tokio::time::timeout;

/// The next stored event of this kind; whatever else is told passes by.
async fn hears(feed: &mut HubFeed, kind: &str) {
    let heard = timeout(PATIENCE, async {
        while feed.next().await.expect("nothing was missed").kind != kind {}
    });
    assert!(heard.await.is_ok(), "{kind} was not told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_between_two_readers_is_told_by_the_second() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let mut feed = node.desk.subscribe();
    node.run();
    // The first look only finds the place to start at, so what is told before it is told to nobody.
    let started = timeout(PATIENCE, async {
        loop {
            eye.run("insert into helpline.hub_events (audience, kind, data) values ('all_staff', 'test.first', '{}')")
                .await;
            let heard = timeout(std::time::Duration::from_secs(2), feed.next());
            if heard
                .await
                .is_ok_and(|event| event.is_ok_and(|event| event.kind == "test.first"))
            {
                return;
            }
        }
    });
    started.await.expect("the reader has begun");
    node.stop().await;
    eye.run("insert into helpline.hub_events (audience, kind, data) values ('all_staff', 'test.between', '{}')")
        .await;
    node.run();
    hears(&mut feed, "test.between").await;
    eye.run("insert into helpline.hub_events (audience, kind, data) values ('all_staff', 'test.after', '{}')")
        .await;
    hears(&mut feed, "test.after").await;
    node.stop().await;
}
