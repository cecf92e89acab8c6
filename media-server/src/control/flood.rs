//! What a flood at the relay that a shard's thread runs does to calls: nothing by which media refuses or puts out.

use ports::Part;

use super::tests::{admit, running};
use super::*;
use crate::admission::{BUSY_MAX, BUSY_SHED, Budget, SECONDS};
use crate::beat::SILENT_NS_MAX;
use crate::metrics::turning::Turning;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// A thread that was busy for this share of the last five seconds, and for this with strangers.
fn busy(whole: f64, strangers: f64) -> Busy {
    let wall = SECONDS as f64 * SECOND as f64;
    let [spent, aside] = [whole, strangers].map(|share| (share * wall) as u64);
    Busy::told(&[(0, 0, 0), (wall as u64, spent, aside)])
}

/// Whether a shard takes a new room after what its thread has reported; beside the server's own control, which looks too.
fn takes_a_room(control: &Control) -> Result<(), Full> {
    let mut budget = Budget::default();
    budget.look(SECOND, control.look(0, &Totals::default(), Gauges::default()));
    budget.may_take(SECOND)
}

#[tokio::test]
async fn a_thread_that_is_full_of_strangers_takes_calls_and_puts_nobody_out() {
    let (folder, server, mut control) = running("flood", 1);
    let media = server.media();
    admit(&*media, 1, 1, Part::Customer, true).await;
    admit(&*media, 2, 1, Part::Supervisor, false).await;
    admit(&*media, 3, 2, Part::Preflight, true).await;

    // All of the thread, and four fifths of that for strangers.
    control.busy = vec![busy(1.0, 0.8)];
    assert_eq!(takes_a_room(&control), Ok(()));
    for _ in 0..2 {
        let now = control.shared.clock.now_ns();
        control.keep_house(now);
    }
    assert_eq!(media.load().legs, 3, "nobody was put out");

    // What media itself does counts as ever, with strangers beside it or without.
    control.busy = vec![busy(1.0, 1.0 - BUSY_MAX)];
    assert_eq!(takes_a_room(&control), Err(Full::Busy));
    control.busy = vec![busy(1.0, 1.0 - BUSY_SHED)];
    for _ in 0..2 {
        let now = control.shared.clock.now_ns();
        control.keep_house(now);
    }
    assert_eq!(media.load().legs, 1, "the line test and who only listens");
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn a_shard_that_is_silent_is_told_as_not_alive_and_with_a_control_that_stands_still_they_all_are() {
    let (folder, server, control) = running("silent", 2);
    let registry = prometheus::Registry::new();
    let turning = Turning::register(&registry, server.shared()).expect("a registry of its own");
    // From here on nobody says that they turn: control, which did, has ended.
    server.stop();
    let now = control.shared.clock.now_ns();
    assert_eq!(turning.seen(now), [2, 2, 0, 0]);
    let long_after = now + SILENT_NS_MAX + SECOND;
    control.shared.beats[1].store(long_after, Ordering::Relaxed);
    assert_eq!(turning.seen(long_after), [2, 1, 0, 0]);
    assert_eq!(turning.seen(2 * long_after), [2, 0, 0, 0]);
    // Who reads the figures looks himself.
    let read = registry.gather();
    let alive = read.iter().find(|family| family.name() == "helpline_shards_alive");
    let alive = alive.expect("it is registered").get_metric()[0].get_gauge().get_value();
    assert!(
        (alive - 2.0).abs() < f64::EPSILON,
        "by the clock, half a minute has not passed: {alive}"
    );
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}
