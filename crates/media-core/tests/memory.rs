//! What a call keeps in memory: the shard's tables, the keys, the packets kept to be sent again and the association
//! that stays for the good-bye, counted by the allocator, each apart.
//!
//! The counter is the thread's own and looks only while the engine works.

use std::time::Instant;

use media_core::command::{Command, Report};
use media_core::dtls::{AWAKE_AFTER, Certificate, Handshake, Output};
use media_core::matrix::{Announce, Part, Plan, Shield, Stance, Tap};
use media_core::srtp::Profile;
use media_core::{RoomId, limits};
use testkit::bed::{Bed, Client, FRAME};
use testkit::counting::{Counting, kept};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls over which the growth of the tables is spread: they double, so the count lies just below a power of two and
/// its half.
const CALLS: u16 = 440;
/// What a leg may keep: half of the 16 KiB of the target, because the rest of the server needs its part.
const LEG_BYTES_MAX: i64 = 8 * 1_024;
/// What the packets kept to be sent again may take.
const RING_BYTES_MAX: i64 = 5_632;
/// What an association may keep once it sleeps.
const ASSOCIATION_BYTES_MAX: i64 = 2 * 1_024;

#[test]
fn a_leg_keeps_no_more_than_its_share() {
    let mut bed = Bed::default();
    let (mut tables, mut keys, mut rings) = (0, 0, 0);
    for call in 0..CALLS {
        let room = RoomId(u128::from(call) + 1_000);
        let mut legs = [Part::Customer, Part::Agent].map(|part| {
            let number = 2 * call + 1 + u16::from(part == Part::Agent);
            let mut client = Client::new(number, part);
            client.nack = true;
            client
        });
        for leg in &mut legs {
            tables += kept(|| bed.add(room, leg).expect("the leg is new")).1;
            let check = leg.check(true);
            tables += kept(|| drop(bed.datagram(leg.address, &check))).1;
            keys += kept(|| {
                let report = Report::Established(Box::new(leg.server_keys()));
                let transport = leg.transport;
                bed.shard.command(bed.now, Command::Handshake { transport, report })
            })
            .1;
        }
        let stances = legs.each_ref().map(|leg| (leg.leg, Stance::Talk)).to_vec();
        tables += kept(|| {
            let plan = Plan {
                room,
                epoch: 1,
                stances: stances.clone(),
                tap: Tap::Off,
                announce: Announce::Nobody,
                shield: Shield::Off,
            };
            bed.shard.command(bed.now, Command::Plan(Box::new(plan)))
        })
        .1;
        for _ in 0..40 {
            for leg in &mut legs {
                let packet = leg.speak(&[7; 90]);
                rings += kept(|| drop(bed.datagram(leg.address, &packet))).1;
            }
        }
        bed.now += FRAME;
        while bed.shard.poll_event().is_some() {}
    }
    let legs = 2 * i64::from(CALLS);
    let (tables, keys, rings) = (tables / legs, keys / legs, rings / legs);
    println!("bytes per leg: tables {tables}, keys {keys}, packets kept to be sent again {rings}");
    assert!(tables + keys <= LEG_BYTES_MAX, "{tables} + {keys}");
    assert!((1..=RING_BYTES_MAX).contains(&rings), "{rings}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other origin; every later time is counted from it"
)]
fn an_association_keeps_little_once_it_sleeps() {
    const ROUNDS: i64 = 16;
    let (ours, theirs) = (
        Certificate::generate().expect("a certificate"),
        Certificate::generate().expect("a certificate"),
    );
    let now = Instant::now();
    let mut all = Vec::with_capacity(ROUNDS as usize);
    let (mut awake, mut bytes) = (0, 0);
    for _ in 0..ROUNDS {
        let mut client = Handshake::client(&theirs, ours.fingerprint(), &[Profile::AeadAes128Gcm], now);
        let (mut server, mut grown) = kept(|| Handshake::server(&ours, theirs.fingerprint()));
        let mut keys = 0;
        loop {
            let mut moved = false;
            while let Some(output) = client.poll() {
                if let Output::Datagram(datagram) = output {
                    moved = true;
                    grown += kept(|| server.datagram(now, &datagram)).1;
                }
            }
            loop {
                let (output, less) = kept(|| server.poll());
                grown += less;
                match output {
                    Some(Output::Datagram(datagram)) => {
                        moved = true;
                        client.datagram(now, &datagram);
                        grown += kept(|| drop(datagram)).1;
                    }
                    Some(Output::Keys(given)) => {
                        keys += 1;
                        grown += kept(|| drop(given)).1;
                    }
                    Some(other) => panic!("{other:?}"),
                    None => break,
                }
            }
            if !moved {
                break;
            }
        }
        assert_eq!(keys, 1, "the handshake came to its end");
        awake += grown;
        grown += kept(|| server.timeout(now + AWAKE_AFTER)).1;
        bytes += grown;
        all.push(server);
    }
    let each = bytes / ROUNDS + size_of::<Handshake>() as i64;
    println!("bytes per association: {each}, before it sleeps {}", awake / ROUNDS);
    assert!(each <= ASSOCIATION_BYTES_MAX, "{each}");
    drop(all);
}

const _: () = assert!(2 * CALLS as usize <= limits::LEGS_PER_SHARD_MAX);
