//! The registry by itself: numbers, gaps, full queues, sweeps.

use std::time::Duration;

use desk::{Audience, CustomerVia};
use serde_json::json;

use super::*;

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn caller(name: &str) -> Caller {
    Caller::Customer {
        user_id: user(name),
        name: None,
        email: None,
        via: CustomerVia::Ticket,
    }
}

fn event(id: i64, kind: &str, data: serde_json::Value) -> HubEvent {
    HubEvent {
        id,
        audience: Audience::User(user("u")),
        kind: kind.to_owned(),
        data,
    }
}

fn call_event(id: i64, status: &str) -> HubEvent {
    let call = json!({ "callId": uuid::Uuid::from_u128(7), "status": status });
    event(id, &format!("call.{status}"), json!({ "call": call }))
}

fn opened(sessions: &mut Sessions, secret: u8, now: Instant) -> Key {
    let person = Person::Customer(user("u"));
    sessions.open(person, caller("u"), Some([secret; 32]), now).unwrap()
}

fn tell(sessions: &mut Sessions, times: usize, now: Instant) {
    for id in 1..=times {
        sessions.tell(&event(id as i64, "x", json!(null)), Timestamp(0), now);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_as_many_as_are_kept_is_filled_and_one_more_is_not() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let key = opened(&mut sessions, 1, now);
    tell(&mut sessions, KEPT_EVENTS_MAX, now);
    assert_eq!(sessions.resume([1; 32], 0).unwrap().from, Some(0));
    let (_, ends) = sessions.connect(key, 0).unwrap();
    assert_eq!(ends.backlog.len(), KEPT_EVENTS_MAX);
    tell(&mut sessions, 1, now);
    assert_eq!(sessions.resume([1; 32], 0).unwrap().from, None, "the first is lost");
    assert_eq!(sessions.resume([1; 32], 1).unwrap().from, Some(1));
    let last = sessions.last_seq(key);
    assert_eq!(sessions.resume([1; 32], last).unwrap().from, Some(last));
    assert_eq!(sessions.resume([1; 32], last + 1).unwrap().from, None, "never given");
    assert_eq!(sessions.resume([1; 32], u64::MAX).unwrap().from, None);
    assert!(sessions.resume([2; 32], 0).is_none());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_told_to_come_back() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let key = opened(&mut sessions, 1, now);
    let (_, mut ends) = sessions.connect(key, 0).unwrap();
    tell(&mut sessions, OUTBOUND_MESSAGES_MAX, now);
    assert!(ends.close.try_recv().is_err(), "as many as fit");
    tell(&mut sessions, 1, now);
    assert_eq!(ends.close.try_recv(), Ok(Close::Slow));
    assert_eq!(sessions.count(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn lost_events_make_every_resume_a_gap() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let key = opened(&mut sessions, 1, now);
    let (_, mut ends) = sessions.connect(key, 0).unwrap();
    tell(&mut sessions, 1, now);
    sessions.all_missed();
    assert_eq!(ends.close.try_recv(), Ok(Close::Slow));
    assert_eq!(sessions.resume([1; 32], 1).unwrap().from, None);
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_due_once_when_the_call_is_taken() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let key = opened(&mut sessions, 1, now);
    assert!(sessions.tell(&call_event(1, "ringing"), Timestamp(0), now).is_empty());
    let (generation, ends) = sessions.connect(key, 0).unwrap();
    let due = sessions.tell(&call_event(2, "connecting"), Timestamp(0), now);
    assert_eq!(due.iter().map(|due| due.call).collect::<Vec<_>>(), [CallId(7)]);
    assert!(
        sessions
            .tell(&call_event(3, "connecting"), Timestamp(0), now)
            .is_empty()
    );
    assert_eq!(*ends.call.borrow(), Some((CallId(7), CallStatus::Connecting)));
    sessions.detach(key, generation, now);
    sessions.tell(&call_event(4, "queued"), Timestamp(0), now);
    let due = sessions.tell(&call_event(5, "connecting"), Timestamp(0), now);
    assert!(due.is_empty(), "nobody is there; the page asks when it comes back");
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_its_page_and_not_for_ever() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let key = opened(&mut sessions, 1, now);
    sessions.sweep(now + DETACHED);
    assert!(sessions.resume([1; 32], 0).is_some());
    sessions.sweep(now + DETACHED + Duration::from_millis(1));
    assert!(sessions.resume([1; 32], 0).is_none());

    // After the end of the call it is kept only to show that end.
    let session = opened(&mut sessions, 1, now);
    assert_ne!(session, key);
    sessions.tell(&call_event(1, "completed"), Timestamp(0), now);
    sessions.sweep(now + AFTER_CALL);
    assert!(sessions.resume([1; 32], 0).is_some());
    let (generation, _ends) = sessions.connect(session, 0).unwrap();
    sessions.sweep(now + AFTER_CALL * 2);
    assert!(sessions.resume([1; 32], 0).is_some(), "who is connected stays");
    assert!(
        !sessions.detach(session, generation + 1, now),
        "another connection's end"
    );
    sessions.detach(session, generation, now);
    sessions.sweep(now + AFTER_CALL + Duration::from_millis(1));
    assert!(sessions.resume([1; 32], 0).is_none());
}

#[tokio::test(start_paused = true)]
async fn whose_page_has_left_makes_room_before_anybody_who_is_there() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let keys: Vec<Key> = (0..5).map(|n| opened(&mut sessions, n, now)).collect();
    assert_eq!(keys.len(), SOCKETS_PER_PERSON_MAX);
    // The first four are there, the last is being opened.
    let mut ends: Vec<(u64, Ends)> = keys[..4].iter().map(|key| sessions.connect(*key, 0).unwrap()).collect();
    let (generation, _) = ends[2];
    sessions.detach(keys[2], generation, now);
    opened(&mut sessions, 5, now);
    assert!(sessions.resume([2; 32], 0).is_none(), "the one that has left goes");
    assert!(ends[0].1.close.try_recv().is_err());
    assert!(
        sessions.connect(keys[4], 0).is_some(),
        "what is being opened has not left"
    );

    opened(&mut sessions, 6, now);
    assert_eq!(
        ends[0].1.close.try_recv(),
        Ok(Close::Replaced),
        "without such the oldest"
    );
    assert!(ends[1].1.close.try_recv().is_err());
    assert!(sessions.resume([0; 32], 0).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_ticket_holds_one_session_of_its_person() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let open = |sessions: &mut Sessions, ticket: u8, secret: u8| {
        let person = Person::Customer(user("u"));
        let ticket = Ticket {
            digest: [ticket; 32],
            text: format!("ticket {ticket}"),
        };
        let opened = sessions.open_by_ticket(ticket, person, caller("u"), Some([secret; 32]), now);
        opened.unwrap()
    };
    let first = open(&mut sessions, 1, 1);
    let (_, mut ends) = sessions.connect(first, 0).unwrap();
    open(&mut sessions, 2, 2);
    assert!(ends.close.try_recv().is_err(), "another ticket");
    open(&mut sessions, 1, 3);
    assert_eq!(ends.close.try_recv(), Ok(Close::Replaced));
    assert!(sessions.connect(first, 0).is_none());
    assert!(sessions.resume([1; 32], 0).is_none());
    assert!(sessions.resume([2; 32], 0).is_some());

    // Who resumes has heard of his session: its ticket is to be used up, and ends no session any more.
    let mut ticket = || sessions.resume([3; 32], 0).and_then(|resumed| resumed.ticket);
    assert_eq!([ticket(), ticket()], [Some("ticket 1".to_owned()), None]);
    open(&mut sessions, 1, 4);
    assert!(sessions.resume([3; 32], 0).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_may_not_go_on_is_told_so_and_a_session_nobody_is_connected_to_is_gone() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    let (there, away) = (opened(&mut sessions, 1, now), opened(&mut sessions, 2, now));
    let (_, mut ends) = sessions.connect(there, 0).unwrap();
    let keys = |sessions: &Sessions| -> Vec<Key> {
        let held = sessions.of(&Person::Customer(user("u")));
        held.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(&sessions), [there, away]);
    for key in [there, away] {
        sessions.sign_out(key);
    }
    assert_eq!(ends.close.try_recv(), Ok(Close::Unauthenticated));
    assert_eq!(keys(&sessions), [there], "its connection takes leave first");
    assert!(sessions.resume([2; 32], 0).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_node_has_room_for_so_many_sessions_and_not_one_more() {
    let now = Instant::now();
    let mut sessions = Sessions::default();
    for n in 0..SESSIONS_MAX {
        let name = n.to_string();
        let person = Person::Customer(user(&name));
        sessions.open(person, caller(&name), None, now).unwrap();
    }
    let one_more = |sessions: &mut Sessions, now| {
        sessions
            .open(Person::Customer(user("x")), caller("x"), None, now)
            .map(|_| ())
    };
    assert_eq!(one_more(&mut sessions, now), Err(NoEntry::Full));
    let later = now + DETACHED + Duration::from_secs(1);
    assert_eq!(
        one_more(&mut sessions, later),
        Ok(()),
        "those that nobody came back for make room"
    );
}
