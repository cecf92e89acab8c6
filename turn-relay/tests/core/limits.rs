//! What happens at every limit.

use std::sync::{Arc, Mutex};

use ports::{Accepted, LegId, LegState};
use stun::{attribute, method};
use turn_relay::core::credential::mint;
use turn_relay::core::framing::MESSAGE_BYTES_MAX;
use turn_relay::core::{
    ALLOCATES_PER_PLACE, Config, Core, Limits, Outcome, PORT_REST_S, Quota, Stage, Unusable, Virtual,
};

use crate::bed::{Client, LEG, SHARD_0, SHARD_0_V6, START, bed, channel_data, config, dual, listed, secret, with};

#[test]
fn a_leg_has_six_allocations() {
    let mut bed = dual();
    let mut clients: Vec<_> = (0..5)
        .map(|n| Client::at(&format!("198.51.100.7:{}", 5_000 + n)))
        .collect();
    for client in &mut clients {
        bed.allocate(client);
    }
    // Two at once are one too many, one is not.
    let mut last = Client::at("198.51.100.7:6000");
    let both = |writer: &mut stun::Writer<'_>| writer.attribute(attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    assert_eq!(bed.allocate_with(&mut last, both).code(), 486);
    assert_eq!(bed.allocate_with(&mut last, |_| Ok(())).code(), 0);
    let mut more = Client::at("198.51.100.7:6001");
    assert_eq!(bed.allocate_with(&mut more, |_| Ok(())).code(), 486);
    bed.refresh(&mut clients[0], 0);
    assert_eq!(bed.allocate_with(&mut more, |_| Ok(())).code(), 0, "one was given back");
}

#[test]
fn a_leg_is_counted_over_all_workers() {
    let quota = Arc::new(Mutex::new(Quota::new(&[6; 32])));
    let limits = Limits {
        allocations_per_leg: 3,
        ..Limits::default()
    };
    let of_worker = |worker| {
        let config = Config {
            worker,
            workers: 2,
            limits: limits.clone(),
            quota: Arc::clone(&quota),
            ..config()
        };
        with(config, &[&[SHARD_0]])
    };
    let mut workers = [of_worker(0), of_worker(1)];
    let mut codes = Vec::new();
    for n in 0..4 {
        let mut client = Client::at(&format!("198.51.100.7:{}", 5_000 + n));
        codes.push(workers[n % 2].allocate_with(&mut client, |_| Ok(())).code());
    }
    assert_eq!(codes, [0, 0, 0, 486]);
    for worker in &mut workers {
        worker.core.close_leg(worker.at, LEG, &mut worker.outside);
    }
    assert_eq!(
        quota.lock().expect("no panic").entries(),
        (0, 0),
        "nothing is left of them"
    );
}

#[test]
fn a_prefix_has_its_share() {
    let limits = Limits {
        allocations_per_prefix: 2,
        ..Limits::default()
    };
    for (prefix, elsewhere) in [
        (
            ["198.51.100.7:1", "198.51.100.200:1", "198.51.100.9:1"],
            "198.51.101.7:1",
        ),
        (
            [
                "[2001:db8:0:100::1]:1",
                "[2001:db8:0:1ff::1]:1",
                "[2001:db8:0:120:5::]:1",
            ],
            "[2001:db8:0:200::1]:1",
        ),
    ] {
        let mut bed = with(
            Config {
                limits: limits.clone(),
                ..config()
            },
            &[&[SHARD_0]],
        );
        bed.outside.every_leg = Some(LegState::Live);
        let mut codes = Vec::new();
        for (leg, from) in prefix.into_iter().chain([elsewhere]).enumerate() {
            let mut client = Client::of(LegId(leg as u128), from);
            codes.push(bed.allocate_with(&mut client, |_| Ok(())).code());
        }
        assert_eq!(codes, [0, 0, 486, 0]);
    }
}

#[test]
fn a_full_core_has_no_capacity_and_forgets_the_try() {
    let limits = Limits {
        allocations: 2,
        ..Limits::default()
    };
    let quota = Arc::new(Mutex::new(Quota::new(&[6; 32])));
    let config = Config {
        limits,
        quota: Arc::clone(&quota),
        ..config()
    };
    let mut bed = with(config, &[&[SHARD_0]]);
    bed.outside.every_leg = Some(LegState::Live);
    let codes: Vec<u16> = (0..3u128)
        .map(|leg| {
            let mut client = Client::of(LegId(leg), &format!("198.51.100.7:{}", 5_000 + leg));
            bed.allocate_with(&mut client, |_| Ok(())).code()
        })
        .collect();
    assert_eq!(codes, [0, 0, 508]);
    assert_eq!(
        quota.lock().expect("no panic").entries(),
        (2, 1),
        "the third was given back"
    );
    assert_eq!(bed.core.counters().no_capacity, 1);
}

/// A freed port rests, so who frees and allocates in turn would use up all of them: 256 here.
#[test]
fn a_leg_that_allocates_again_and_again_leaves_addresses_to_others() {
    let config = Config {
        worker: 0,
        workers: 64,
        ..config()
    };
    let mut bed = with(config, &[&[SHARD_0]]);
    let mut churning = Client::at("198.51.100.7:5000");
    let mut codes = Vec::new();
    for _ in 0..300 {
        codes.push(bed.allocate_with(&mut churning, |_| Ok(())).code());
        bed.refresh(&mut churning, 0);
    }
    let made = codes.iter().take_while(|&&code| code == 0).count();
    let per_leg = Limits::default().allocations_per_leg as usize;
    assert_eq!(made, ALLOCATES_PER_PLACE as usize * per_leg);
    assert!(codes[made..].iter().all(|&code| code == 486), "{codes:?}");
    bed.outside.every_leg = Some(LegState::Live);
    let mut other = Client::of(LegId(2), "198.51.100.8:5000");
    assert_eq!(
        bed.allocate_with(&mut other, |_| Ok(())).code(),
        0,
        "another leg has its own"
    );
    // Whoever asked too often may again when his ports have rested.
    bed.advance(u64::from(PORT_REST_S));
    let mut again = Client::at("198.51.100.7:5001");
    (again.user, again.password) = mint(&secret(0), LEG, bed.at.unix_s + 120);
    assert_eq!(bed.allocate_with(&mut again, |_| Ok(())).code(), 0);
}

/// The ports of one worker of 64: 256, and one is a listener's.
#[test]
fn a_virtual_address_is_never_one_of_ours_or_given_twice() {
    let limits = Limits {
        allocations_per_leg: u32::MAX,
        ..Limits::default()
    };
    let mut config = Config {
        worker: 0,
        workers: 64,
        limits,
        ..config()
    };
    config.listeners[0].address = "192.0.2.10:49152".parse().expect("an address");
    let mut bed = with(config, &[&["192.0.2.10:49153"]]);
    let mut ports = std::collections::HashSet::new();
    for n in 0..254 {
        let mut client = Client::at(&format!("198.51.100.7:{}", 5_000 + n));
        assert!(ports.insert(bed.allocate(&mut client).port()));
    }
    let mut late = Client::at("198.51.100.7:9000");
    assert_eq!(bed.allocate_with(&mut late, |_| Ok(())).code(), 508);
    assert!(!ports.contains(&49_152) && !ports.contains(&49_153), "{ports:?}");
    assert!(ports.iter().all(|port| port / 2 % 64 == 0));
}

#[test]
fn an_allocation_of_four_permissions_and_channels() {
    // Five shards behind five addresses, so that five permissions could be wished.
    let shards: Vec<String> = (0..5).map(|n| format!("192.0.2.{}:40000", 10 + n)).collect();
    let lists: Vec<Vec<&str>> = shards.iter().map(|one| vec![one.as_str()]).collect();
    let lists: Vec<&[&str]> = lists.iter().map(Vec::as_slice).collect();
    let mut bed = with(config(), &lists);
    let mut client = Client::at("198.51.100.7:5000");
    bed.allocate(&mut client);
    let all: Vec<&str> = shards.iter().map(String::as_str).collect();
    assert_eq!(bed.permit(&mut client, &all), 508);
    assert_eq!(bed.list()[0].permissions, 0, "all or nothing");
    for (n, peer) in all.iter().take(4).enumerate() {
        assert_eq!(bed.bind(&mut client, 0x4000 + n as u16, peer), 0);
    }
    assert_eq!(bed.permit(&mut client, &all[4..]), 508);
    assert_eq!(bed.bind(&mut client, 0x4004, all[4]), 508);
    assert_eq!(bed.permit(&mut client, &all[..4]), 0, "to renew is always possible");
}

#[test]
fn one_request_names_32_peers_at_most() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    assert_eq!(bed.permit(&mut client, &[SHARD_0; 32]), 0);
    assert_eq!(bed.permit(&mut client, &[SHARD_0; 33]), 508);
}

#[test]
fn a_worker_that_ends_gives_its_quota_back() {
    let quota = Arc::new(Mutex::new(Quota::new(&[6; 32])));
    let config = Config {
        quota: Arc::clone(&quota),
        ..config()
    };
    let mut bed = with(config, &[&[SHARD_0]]);
    bed.allocate(&mut Client::at("198.51.100.7:5000"));
    assert_eq!(quota.lock().expect("no panic").entries(), (1, 1));
    drop(bed);
    assert_eq!(quota.lock().expect("no panic").entries(), (0, 0));
}

#[test]
fn an_allow_list_allocation_has_sixteen_and_new_peers_are_counted_per_second() {
    let peers: Vec<String> = (1..=17).map(|n| format!("127.0.0.{n}:9000")).collect();
    let peers: Vec<&str> = peers.iter().map(String::as_str).collect();
    let mut bed = listed(&peers, &["127.0.0.1:3478"]);
    let mut client = Client::at("127.0.0.1:5000");
    bed.allocate(&mut client);
    assert_eq!(bed.permit(&mut client, &peers[..6]), 403, "six at once");
    assert_eq!(bed.permit(&mut client, &peers[..5]), 0);
    assert_eq!(bed.permit(&mut client, &peers[5..6]), 403, "the second is not over");
    assert_eq!(bed.permit(&mut client, &peers[..5]), 0, "old ones do not count");
    for five in [&peers[5..10], &peers[10..15], &peers[15..16]] {
        bed.advance(1);
        assert_eq!(bed.permit(&mut client, five), 0);
    }
    bed.advance(1);
    assert_eq!(bed.permit(&mut client, &peers[16..]), 508);
}

#[test]
fn a_client_sends_200_packets_a_second_and_256_kbit() {
    for (bytes, burst) in [(20, 200), (160, 200), (200, 160), (1_000, 32)] {
        let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
        bed.allocate(&mut client);
        bed.bind(&mut client, 0x4000, SHARD_0);
        let data = channel_data(0x4000, &vec![0x80; bytes]);
        let mut sent = 0;
        while bed.hand(client.flow, &data) == Outcome::Relayed {
            sent += 1;
        }
        assert_eq!(sent, burst, "{bytes} bytes at once");
        assert_eq!(bed.hand(client.flow, &data), Outcome::Dropped(Stage::Bucket));
        let mut steady = 0;
        for _ in 0..1_000 {
            bed.advance_ns(10_000_000);
            steady += u32::from(bed.hand(client.flow, &data) == Outcome::Relayed);
        }
        assert!(
            steady.abs_diff((10 * burst).min(1_000)) <= 1,
            "{steady} of {bytes} bytes in 10 s"
        );
        let view = &bed.list()[0];
        assert_eq!(view.packets_up, u64::from(sent + steady));
        assert_eq!(view.bytes_up, u64::from(sent + steady) * bytes as u64);
        assert_eq!(view.dropped, 2 + 1_000 - u64::from(steady));
    }
}

#[test]
fn a_datagram_of_2048_bytes_is_the_longest() {
    let (mut bed, client) = (bed(), Client::at("198.51.100.7:5000"));
    for (len, stage) in [
        (MESSAGE_BYTES_MAX, Stage::Header),
        (MESSAGE_BYTES_MAX + 1, Stage::Length),
    ] {
        assert_eq!(bed.hand(client.flow, &vec![0; len]), Outcome::Dropped(stage));
    }
}

#[test]
fn a_full_ring_drops_and_counts() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.allocate(&mut client);
    bed.bind(&mut client, 0x4000, SHARD_0);
    bed.outside.accept = Accepted::Full;
    let data = channel_data(0x4000, &[0x80; 20]);
    assert_eq!(bed.hand(client.flow, &data), Outcome::Dropped(Stage::Ring));
    let place = Stage::ALL
        .iter()
        .position(|&stage| stage == Stage::Ring)
        .expect("it is there");
    assert_eq!(bed.core.counters().dropped[place], 1);
    assert_eq!(bed.list()[0].dropped, 1);
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let make = |config, shards: &[Vec<_>]| Core::<Virtual>::new(START, config, shards).err();
    let one = vec![vec![SHARD_0.parse().expect("an address")]];
    assert_eq!(make(config(), &[]), Some(Unusable::NoCandidates));
    let many = vec![vec![SHARD_0_V6.parse().expect("an address"); 257]];
    assert_eq!(make(config(), &many), Some(Unusable::TooManyCandidates));
    for (worker, workers) in [(0, 0), (1, 1), (0, 65)] {
        let config = Config {
            worker,
            workers,
            ..config()
        };
        assert_eq!(make(config, &one), Some(Unusable::Worker(worker, workers)));
    }
    for realm in [String::new(), "x".repeat(65)] {
        assert_eq!(make(Config { realm, ..config() }, &one), Some(Unusable::Realm));
    }
    let longest = Config {
        realm: "x".repeat(64),
        ..config()
    };
    let mut bed = with(longest, &[&[SHARD_0]]);
    let mut client = Client::at("198.51.100.7:5000");
    let bare = client.bare(method::ALLOCATE, |_| Ok(()));
    assert_eq!(bed.ask_code(&client, &bare), 401);
}

#[test]
fn every_error_number_has_its_counter() {
    let (mut bed, mut client) = (bed(), Client::at("198.51.100.7:5000"));
    bed.greet(&mut client);
    bed.refresh(&mut client, 600);
    bed.permit(&mut client, &[]);
    let counters = bed.core.counters();
    let of = |code| {
        let place = turn_relay::core::ERROR_CODES.iter().position(|&known| known == code);
        counters.errors[place.expect("a known number")]
    };
    assert_eq!((of(401), of(437), of(400)), (1, 2, 0));
    assert_eq!(counters.no_capacity, 0);
}
