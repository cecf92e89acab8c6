//! `kill -9` in the middle of a call, again and again.

use std::time::Duration;

use tokio::time::sleep;
use wire::call::CallStatus;
use wire::staff::StaffList;

use crate::binary::{Binary, Dice, Folder, ONE, until};
use crate::pair::{Pair, lane, run, stored};

const ROUNDS: u32 = 10;
/// A call lasts this long at least, so that there is a second to keep, and at most.
const SHORTEST_MS: usize = 1_100;
const LONGEST_MS: usize = 6_000;
/// What a crash may cost: the interval of the recorder's syncs and the time of one.
const LOSS_MAX: Duration = Duration::from_secs(1);
/// Longest time from the start to a tidy state.
const TIDY_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_crashes_cost_a_second_of_sound_each_and_leave_nobody_busy() {
    let _turn = ONE.lock().await;
    let mut dice = Dice::thrown();
    let folder = Folder::new("crash");
    let mut binary = Binary::start(&folder, &[], &[]).await;
    for round in 0..ROUNDS {
        // Whoever lost a call writes it up for a minute.
        let agent = binary.desk().agent(&format!("crash-{round}")).await.expect("an agent");
        let pair = Pair::join(&binary.desk(), &agent, &format!("customer-{round}"), round).await;
        let first = pair.sound().await;
        let moment = SHORTEST_MS + dice.below(LONGEST_MS - SHORTEST_MS);
        sleep(Duration::from_millis(moment as u64)).await;
        let killed = binary.kill();
        let call = pair.call;
        let logs = pair.stop();

        binary = Binary::start(&folder, &[], &[]).await;
        let desk = binary.desk();
        let view = until("the call is closed", TIDY_LIMIT, async || {
            let view = desk.call(call).await.expect("the call");
            (view.status == CallStatus::Failed).then_some(view)
        })
        .await;
        assert_eq!(view.end_reason.as_deref(), Some("node_lost"));
        until("nobody is busy", TIDY_LIMIT, async || {
            let all: StaffList = desk.get("/api/support/staff").await.expect("staff");
            all.staff.iter().all(|one| one.current_call_count == 0).then_some(())
        })
        .await;

        let recording = stored(&desk, call).await;
        let talked = (killed - first).as_secs_f64();
        let kept = recording.duration_seconds.expect("a duration");
        println!("round {round}: {talked:.3} s of sound, {kept:.3} s kept");
        assert!(
            talked - kept <= LOSS_MAX.as_secs_f64(),
            "{talked} s of sound, {kept} s kept"
        );
        let master = desk.audio(recording.recording_id).await.expect("the master");
        for (side, log) in logs.iter().enumerate() {
            let numbers = lane(&master, side, log);
            run(&numbers);
            let last = *numbers.last().expect("packets");
            let lost = killed - log.sent[last as usize].at;
            assert!(lost <= LOSS_MAX, "lane {side} ends {lost:?} before the crash");
        }
    }
    binary.stop().await;
}
