//! The feed of the browsers: every committed event once, whoever commits when.

#![cfg(test)]

mod scene;

use std::collections::BTreeMap;

use desk::HubFeed;
use scene::{Eye, LOOK, Node, PATIENCE, database};
use tokio::time::timeout;

/// More than two looks take at once.
const MANY: usize = 2_500;

/// What was heard: how often each kind, and the numbers of those that have one.
#[derive(Default)]
struct Heard {
    kinds: BTreeMap<String, usize>,
    numbers: Vec<u64>,
}

impl Heard {
    /// Listens until so many of this kind have come in all.
    async fn until(&mut self, feed: &mut HubFeed, kind: &str, n: usize) {
        let heard = timeout(PATIENCE, async {
            while self.kinds.get(kind).copied().unwrap_or(0) < n {
                let event = feed.next().await.expect("nobody lags");
                *self.kinds.entry(event.kind.clone()).or_default() += 1;
                self.numbers.extend(event.data["n"].as_u64());
            }
        });
        heard
            .await
            .unwrap_or_else(|_| panic!("not {n} of {kind} but {:?}", self.kinds));
    }
}

#[tokio::test]
async fn each_event_comes_once_however_late_its_commit_and_however_long_another_one_takes() {
    let Some(db) = database().await else { return };
    let (mut late, mut others) = (Eye::of(&db.superuser_url).await, Eye::of(&db.superuser_url).await);
    let mut long = Eye::of(&db.superuser_url).await;
    // A writing transaction of somebody else that lasts longer than all of this.
    long.run("begin; select pg_current_xact_id()").await;
    let mut node = Node::start(&db.app_url, "n").await;
    let (mut feed, mut heard) = (node.desk.subscribe(), Heard::default());
    node.run();
    // The first look only finds its place; what is committed before it is nobody's.
    while timeout(LOOK, feed.next()).await.is_err() {
        others
            .run("insert into hub_events (audience, kind, data) values ('all_staff', 'begin', '{}')")
            .await;
    }

    late.run("begin; insert into hub_events (audience, kind, data) values ('all_staff', 'late', '{}')")
        .await;
    others
        .run(
            "insert into hub_events (audience, kind, data)
            select 'all_staff', 'many', jsonb_build_object('n', n) from generate_series(1, 2500) n",
        )
        .await;
    heard.until(&mut feed, "many", MANY).await;
    let in_order: Vec<u64> = (1..=MANY as u64).collect();
    assert_eq!(heard.numbers, in_order);
    others
        .run("insert into hub_events (audience, kind, data) values ('all_staff', 'between', '{}')")
        .await;
    heard.until(&mut feed, "between", 1).await;
    late.run("commit").await;
    heard.until(&mut feed, "late", 1).await;
    others
        .run("insert into hub_events (audience, kind, data) values ('all_staff', 'end', '{}')")
        .await;
    heard.until(&mut feed, "end", 1).await;
    for (kind, n) in [("many", MANY), ("between", 1), ("late", 1), ("end", 1)] {
        assert_eq!(heard.kinds[kind], n, "{kind}");
    }
    long.run("rollback").await;
    node.stop().await;
}
