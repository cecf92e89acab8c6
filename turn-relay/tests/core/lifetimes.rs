//! What ends when: nonces, allocations, permissions, channels, resting ports, legs.

use ports::{LegId, LegState, Via};
use turn_relay::core::{NonceKey, Outcome, Stage};

use crate::bed::{Client, LEG, SHARD_0, SHARD_1, bed, channel_data, config, secret, with};

#[test]
fn a_nonce_is_good_for_600_seconds() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.advance(600);
    assert_eq!(bed.refresh(&mut client, 3_600).code(), 0);
    bed.advance(1);
    let stale = bed.refresh(&mut client, 3_600);
    assert_eq!(stale.code(), 438);
    client.heed(&stale);
    assert_eq!(bed.refresh(&mut client, 3_600).code(), 0, "the fresh one comes along");
    assert_eq!(bed.core.counters().nonce_age_s, 0);
}

#[test]
fn a_nonce_survives_one_change_of_its_key() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.core.set_nonce_key(NonceKey::new(1, &[1; 32]));
    assert_eq!(bed.refresh(&mut client, 600).code(), 0);
    bed.core.set_nonce_key(NonceKey::new(2, &[2; 32]));
    assert_eq!(bed.refresh(&mut client, 600).code(), 438);
}

#[test]
fn a_nonce_from_before_the_seconds_wrapped_is_still_young() {
    let mut bed = bed();
    // 30 bits of seconds wrap here.
    bed.at.unix_s = (1 << 30) * 2 - 10;
    let mut client = Client::at("198.51.100.7:5000");
    (client.user, client.password) = turn_relay::core::credential::mint(&secret(0), LEG, bed.at.unix_s + 120);
    bed.allocate(&mut client);
    bed.advance(20);
    assert_eq!(bed.refresh(&mut client, 600).code(), 0);
    bed.advance(600);
    assert_eq!(bed.refresh(&mut client, 600).code(), 438);
}

#[test]
fn an_allocation_ends_600_seconds_after_its_last_refresh() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    for _ in 0..3 {
        bed.advance(599);
        bed.tick();
        bed.fresh_nonce(&mut client);
        assert_eq!(bed.refresh(&mut client, 600).code(), 0);
    }
    bed.advance(599);
    bed.tick();
    assert_eq!(bed.core.allocations(), 1);
    bed.advance(1);
    bed.tick();
    assert_eq!(bed.core.allocations(), 0);
    assert_eq!(bed.outside.freed, vec![client.flow]);
    assert_eq!(bed.core.wake_at(), None, "nothing to wait for");
    let footprint = bed.core.footprint();
    assert_eq!((footprint.flows, footprint.legs), (0, 0));
}

#[test]
fn a_shorter_wish_than_before_ends_earlier_and_leaves_no_timers() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    for round in 0..100 {
        let lifetime = bed
            .refresh(&mut client, if round % 2 == 0 { 3_600 } else { 600 })
            .lifetime();
        assert_eq!(lifetime, Some(if round % 2 == 0 { 3_600 } else { 600 }));
    }
    assert_eq!(bed.core.footprint().timers, 1);
    for lifetime in (600..=3_600).rev() {
        bed.refresh(&mut client, lifetime);
        assert_eq!(bed.core.footprint().timers, 1, "{lifetime}");
    }
    bed.refresh(&mut client, 3_600);
    bed.advance(1);
    bed.refresh(&mut client, 600);
    bed.advance(600);
    bed.tick();
    assert_eq!(bed.core.allocations(), 0);
}

#[test]
fn a_pause_longer_than_the_wheel_ends_everything() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.refresh(&mut client, 3_600);
    bed.advance(3 * 4_096);
    bed.tick();
    let footprint = bed.core.footprint();
    assert_eq!((bed.core.allocations(), footprint.timers), (0, 0));
}

/// Nobody ticks while nothing is allocated.
#[test]
fn an_allocation_after_a_long_idle_time_ends_like_any_other() {
    for idle in [400, 500, 3_000, 4_096, 5_000, 100_000] {
        let mut bed = bed();
        bed.advance(idle);
        let mut client = Client::at("198.51.100.7:5000");
        (client.user, client.password) = turn_relay::core::credential::mint(&secret(0), LEG, bed.at.unix_s + 120);
        let hour = |writer: &mut stun::Writer<'_>| writer.attribute(stun::attribute::LIFETIME, &3_600u32.to_be_bytes());
        assert_eq!(bed.allocate_with(&mut client, hour).lifetime(), Some(3_600));
        bed.tick();
        bed.advance(3_599);
        bed.tick();
        assert_eq!(bed.core.allocations(), 1, "after {idle} s");
        bed.advance(1);
        bed.tick();
        assert_eq!(
            (bed.core.allocations(), bed.core.footprint().timers),
            (0, 0),
            "after {idle} s"
        );
    }
}

#[test]
fn a_permission_ends_after_300_seconds_and_its_channel_lives_on() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_0), 0);
    let data = channel_data(0x4000, &[0x80; 20]);
    bed.advance(299);
    assert_eq!(bed.hand(client.flow, &data), Outcome::Relayed);
    bed.advance(1);
    assert_eq!(
        bed.hand(client.flow, &data),
        Outcome::Dropped(Stage::Channel),
        "no permission"
    );
    assert_eq!(bed.list()[0].channels, 1);
    assert_eq!(bed.permit(&mut client, &[SHARD_0]), 0);
    assert_eq!(
        bed.hand(client.flow, &data),
        Outcome::Relayed,
        "the channel was still there"
    );
}

#[test]
fn a_channel_ends_after_600_seconds_and_both_are_free_again() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_0), 0);
    bed.refresh(&mut client, 3_600);
    bed.advance(599);
    assert_eq!(bed.permit(&mut client, &[SHARD_0]), 0);
    let data = channel_data(0x4000, &[0x80; 20]);
    assert_eq!(bed.hand(client.flow, &data), Outcome::Relayed);
    bed.advance(1);
    assert_eq!(bed.hand(client.flow, &data), Outcome::Dropped(Stage::Channel));
    bed.advance(1);
    bed.fresh_nonce(&mut client);
    assert_eq!(bed.bind(&mut client, 0x4000, SHARD_1), 0, "another peer for the number");
    assert_eq!(bed.bind(&mut client, 0x4001, SHARD_0), 0, "another number for the peer");
}

#[test]
fn a_freed_port_rests_120_seconds() {
    // 64 workers leave 256 ports each: soon all have been used.
    let limits = turn_relay::core::Limits {
        allocations_per_leg: u32::MAX,
        ..Default::default()
    };
    let mut bed = with(
        turn_relay::core::Config {
            worker: 63,
            workers: 64,
            limits,
            ..config()
        },
        &[&[SHARD_0]],
    );
    let mut ports = std::collections::HashSet::new();
    for n in 0..256 {
        let mut client = Client::at(&format!("198.51.100.7:{}", 5_000 + n));
        let relayed = bed.allocate(&mut client);
        assert_eq!(relayed.port() / 2 % 64, 63, "the worker is in the port");
        assert!(ports.insert(relayed.port()), "twice the same");
        bed.refresh(&mut client, 0);
    }
    let mut late = Client::at("198.51.100.7:9000");
    assert_eq!(bed.allocate_with(&mut late, |_| Ok(())).code(), 508, "all of them rest");
    bed.advance(119);
    assert_eq!(bed.allocate_with(&mut late, |_| Ok(())).code(), 508);
    bed.advance(1);
    (late.user, late.password) = turn_relay::core::credential::mint(&secret(0), LEG, bed.at.unix_s + 100);
    assert_eq!(bed.allocate_with(&mut late, |_| Ok(())).code(), 0);
}

#[test]
fn a_hang_up_frees_every_allocation_of_the_leg_and_no_other() {
    let mut bed = bed();
    let other = LegId(77);
    bed.outside.legs.insert(other, LegState::Live);
    let mut clients: Vec<_> = (0..5)
        .map(|n| Client::at(&format!("198.51.100.7:{}", 5_000 + n)))
        .collect();
    clients.insert(2, Client::of(other, "198.51.100.7:6000"));
    for client in &mut clients {
        bed.allocate(client);
    }
    // One from the middle of the chain goes first.
    bed.refresh(&mut clients[3], 0);
    assert_eq!(bed.core.close_leg(bed.at, LEG, &mut bed.outside), 4);
    assert_eq!(bed.core.allocations(), 1);
    assert_eq!(bed.list()[0].leg, other);
    assert_eq!(bed.core.close_leg(bed.at, LEG, &mut bed.outside), 0);
    assert_eq!(bed.outside.freed.len(), 5);
}

#[test]
fn a_leg_that_is_gone_is_found_within_a_second() {
    for state in [LegState::Gone, LegState::Unknown] {
        let mut bed = bed();
        for n in 0..200u128 {
            let leg = LegId(n);
            bed.outside.legs.insert(leg, LegState::Live);
            bed.allocate(&mut Client::of(leg, &format!("198.51.100.7:{}", 5_000 + n)));
        }
        for n in 0..200 {
            if n % 2 == 0 {
                bed.outside.legs.insert(LegId(n), state);
            }
        }
        let mut most_at_once = 0;
        for _ in 0..20 {
            let before = bed.core.allocations();
            bed.advance_ns(50_000_000);
            bed.tick();
            most_at_once = most_at_once.max(before - bed.core.allocations());
        }
        assert_eq!(bed.core.allocations(), 100);
        assert!(most_at_once <= 8, "in slices, not all at once: {most_at_once}");
    }
}

#[test]
fn a_refresh_for_a_leg_that_is_gone_frees() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.outside.legs.insert(LEG, LegState::Gone);
    assert_eq!(bed.refresh(&mut client, 600).code(), 437);
    assert_eq!(bed.core.allocations(), 0);
}

#[test]
fn a_closed_stream_takes_its_allocation_along() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    client.flow.via = Via::Tcp;
    client.flow.local = 2;
    client.flow.connection = 12;
    bed.allocate(&mut client);
    assert!(bed.core.holds(&client.flow));
    assert_eq!(bed.core.counters().allocations[1], [1, 0, 0]);
    let mut later = client.flow;
    later.connection = 13;
    bed.core.closed(bed.at, &later, &mut bed.outside);
    assert!(bed.core.holds(&client.flow), "another connection from the same address");
    bed.core.closed(bed.at, &client.flow, &mut bed.outside);
    assert!(!bed.core.holds(&client.flow));
}

#[test]
fn staff_end_one_allocation_by_its_name() {
    let mut bed = bed();
    let (mut one, mut two) = (Client::at("198.51.100.7:5000"), Client::at("198.51.100.7:5001"));
    bed.allocate(&mut one);
    bed.allocate(&mut two);
    let list = bed.list();
    assert!(
        list.iter().all(|view| !format!("{view:?}").contains("198.51.100.7")),
        "{list:?}"
    );
    assert_ne!(list[0].flow, list[1].flow);
    assert_eq!(list[0].flow.len(), 16);
    for wrong in ["", "0", "0-0", "1-0-0", "0-9-0", "0-0-1", "0-0-0-0", "x-y-z"] {
        assert!(!bed.core.kill(bed.at, wrong, &mut bed.outside), "{wrong}");
    }
    assert!(bed.core.kill(bed.at, &list[0].id, &mut bed.outside));
    assert!(!bed.core.kill(bed.at, &list[0].id, &mut bed.outside), "gone");
    assert!(!bed.core.holds(&one.flow) && bed.core.holds(&two.flow));
}
