//! Flows over every transport, and what staff and media may do to them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ports::{AllocationView, LegId, LegState, TooSoon, Via};
use turn_relay::client::{Asked, Event};
use turn_relay::core::Limits;
use turn_relay::{Config, Mode};

use crate::bench::Bench;
use crate::certificate::Certificate;
use crate::user::{User, of_grant, rtp};

/// The advertised address of the one shard; nobody listens there.
pub(crate) const SHARD: &str = "192.0.2.10:40000";

pub(crate) fn shard() -> SocketAddr {
    SHARD.parse().expect("an address")
}

/// A relay with virtual addresses, on two free ports of loopback, with TLS.
pub(crate) fn start(certificate: &Certificate, change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = Config::new(Mode::Virtual, &[[127, 0, 0, 1].into()], &[0, 0], "localhost");
    config.tls = Some(certificate.files());
    // Nobody here has the choice between two ways.
    config.stream_limits.head_start_ms = 0;
    change(&mut config);
    Bench::start(config, &[vec![shard()]]).expect("free ports")
}

#[expect(clippy::disallowed_methods, reason = "real threads run in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn block<T>(later: ports::Later<'_, T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(later)
}

pub(crate) fn list(bench: &Bench) -> Vec<AllocationView> {
    let control = bench.relay().control();
    block(control.list())
}

/// Looks until it is as it should be; how long that took.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) -> Duration {
    let begun = now();
    while !is() {
        assert!(now().duration_since(begun) < Duration::from_secs(20), "never: {what}");
        std::thread::yield_now();
    }
    now().duration_since(begun)
}

/// How long it takes the relay to ask media once for every allocation.
const ROUND: Duration = Duration::from_secs(1);
/// How much later a thread of it may run on a busy machine, and some ten times that.
const BUSY: Duration = Duration::from_secs(5);

/// Packets that each flow sends around a change of secret and certificate.
const STREAMED: u32 = 50;
/// Packets of a stream that are under way at a time: 160 ms of a voice.
const UNDER_WAY: u32 = 8;

fn one_of_each(bench: &Bench, certificate: &Certificate, leg: LegId) -> [User; 3] {
    let grant = bench.relay().credentials().mint(leg).expect("a grant");
    let to = bench.relay().addresses();
    let mut users = [
        User::udp(to[0], of_grant(&grant)),
        User::tcp(to[0], of_grant(&grant)),
        User::tls(to[1], of_grant(&grant), &certificate.trust()),
    ];
    for user in &mut users {
        user.ready(shard());
    }
    users
}

#[test]
fn a_grant_opens_a_way_to_the_shard_and_back_over_udp_tcp_and_tls() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |config| config.udp_workers = 2);
    let leg = LegId(5);
    let grant = bench.relay().credentials().mint(leg).expect("a grant");
    let [plain, secure] = [0, 1].map(|n: usize| bench.relay().addresses()[n].port());
    assert_eq!(
        grant.urls,
        [
            format!("turn:localhost:{plain}?transport=udp"),
            format!("turn:localhost:{plain}?transport=tcp"),
            format!("turns:localhost:{secure}?transport=tcp"),
        ]
    );
    let mut users = one_of_each(&bench, &certificate, leg);
    for user in &mut users {
        for n in 0..20 {
            user.echo(shard(), &rtp(n));
        }
    }
    let mut seen = list(&bench);
    seen.sort_by_key(|one| one.via);
    assert_eq!(seen.iter().map(|one| one.via).collect::<Vec<_>>(), Via::ALL);
    for one in &seen {
        assert_eq!(
            (one.leg, one.packets_up, one.packets_down, one.bytes_up, one.channels),
            (leg, 20, 20, 20 * 172, 1)
        );
        assert_eq!(one.flow.len(), 16);
    }
}

#[test]
fn a_hang_up_frees_all_allocations_of_the_leg_within_a_second() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let mut ended = one_of_each(&bench, &certificate, LegId(1));
    let mut other = one_of_each(&bench, &certificate, LegId(2));
    // By the doorbell alone: media goes on saying that the leg lives. A worker reads its letters in order, so whoever asks
    // behind a hang-up finds nothing of the leg.
    bench.relay().control().close_leg(LegId(1));
    let left = list(&bench);
    assert!(left.iter().all(|one| one.leg == LegId(2)), "{left:?}");
    assert_eq!(left.len(), 3);
    for user in &mut other {
        user.echo(shard(), &rtp(1));
    }
    // And without: media says when it is asked, and it is asked once a second for each allocation.
    bench.legs.set(LegId(2), LegState::Gone);
    let took = until("nothing is left", || list(&bench).is_empty());
    assert_eq!(
        bench.legs.asked(LegId(2)),
        other.len(),
        "each was freed when it was first asked for"
    );
    println!("freed after {took:?} by being asked");
    assert!(took <= ROUND + BUSY, "{took:?}");
    for user in ended.iter_mut().chain(&mut other) {
        let refused = user.ask(|client, now, id| client.refresh(now, id, 600));
        assert_eq!(
            refused,
            Event::Refused {
                asked: Asked::Refresh,
                code: 437
            }
        );
    }
}

#[test]
fn staff_end_one_allocation_and_drain_the_relay() {
    let certificate = Certificate::new();
    let bench = start(&certificate, |_| {});
    let control = bench.relay().control();
    let mut users = one_of_each(&bench, &certificate, LegId(3));
    let tcp = list(&bench)
        .into_iter()
        .find(|one| one.via == Via::Tcp)
        .expect("it is there");
    assert!(block(control.kill(&tcp.id)));
    assert!(!block(control.kill(&tcp.id)), "it is gone already");
    assert!(!block(control.kill("7-7-7")));
    assert_eq!(list(&bench).len(), 2);

    let spare = bench.relay().credentials().mint(LegId(3)).expect("a grant");
    control.drain(true);
    assert_eq!(bench.relay().credentials().mint(LegId(4)), None);
    let mut late = User::udp(bench.relay().addresses()[0], of_grant(&spare));
    let refused = |code| Event::Refused {
        asked: Asked::Allocation,
        code,
    };
    assert_eq!(late.allocate(), refused(508));
    users[0].echo(shard(), &rtp(1));
    users[2].echo(shard(), &rtp(1));
    control.drain(false);
    assert!(matches!(late.allocate(), Event::Allocated { .. }));
}

#[test]
fn new_secrets_and_certificates_cost_no_running_flow_a_packet() {
    let mut certificate = Certificate::new();
    // More than a voice sends, as fast as it comes back.
    let bench = start(&certificate, |config| {
        config.limits = Limits {
            packets_per_s: 0,
            bits_per_s: 0,
            ..Limits::default()
        };
    });
    let relay = bench.relay();
    let mut users = one_of_each(&bench, &certificate, LegId(1));
    let old = relay.credentials().mint(LegId(9)).expect("a grant");
    let older_trust = certificate.trust();
    let mut missing = 0;
    for round in 0..3 {
        // In the middle of it, with packets of each under way.
        for user in &mut users {
            (0..UNDER_WAY).for_each(|n| user.say(shard(), round * STREAMED + n));
        }
        certificate.exchange();
        relay.reload_certificate().expect("a good one");
        // Not a second time within the life of a credential: who got his before the first one would be cut off.
        match relay.control().rotate_secret() {
            Ok(()) => assert_eq!(round, 0),
            Err(TooSoon { wait_s }) => assert!(round > 0 && (100..=121).contains(&wait_s), "{wait_s}"),
        }
        for user in &mut users {
            missing += user.stream(shard(), round * STREAMED + UNDER_WAY..(round + 1) * STREAMED, UNDER_WAY);
            // Whoever renews does so with the old name all call long.
            let refreshed = user.ask(|client, now, id| client.refresh(now, id, 600));
            assert!(matches!(refreshed, Event::Refreshed { .. }), "{refreshed:?}");
        }
        // What was minted before still counts.
        let mut late = User::udp(relay.addresses()[0], of_grant(&old));
        assert!(matches!(late.allocate(), Event::Allocated { .. }));
        // New connections get the new certificate and no older one.
        let grant = relay
            .credentials()
            .mint(LegId(20 + u128::from(round)))
            .expect("a grant");
        let mut fresh = User::tls(relay.addresses()[1], of_grant(&grant), &certificate.trust());
        fresh.ready(shard());
        fresh.echo(shard(), &rtp(0));
    }
    let refused = crate::user::tls(relay.addresses()[1], &older_trust).is_err();
    assert!(refused, "the certificate of the beginning is not served any more");
    let streamed: Vec<_> = list(&bench).into_iter().filter(|one| one.leg == LegId(1)).collect();
    assert_eq!(streamed.len(), users.len());
    let said = 3 * u64::from(STREAMED);
    for one in &streamed {
        assert_eq!(one.packets_up, said, "{:?}", one.via);
        assert_eq!(one.packets_down + one.dropped, said, "{:?}", one.via);
        // In front of a stream the relay lets go what has waited for 200 ms, as when the whole machine stands still.
        assert!(one.dropped == 0 || one.via != Via::Udp, "{} of {said}", one.dropped);
    }
    let dropped: u64 = streamed.iter().map(|one| one.dropped).sum();
    assert_eq!(
        u64::from(missing),
        dropped,
        "nothing is lost that the relay does not tell"
    );
    assert!(
        dropped * 10 < said,
        "{dropped} of {said}: no machine stands still that often"
    );
}
