//! The tables by themselves: secrets, places, ends.

use super::*;

fn new(leg: u128, room: u128) -> NewLeg {
    let slots = [SlotParams {
        ssrc: 1,
        sequence: 1,
        timestamp: 1,
    }; SLOTS_PER_LEG_MAX];
    NewLeg {
        leg: LegId(leg),
        room: CallId(room),
        part: Part::Customer,
        uplink: true,
        red: Red::Offer,
        now: 7,
        first_offer_by: 100,
        slots,
    }
}

/// Every shard takes rooms.
fn any(_: usize) -> bool {
    true
}

fn digest(n: u8) -> Digest {
    [n; 32]
}

#[test]
fn a_secret_leads_to_its_leg_until_a_newer_one_is_used() {
    let mut registry = Registry::new(1, 100, 4);
    registry.admit(new(1, 9), digest(1), any).unwrap();
    registry.admit(new(1, 9), digest(2), any).unwrap();
    assert!(registry.by_secret(&digest(1)).is_ok());
    registry.used(&digest(2));
    assert!(matches!(registry.by_secret(&digest(1)), Err(Refusal::UnknownGrant)));
    assert_eq!(registry.by_secret(&digest(2)).unwrap().0, LegId(1));
    registry.remove_leg(LegId(1));
    assert!(matches!(registry.by_secret(&digest(2)), Err(Refusal::UnknownGrant)));
}

#[test]
fn a_page_is_told_the_certificate_of_its_own_association() {
    let print = |n| Fingerprint([n; 32]);
    let mut registry = Registry::new(1, 100, 4);
    registry.admit(new(1, 9), digest(1), any).unwrap();
    let leg = registry.by_secret(&digest(1)).unwrap().2;
    assert_eq!(leg.shown_to(print(1)), None);
    leg.shows(print(1), print(101), TransportId(1));
    leg.shows(print(2), print(102), TransportId(2));
    assert_eq!(leg.shown_to(print(1)), Some(print(101)));
    assert_eq!(leg.shown_to(print(9)), Some(print(102)), "the newest");
    leg.shows(print(1), print(103), TransportId(3));
    assert_eq!(leg.shown_to(print(1)), Some(print(103)), "answered again");
    for page in 3..2 + PAGES_PER_LEG_MAX as u8 {
        leg.shows(print(page), print(100 + page), TransportId(100 + u64::from(page)));
    }
    assert_eq!(leg.shown.len(), PAGES_PER_LEG_MAX);
    assert_eq!(
        leg.shown_to(print(1)),
        Some(print(103)),
        "the last of those that are kept"
    );
    leg.shows(print(77), print(177), TransportId(77));
    assert_eq!(leg.shown_to(print(1)), Some(print(177)), "forgotten");
}

#[test]
fn a_page_is_forgotten_with_its_newest_transport_and_with_no_other_one() {
    let page = |n: u8| Page {
        ufrag: format!("page{n}"),
        pwd: String::new(),
        fingerprint: Fingerprint([n; 32]),
    };
    let mut registry = Registry::new(1, 100, 4);
    registry.admit(new(1, 9), digest(1), any).unwrap();
    // The second page has offered twice with one certificate.
    for (n, transport) in [(1, 11), (2, 12), (2, 13)] {
        let leg = registry.by_secret(&digest(1)).unwrap().2;
        leg.page = Some(page(n));
        leg.shows(Fingerprint([n; 32]), Fingerprint([n; 32]), TransportId(transport));
    }
    for (transport, known) in [(11, true), (12, true), (99, true), (13, false)] {
        registry.transport_ended(LegId(1), TransportId(transport));
        let leg = registry.leg(LegId(1)).unwrap();
        assert_eq!(leg.page == Some(page(2)), known, "{transport}");
        assert_eq!(leg.knows(Fingerprint([2; 32])), known, "{transport}");
    }
}

#[test]
fn a_leg_keeps_only_so_many_secrets() {
    let mut registry = Registry::new(1, 100, 4);
    for n in 0..=SECRETS_PER_LEG_MAX as u8 {
        registry.admit(new(1, 9), digest(n), any).unwrap();
    }
    assert!(registry.by_secret(&digest(0)).is_err());
    assert!(registry.by_secret(&digest(SECRETS_PER_LEG_MAX as u8)).is_ok());
}

#[test]
fn a_room_takes_eight_legs_and_not_nine() {
    let mut registry = Registry::new(1, 100, 4);
    for n in 0..LEGS_PER_ROOM_MAX as u8 {
        registry.admit(new(u128::from(n), 9), digest(n), any).unwrap();
    }
    assert_eq!(
        registry.admit(new(99, 9), digest(99), any),
        Err(Refusal::Limit("legs_per_room"))
    );
}

#[test]
fn rooms_spread_over_shards_and_are_refused_when_all_are_full() {
    let mut registry = Registry::new(2, 8, 4);
    for room in 0..4 {
        registry.admit(new(room, room), digest(room as u8), any).unwrap();
    }
    let shards: Vec<_> = (0..4).map(|room| registry.shard_of(CallId(room)).unwrap()).collect();
    assert_eq!(shards, [0, 1, 0, 1]);
    assert_eq!(
        registry.admit(new(9, 9), digest(9), any),
        Err(Refusal::Full { retry_after_s: 5 })
    );
    registry
        .admit(new(10, 0), digest(10), any)
        .expect("a room that lives may add legs");
    assert!(registry.remove_room(CallId(1)));
    registry.admit(new(9, 9), digest(9), any).expect("there is room again");
    assert_eq!(registry.counts(), (5, 4));
}

#[test]
fn a_closed_room_is_over_with_the_last_report_of_its_attached_legs() {
    let mut registry = Registry::new(1, 100, 4);
    for n in 1..=3 {
        registry.admit(new(n, 9), digest(n as u8), any).unwrap();
    }
    for n in 1..=2 {
        registry.by_secret(&digest(n)).unwrap().2.attached = true;
    }
    assert_eq!(registry.leg_up(LegId(2)), Some(0));
    assert!(!registry.remove_room(CallId(9)));
    assert!(!registry.remove_room(CallId(9)), "closing twice changes nothing");
    let ended = |registry: &Registry, leg| registry.ending(CallId(9), LegId(leg)).map(|leg| leg.was_up);
    assert_eq!(
        [1, 2, 3].map(|leg| ended(&registry, leg)),
        [Some(false), Some(true), None]
    );
    assert!(!registry.leg_ended(CallId(9), LegId(1)));
    assert!(!registry.leg_ended(CallId(9), LegId(1)), "told twice it is one end");
    assert!(registry.leg_ended(CallId(9), LegId(2)));
    assert!(!registry.leg_ended(CallId(9), LegId(2)));
    assert!(registry.remove_room(CallId(9)));
    assert_eq!((registry.counts(), registry.load[0]), ((0, 0), (0, 0)));
}

#[test]
fn a_leg_without_an_offer_is_overdue_at_its_time() {
    let mut registry = Registry::new(1, 100, 4);
    registry.admit(new(1, 9), digest(1), any).unwrap();
    assert!(registry.overdue(99).is_empty());
    assert_eq!(registry.overdue(100), [LegId(1)]);
    registry.by_secret(&digest(1)).unwrap().2.attached = true;
    assert!(registry.overdue(100).is_empty());
}

#[test]
fn a_room_goes_where_it_is_taken_and_one_that_lives_asks_nobody() {
    let mut registry = Registry::new(2, 100, 2);
    registry.admit(new(1, 1), digest(1), |shard| shard == 1).unwrap();
    assert_eq!(registry.shard_of(CallId(1)), Some(1));
    let nobody = |_| false;
    assert!(registry.is_full(nobody) && !registry.is_full(any) && !registry.is_out_of_legs());
    let refused = Err(Refusal::Full {
        retry_after_s: RETRY_AFTER_S,
    });
    assert_eq!(registry.admit(new(2, 2), digest(2), nobody), refused);
    registry.admit(new(3, 1), digest(3), nobody).expect("its room lives");
    assert_eq!(registry.all_rooms(), (vec![CallId(1)], Some(7)));
    assert_eq!(
        registry
            .legs_of(1, |part, uplink| part == Part::Customer && uplink)
            .len(),
        2
    );
    assert!(registry.legs_of(1, |part, _| part == Part::Supervisor).is_empty());
}

#[test]
fn a_plan_that_comes_behind_a_newer_one_is_late_until_its_room_begins_anew() {
    let room = CallId(9);
    let mut registry = Registry::new(1, 100, 4);
    assert!(!registry.takes_plan(room, 1), "nobody knows the room");
    registry.admit(new(1, 9), digest(1), any).unwrap();
    registry.admit(new(2, 8), digest(2), any).unwrap();
    assert!(registry.takes_plan(room, 3));
    assert!(registry.takes_plan(room, 3), "told twice");
    assert!(!registry.takes_plan(room, 2));
    assert!(registry.takes_plan(CallId(8), 2), "each room by itself");
    assert!(registry.takes_plan(room, 4));
    registry.remove_room(room);
    registry.admit(new(1, 9), digest(1), any).unwrap();
    assert!(registry.takes_plan(room, 1));
}

#[test]
fn a_shard_takes_no_more_legs_than_its_engine_holds_whoever_asks() {
    let digest = |n: u128| {
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&n.to_be_bytes());
        digest
    };
    let mut registry = Registry::new(1, u32::MAX, 2);
    let rooms = u128::from(LEGS_PER_SHARD_MAX / 2);
    for room in 0..rooms {
        registry.admit(new(room, room), digest(room), any).unwrap();
    }
    assert!(registry.is_out_of_legs(), "no room more");
    for room in 0..rooms {
        registry
            .admit(new(rooms + room, room), digest(rooms + room), any)
            .unwrap();
    }
    let one_more = registry.admit(new(2 * rooms, 0), digest(2 * rooms), any);
    assert_eq!(one_more, Err(Refusal::Limit("legs_per_shard")));
    assert_eq!(registry.counts().0, LEGS_PER_SHARD_MAX as usize);
    registry.remove_leg(LegId(1));
    registry
        .admit(new(2 * rooms, 0), digest(2 * rooms), any)
        .expect("a leg has gone");
}

#[test]
fn a_room_without_legs_is_abandoned_so_long_after_the_first_look_and_not_once_somebody_has_come() {
    let room = CallId(9);
    let mut registry = Registry::new(1, 100, 4);
    registry.admit(new(1, 9), digest(1), any).unwrap();
    assert!(registry.abandoned(10).is_empty());
    registry.remove_leg(LegId(1));
    assert!(registry.abandoned(20).is_empty(), "seen for the first time");
    assert!(registry.abandoned(20 + ROOM_EMPTY_NS - 1).is_empty());
    assert_eq!(registry.abandoned(20 + ROOM_EMPTY_NS), [room]);
    registry.admit(new(2, 9), digest(2), any).unwrap();
    assert!(registry.abandoned(20 + ROOM_EMPTY_NS).is_empty());
    registry.remove_leg(LegId(2));
    let later = 30 + ROOM_EMPTY_NS;
    assert!(registry.abandoned(later).is_empty(), "counted anew");
    assert_eq!(registry.abandoned(later + ROOM_EMPTY_NS), [room]);
}
