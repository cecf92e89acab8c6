//! A database that lets itself be read and refuses to be written to.

use std::time::Duration;

use desk::Store;
use ports::{Cause, Part};

use crate::scene::{Eye, Node, database, until};

/// Longer than every amnesty: twice the presence lease of 30 s.
const LONG_UNBROKEN: Duration = Duration::from_secs(61);
/// Looks of the reaper, for what must not happen.
const LOOKS: u64 = 3;

/// As on a standby, or where a provider has closed a full disk: transactions begin, the clock is read, no write passes.
const READ_ONLY: &str = "create function refuse() returns trigger language plpgsql as $$
    begin
        if session_user = 'helpline_app' then
            raise exception 'cannot write in a read-only transaction' using errcode = '25006';
        end if;
        return null;
    end $$;
    create trigger refuse before insert or update or delete on media_nodes
        for each statement execute function refuse();
    create trigger refuse before insert or update or delete on call_queue
        for each statement execute function refuse();
    create trigger refuse before insert or update or delete on voice_calls
        for each statement execute function refuse()";
const WRITABLE: &str = "drop function refuse() cascade";

/// A disk without room for another row, while rows can still be changed in their place. The sequence counts the tries: it
/// is not rolled back.
const DISK_FULL: &str = "create sequence tries;
    create function no_room() returns trigger language plpgsql security definer as $$
    begin
        if session_user = 'helpline_app' then
            perform nextval('helpline.tries');
            raise exception 'could not extend file' using errcode = '53100';
        end if;
        return null;
    end $$;
    create trigger no_room before insert on call_events for each statement execute function no_room()";
const ROOM: &str = "drop function no_room() cascade";
/// Tried more often than a report that has a defect of its own.
const TRIED: &str = "select (last_value >= 8)::int::bigint from tries";

async fn until_away(store: &Store) {
    until("a heartbeat that is refused is no outage", || {
        store.unbroken_for().is_zero()
    })
    .await;
}

#[tokio::test]
async fn nobody_is_lost_because_the_database_took_no_writes() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    node.run();
    let call = node.call("u1").await;

    eye.run(READ_ONLY).await;
    until_away(&node.store).await;
    // Reading goes on, and must not look like the end of the outage.
    node.age(LONG_UNBROKEN).await;
    node.until_status("u1", call, "queued").await;
    node.after_looks(LOOKS).await;
    assert!(node.store.unbroken_for().is_zero(), "nothing was written yet");
    assert!(node.store.silent_for() >= LONG_UNBROKEN);
    eye.run("update call_queue set lease_until = clock_timestamp() where left_at is null")
        .await;
    eye.run(WRITABLE).await;
    node.after_looks(LOOKS).await;
    node.until_status("u1", call, "queued").await;

    // Who does not come back in as much time as an outage gives him is lost after all.
    node.age(LONG_UNBROKEN).await;
    node.until_status("u1", call, "abandoned").await;
    node.stop().await;
}

#[tokio::test]
async fn a_report_waits_for_room_on_the_disk_and_is_not_set_aside() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let mut node = Node::start(&db.app_url, "n").await;
    let agent = node.agent("amina", 1).await;
    node.online(&agent).await;
    node.run();
    let (call, _) = node.live_call("u1", &agent).await;
    node.until_applied().await;

    eye.run(DISK_FULL).await;
    let leg = node.media.leg(call, Part::Customer).unwrap();
    node.media.lose(call, leg, Cause::HangUp);
    eye.until(TRIED, 1).await;
    assert_eq!(node.media.open_reports(), 1);
    eye.run(ROOM).await;
    node.until_applied().await;
    node.until_status("u1", call, "completed").await;
    assert_eq!(
        eye.count("select count(*) from call_events where kind = 'leg.down' and data ->> 'part' = 'customer'")
            .await,
        1
    );
    node.stop().await;
}

/// Of a clock that was set back since, or the lease would outlast whoever has it.
#[tokio::test]
async fn a_lease_never_lasts_longer_than_the_one_that_is_given_now() {
    let Some(db) = database().await else { return };
    let mut eye = Eye::of(&db.superuser_url).await;
    let node = Node::start(&db.app_url, "n").await;
    let agent = node.agent("amina", 1).await;
    node.online(&agent).await;
    node.call("u1").await;
    let ahead = "update staff_presence set lease_until = lease_until + interval '1 hour';
        update call_queue set lease_until = lease_until + interval '1 hour'";
    let long = "select (select count(*) from staff_presence where lease_until > clock_timestamp() + interval '30 s')
        + (select count(*) from call_queue where lease_until > clock_timestamp() + interval '20 s')";
    eye.run(ahead).await;
    assert_eq!(eye.count(long).await, 2);
    let staff = crate::scene::staff_id(&agent);
    node.desk.staff_alive(staff, None).await.unwrap();
    assert_eq!(eye.count(long).await, 1, "his console has shown itself");
    let user = call_model::UserId::new("u1").unwrap();
    node.desk.customer_alive(&user).await.unwrap();
    assert_eq!(eye.count(long).await, 0, "and the customer's page");
    eye.run(ahead).await;
    node.online(&agent).await;
    assert_eq!(eye.count(long).await, 1, "he has chosen anew");
}
