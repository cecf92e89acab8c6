//! Tests of `control`.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use call_model::{CallId, LegId};
use media_core::TransportId;
use media_core::dtls::Certificate;
use media_core::shard::Ended;
use ports::{AllocationView, Later, LegGrant, Media, Part, Red, RelayControl, RelayHealth, Secret, TooSoon};

use testkit::peer::{Numbers, Peer};

use super::*;
use crate::admission::BUSY_SHED;
use crate::metrics::turning::Turning;

pub(super) async fn admit(media: &dyn Media, n: u8, room: u128, part: Part, uplink: bool) {
    let grant = LegGrant {
        secret: Secret::new([n; 32]),
        leg: LegId(u128::from(n)),
        room: CallId(room),
        part,
        uplink,
        red: Red::Off,
        first_offer_s: 120,
    };
    media.admit(grant).await.expect("there is room");
}

/// A server with a folder and a free port of its own, and a control beside its own whose figures nobody sees.
pub(super) fn running(name: &str, shards: usize) -> (std::path::PathBuf, crate::MediaServer, Control) {
    let folder = std::env::temp_dir().join(format!("helpline-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let here = vec![std::net::IpAddr::from([127, 0, 0, 1])];
    let mut config = crate::Config::new(folder.clone(), "test".to_owned(), 1, here.clone(), here);
    config.base_port = 0;
    config.shards = shards;
    let server = crate::MediaServer::start(config, &prometheus::Registry::new()).expect("media starts");
    let metrics = Metrics::new(&prometheus::Registry::new(), 1).expect("a registry of its own");
    let control = Control::new(Arc::clone(server.shared()), metrics, Vec::new());
    (folder, server, control)
}

#[tokio::test]
async fn ten_defects_in_a_minute_empty_the_node_and_nine_do_not() {
    let (folder, server, mut control) = running("defects", 1);
    let media = server.media();
    admit(&*media, 1, 1, Part::Customer, true).await;
    let mut report = |panics| {
        let totals = Totals {
            panics,
            ..Totals::default()
        };
        control.take(0, Report::Totals(Box::new(totals), Gauges::default()));
        control.metrics.clone()
    };
    report(9);
    assert!(media.draining().is_none());
    let metrics = report(10);
    let draining = media.draining().expect("the node empties itself");
    assert_eq!(metrics.panic_drains(), 1);
    assert!(
        u64::from(draining.closes_in_s) > drain::DRAIN_S - 60,
        "calls may end by themselves"
    );
    assert_eq!(media.load().legs, 1, "who is in stays in");
    assert!(media.load().draining, "and the desk takes no new call here");

    // Undone, it takes another ten; and an emptying that somebody else has begun keeps its deadline.
    media.drain(None);
    report(19);
    assert!(media.draining().is_none());
    media.drain(Some(7));
    assert_eq!(report(20).panic_drains(), 2);
    assert!(media.draining().is_some_and(|draining| draining.closes_in_s <= 7));
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}

/// A relay of two workers that is as well as a test wants.
#[derive(Default)]
struct Relay {
    silent: AtomicUsize,
    panics: AtomicU64,
}

impl RelayControl for Relay {
    fn close_leg(&self, _: LegId) {}

    fn list(&self) -> Later<'_, Vec<AllocationView>> {
        Box::pin(async { Vec::new() })
    }

    fn kill<'a>(&'a self, _: &'a str) -> Later<'a, bool> {
        Box::pin(async { false })
    }

    fn drain(&self, _: bool) {}

    fn health(&self) -> RelayHealth {
        RelayHealth {
            workers: 2,
            alive: 2 - self.silent.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
        }
    }

    fn rotates_in_s(&self) -> u32 {
        0
    }

    fn rotate_secret(&self) -> Result<(), TooSoon> {
        Ok(())
    }
}

#[test]
fn a_silent_worker_of_the_relay_is_a_dead_node_and_its_defects_count_with_those_of_the_shards() {
    let (folder, server, mut control) = running("relay-health", 1);
    let media = server.media();
    assert!(media.alive(), "without a relay the shards are all");
    let relay = Arc::new(Relay::default());
    server.attach_relay(Arc::<Relay>::clone(&relay), Vec::new());
    assert!(media.alive());
    relay.silent.store(1, Ordering::Relaxed);
    assert!(!media.alive());
    let turning = Turning::register(&prometheus::Registry::new(), server.shared()).expect("a registry of its own");
    assert_eq!(turning.seen(0), [1, 1, 2, 1]);
    relay.silent.store(0, Ordering::Relaxed);
    assert!(media.alive());

    relay.panics.store(5, Ordering::Relaxed);
    control.look_at_relay();
    control.count_panics(4);
    control.look_at_relay();
    assert!(media.draining().is_none(), "nine, each counted once");
    relay.panics.store(6, Ordering::Relaxed);
    control.look_at_relay();
    assert!(media.draining().is_some());
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn a_page_whose_transport_has_ended_is_answered_with_another_one() {
    let (folder, server, mut control) = running("ended", 1);
    let media = server.media();
    admit(&*media, 1, 1, Part::Customer, true).await;
    let numbers = Numbers {
        opus: 111,
        level: 1,
        ssrc: 10,
        sequence: 7,
        timestamp: 99,
    };
    let page = Peer::new(numbers, Certificate::generate().expect("a certificate"), 5);
    let offer = page.offer();
    let fragment = async || {
        let answer = media.offer(Secret::new([1; 32]), ports::Sdp(offer.clone())).await;
        let sdp = answer.expect("an answer").sdp.0;
        let line = sdp.lines().find(|line| line.starts_with("a=ice-ufrag:"));
        line.expect("a fragment").to_owned()
    };
    let first = fragment().await;
    let transport = TransportId(server.shared().next_transport.load(Ordering::Relaxed) - 1);
    assert_eq!(fragment().await, first, "the page goes on");
    let mut end = |transport| {
        let leg = media_core::LegId(1);
        control.take(0, Report::Ended(Ended { leg, transport }));
    };
    end(TransportId(transport.0 + 1));
    assert_eq!(fragment().await, first, "that was another one");
    end(transport);
    let second = fragment().await;
    assert_ne!(second, first);
    end(transport);
    assert_eq!(fragment().await, second, "and with that it goes on");
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn silence_has_no_worst_minute_and_a_listener_has_one_while_he_says_nothing() {
    use media_core::{LegId as Leg, RoomId, TapId, matrix};
    let (folder, server, mut control) = running("silence", 1);
    admit(&*server.media(), 1, 1, Part::Agent, true).await;
    let mut heard = |direction, voiced| {
        let empty = Second::empty(Leg(1), RoomId(1), TapId(1), matrix::Part::Agent, direction, 0);
        control.second(Second {
            rating: Some(20.0),
            voiced,
            ..empty
        });
        let scores = control.legs.get(&Leg(1));
        let worst = |way: usize| scores.and_then(|scores| scores[way].mos_worst_minute());
        [worst(0).is_some(), worst(1).is_some()]
    };
    assert_eq!(heard(Direction::Up, 0), [false, false]);
    assert_eq!(heard(Direction::Down, 0), [false, true]);
    assert_eq!(heard(Direction::Up, 1), [true, true]);
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn over_both_hops_those_are_judged_who_hear_one_another_by_the_plan() {
    use media_core::{LegId as Leg, RoomId, TapId};
    use ports::Stance;
    let (folder, server, mut control) = running("hears", 1);
    let media = server.media();
    let parts = [Part::Customer, Part::Agent, Part::Partner];
    for (n, part) in (1..).zip(parts) {
        admit(&*media, n, 1, part, true).await;
    }
    let mut epoch = 0;
    let mut judged = |stances: [Stance; 3]| {
        epoch += 1;
        media.plan(ports::Plan {
            room: CallId(1),
            epoch,
            stances: (1..).map(LegId).zip(stances).collect(),
            tap: ports::Tap::Off,
            announce: ports::Announce::Nobody,
            shield: ports::Shield::Off,
        });
        // Twice, so that whoever comes first sees the others as well.
        for ((n, part), direction) in [(1..).zip(parts), (1..).zip(parts)]
            .into_iter()
            .flatten()
            .flat_map(|leg| [Direction::Up, Direction::Down].map(|direction| (leg, direction)))
        {
            let empty = Second::empty(Leg(n), RoomId(1), TapId(1), convert::part(part), direction, 0);
            control.second(Second {
                up: true,
                expected: 50,
                received: 50,
                rtt_us: Some(20_000),
                ..empty
            });
        }
        let room = media.snapshot(CallId(1)).expect("it lives");
        let heard: Vec<_> = room.legs.iter().map(|leg| leg.mos_end_to_end.is_some()).collect();
        <[bool; 3]>::try_from(heard).expect("three legs")
    };
    use Stance::{Consult, Held, Muted, Queued, Talk, Waiting};
    assert_eq!(judged([Talk, Talk, Talk]), [true; 3]);
    assert_eq!(
        judged([Held, Consult, Consult]),
        [false, true, true],
        "apart from the customer"
    );
    assert_eq!(judged([Talk, Talk, Waiting]), [true, true, false], "who only rings");
    assert_eq!(judged([Held, Talk, Waiting]), [false; 3], "on hold");
    assert_eq!(judged([Queued, Waiting, Waiting]), [false; 3]);
    assert_eq!(
        judged([Muted, Talk, Waiting]),
        [true, false, false],
        "he hears, and is not heard"
    );
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn listeners_go_at_the_second_look_and_nobody_who_may_speak() {
    let (folder, server, mut control) = running("listeners", 1);
    let media = server.media();
    for (n, part, uplink) in [
        (1, Part::Customer, true),
        (2, Part::Agent, true),
        (3, Part::Supervisor, false),
        (4, Part::Supervisor, true),
    ] {
        admit(&*media, n, 1, part, uplink).await;
    }
    admit(&*media, 5, 2, Part::Preflight, true).await;

    control.shed(0, BUSY_SHED - 0.01);
    assert_eq!(media.load().legs, 5);
    control.shed(0, BUSY_SHED);
    assert_eq!(media.load().legs, 4, "the line test");
    control.shed(0, BUSY_SHED);
    assert_eq!(media.load().legs, 3, "who only listens");
    let left: Vec<_> = [1, 2, 3, 4].map(|n| media.leave(Secret::new([n; 32])).is_ok()).into();
    assert_eq!(left, [true, true, false, true]);
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}

#[tokio::test]
async fn an_overloaded_shard_puts_nobody_out_of_another() {
    let (folder, server, mut control) = running("neighbours", 2);
    let media = server.media();
    let shard_of = |room| lock(&control.shared.registry).shard_of(CallId(room));
    for (n, room, part, uplink) in [
        (1, 1, Part::Customer, true),
        (2, 2, Part::Customer, true),
        (3, 1, Part::Supervisor, false),
        (4, 2, Part::Supervisor, false),
        (5, 3, Part::Preflight, true),
        (6, 4, Part::Preflight, true),
    ] {
        admit(&*media, n, room, part, uplink).await;
    }
    assert_eq!([1, 2, 3, 4].map(shard_of), [0, 1, 0, 1].map(Some));
    for _ in 0..2 {
        control.shed(0, BUSY_SHED - 0.01);
        control.shed(1, BUSY_SHED);
    }
    let left: Vec<_> = (1..=6).map(|n| media.leave(Secret::new([n; 32])).is_ok()).collect();
    assert_eq!(left, [true, true, true, false, true, false]);
    server.stop();
    // What stays in the temporary folder costs disk, not a test.
    let _ = std::fs::remove_dir_all(&folder);
}
