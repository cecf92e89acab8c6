//! The whole thread of a shard, with sockets, bell, clock and the recorder's ring: no allocation per packet.
//!
//! Once a second the thread puts a copy of its totals into a box for the control thread; that one is counted apart. The
//! engine alone is counted in media-core's test of the same name.

#[allow(dead_code, reason = "each test file uses its part of it")]
mod common;

use call_model::{CallId, LegId, RecordingId};
use common::{Client, PATIENCE, Server, now, until};
use media_core::counters::Totals;
use ports::{EventKind, Part, Policy, RecordCommand, Tap};
use testkit::counting::{Counting, threads};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROOM: CallId = CallId(0xCA13);
const CUSTOMER: LegId = LegId(21);
const AGENT: LegId = LegId(22);
const SHARD: &str = "hl-shard-0";
/// Frames of each side before the count: tables, rings and buffers have their size then.
const WARM: u16 = 200;
/// Frames of each side that are counted; each comes in and goes out, so the thread handles four times as many datagrams.
const COUNTED: u16 = 1_000;

fn frame(n: u16) -> Vec<u8> {
    let mut payload = vec![0xF8, n as u8, (n >> 8) as u8];
    payload.resize(80, 0x55);
    payload
}

fn talk(customer: &mut Client, agent: &mut Client, frames: u16) {
    for n in 0..frames {
        customer.say(&frame(n));
        agent.say(&frame(n));
        customer.turn();
        agent.turn();
    }
}

/// Packets that the recorder has taken out of the shard's ring.
fn recorded(server: &Server) -> f64 {
    let families = server.registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == "helpline_recording_packets_total");
    family.expect("it is counted").get_metric()[0].get_counter().get_value()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shards_thread_allocates_nothing_per_packet() {
    threads::apart(size_of::<Totals>());
    let server = Server::start();
    let (mut customer, mut agent) = (Client::new(111, 1, 10), Client::new(96, 3, 20));
    let to_customer = server.admit(ROOM, CUSTOMER, Part::Customer, 1).await;
    let to_agent = server.admit(ROOM, AGENT, Part::Agent, 2).await;
    let recording = RecordCommand::Start {
        recording: RecordingId(7),
        policy: Policy::Required,
        customer_left: true,
    };
    server.media.record(ROOM, recording);
    server.talk(ROOM, &[CUSTOMER, AGENT], 1, Tap::On);
    customer.join(&*server.media, to_customer).await;
    agent.join(&*server.media, to_agent).await;
    until(&mut [&mut customer, &mut agent], "keys", |all| {
        all.iter().all(|client| client.peer.is_up())
    });
    talk(&mut customer, &mut agent, WARM);
    server
        .events_until(|event| matches!(event.kind, EventKind::RoomLive))
        .await;
    let (taped, heard) = (recorded(&server), customer.heard.len() + agent.heard.len());

    let before = threads::of(SHARD).expect("the thread is there, and made its tables");
    assert!(
        before.allocations > 0,
        "this thread is the one that is counted: {before:?}"
    );
    let begun = now();
    talk(&mut customer, &mut agent, COUNTED);
    let seconds = now().duration_since(begun).as_secs();
    let after = threads::of(SHARD).expect("the thread is there");

    let heard = customer.heard.len() + agent.heard.len() - heard;
    assert!(
        heard >= usize::from(COUNTED),
        "{heard} of {} frames were heard",
        2 * COUNTED
    );
    let deadline = now() + PATIENCE;
    while recorded(&server) < taped + f64::from(COUNTED) {
        assert!(
            now() < deadline,
            "the recorder was given {} packets",
            recorded(&server) - taped
        );
        tokio::task::yield_now().await;
    }
    println!("{heard} frames heard in {seconds} s: {before:?}, {after:?}");
    assert_eq!(after.allocations, before.allocations, "{heard} frames");
    assert!(
        after.apart - before.apart <= seconds + 2,
        "one copy of the totals a second"
    );
}
