//! A defect outside of a packet's work: the worker that meets it loses its allocations, answers on, and says so.

use std::sync::atomic::Ordering;

use ports::{LegId, RelayHealth};
use turn_relay::client::{Asked, Event};

use crate::bench::Bench;
use crate::certificate::Certificate;
use crate::control::{list, shard, start, until};
use crate::user::{User, of_grant, rtp};

/// The sum of all series of this name.
fn sum(bench: &Bench, name: &str) -> f64 {
    let families = bench.registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let all = family.expect("it is registered").get_metric().iter();
    all.map(|one| one.get_counter().get_value() + one.get_gauge().get_value())
        .sum()
}

fn user(bench: &Bench, leg: LegId) -> User {
    let grant = bench.relay().credentials().mint(leg).expect("a grant");
    User::udp(bench.relay().addresses()[0], of_grant(&grant))
}

/// Strikes the worker of this user at his next packet, and waits until it has met the defect.
fn strike(bench: &Bench, user: &mut User) {
    let before = health(bench).panics;
    bench.fuse.store(true, Ordering::Relaxed);
    // That the line ends may be the answer.
    let _ = user.line.say(&user.client, shard(), &rtp(0));
    until("the defect is met", || health(bench).panics > before);
}

fn health(bench: &Bench) -> RelayHealth {
    bench.relay().control().health()
}

#[test]
fn datagrams_are_answered_on_after_a_defect_with_the_orders_that_hold() {
    let certificate = Certificate::new();
    let mut bench = start(&certificate, |_| {});
    let mut others = [user(&bench, LegId(8)), user(&bench, LegId(9))];
    for other in &mut others {
        other.ready(shard());
    }
    let grant = bench.relay().credentials().mint(LegId(7)).expect("a grant");
    let mut beside = User::tcp(bench.relay().addresses()[0], of_grant(&grant));
    beside.ready(shard());
    // Orders from before the defect hold behind it.
    bench.relay().control().rotate_secret().expect("the first time");
    let [first, second] = &mut others;
    second.echo(shard(), &rtp(1));
    strike(&bench, first);
    for other in [first, second] {
        let refused = other.ask(|client, now, id| client.refresh(now, id, 600));
        let gone = Event::Refused {
            asked: Asked::Refresh,
            code: 437,
        };
        assert_eq!(refused, gone);
    }
    let expected = RelayHealth {
        workers: 2,
        alive: 2,
        panics: 1,
    };
    assert_eq!(health(&bench), expected);
    let mut again = user(&bench, LegId(8));
    again.ready(shard());
    again.echo(shard(), &rtp(2));
    beside.echo(shard(), &rtp(3));
    let mut ids: Vec<_> = list(&bench).into_iter().map(|one| one.id).collect();
    ids.sort();
    assert_eq!(
        ids,
        ["0-0-16777216", "1-0-0"],
        "no way of before leads to an allocation of now"
    );
    bench.stop();
    assert!((sum(&bench, "helpline_turn_worker_restarts_total") - 1.0).abs() < f64::EPSILON);
    assert!((sum(&bench, "helpline_turn_allocations") - 2.0).abs() < f64::EPSILON);
}

#[test]
fn connections_are_closed_after_a_defect_and_taken_again() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let mut beside = user(&bench, LegId(6));
    beside.ready(shard());
    let grant = bench.relay().credentials().mint(LegId(7)).expect("a grant");
    for defects in 1..=2 {
        let mut users = [
            User::tcp(bench.relay().addresses()[0], of_grant(&grant)),
            User::tls(bench.relay().addresses()[1], of_grant(&grant), &certificate.trust()),
        ];
        for user in &mut users {
            user.ready(shard());
            user.echo(shard(), &rtp(1));
        }
        strike(&bench, &mut users[0]);
        for user in &mut users {
            assert!(!user.try_echo(shard(), &rtp(2)), "the connection is closed");
        }
        assert_eq!(health(&bench).panics, defects);
        assert_eq!(health(&bench).alive, 2);
        beside.echo(shard(), &rtp(3));
    }
    assert_eq!(list(&bench).len(), 1, "what the closed ones had is gone");
}
