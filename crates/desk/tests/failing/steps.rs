//! Steps of recordings that cannot be stored.

use call_model::{CallId, RecordingId};
use ports::StepKind;
use tokio::time::timeout;

use crate::scene::{Node, PATIENCE, database, until};

/// As many as one pull takes.
const PULL: u128 = 1_024;

#[tokio::test]
async fn steps_that_fail_keep_neither_those_behind_them_nor_the_end_waiting() {
    let Some(db) = database().await else { return };
    let mut node = Node::start(&db.app_url, "n").await;
    let call = node.call("u1").await;
    // No text of PostgreSQL holds this character.
    let broken = || StepKind::Ended {
        reason: "\0".to_owned(),
    };
    for number in 1..=PULL {
        node.recordings.happens(RecordingId(number), call, broken());
    }
    let whole = StepKind::QualityOnly { quality: Vec::new() };
    node.recordings.happens(RecordingId(0xbeef), CallId(0xbeef), whole);
    node.run();
    until("the step behind them is not stored", || {
        node.recordings.open() == PULL as usize
    })
    .await;
    timeout(PATIENCE, node.stop()).await.expect("the end comes");
    assert_eq!(node.recordings.open(), PULL as usize, "what was not stored is kept");
}
