//! Commands: their limits, their refusals, and that an end leaves nothing behind.

use media_core::command::{Command, Refused, Report};
use media_core::event::{Cause, Kind};
use media_core::limits::{
    DATAGRAM_BYTES_MAX, FLIGHT_DATAGRAMS_MAX, LEGS_PER_ROOM_MAX, LEGS_PER_SHARD_MAX, ROOMS_PER_SHARD_MAX,
};
use media_core::matrix::{Announce, Part, Plan, Shield, Stance, Tap};
use media_core::shard::{Job, Tables};
use media_core::{LegId, RoomId, TransportId};
use testkit::bed::{Bed, Client, ROOM};

use crate::Call;

#[test]
fn events_of_a_room_are_numbered_without_a_gap() {
    let mut call = Call::new();
    assert!(call.customer_is_heard());
    call.bed.say(&mut call.agent, b"a", &mut call.customer);
    let leg = call.agent.leg;
    call.bed
        .shard
        .command(
            call.bed.now,
            Command::RemoveLeg {
                leg,
                cause: Cause::Kicked,
            },
        )
        .unwrap();
    let seqs: Vec<u64> = call.bed.events().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [6, 7, 8, 9], "two legs up, their ways and a plan went before");
}

#[test]
fn whatever_ends_leaves_no_entry_in_any_table() {
    let mut call = Call::new();
    let mut third = Client::new(3, Part::Partner);
    call.bed.bring_up(&mut third);
    third.address.set_port(9);
    call.bed.check(&mut third);
    call.bed.datagram(third.address, &[22, 1, 2]);
    third.restart();
    call.bed.shard.command(call.bed.now, third.restart_command()).unwrap();
    let mut newer = Client::new(1, Part::Customer);
    newer.reload();
    let (leg, transport) = (newer.leg, Box::new(newer.transport()));
    call.bed
        .shard
        .command(call.bed.now, Command::Attach { leg, transport })
        .unwrap();
    call.bed.check(&mut newer);
    assert_eq!(
        call.bed.shard.tables(),
        Tables {
            legs: 3,
            rooms: 1,
            transports: 4,
            addresses: 5,
            ufrags: 5
        }
    );
    while call.bed.shard.poll_job().is_some() {}
    call.bed
        .shard
        .command(
            call.bed.now,
            Command::CloseRoom {
                room: ROOM,
                cause: Cause::HangUp,
            },
        )
        .unwrap();
    assert_eq!(call.bed.shard.tables(), Tables::default());
    let downs = call.bed.events();
    let downs = downs.iter().filter(|event| {
        matches!(
            event.kind,
            Kind::LegDown {
                cause: Cause::HangUp,
                ..
            }
        )
    });
    assert_eq!(downs.count(), 3);
    let stopped = call.bed.shard.poll_job();
    assert!(matches!(stopped, Some(Job::Stop { transport }) if transport == third.transport));
    assert!(call.bed.shard.poll_job().is_none());
    call.bed.advance(60_000_000_000);
    assert!(call.bed.shard.wake_at().is_none(), "no timer is left either");
    assert!(call.bed.events().is_empty());
    assert!(!call.customer_is_heard());
    call.customer = Client::new(1, Part::Customer);
    call.bed.bring_up(&mut call.customer);
}

#[test]
fn a_refused_command_says_why_and_changes_nothing() {
    let mut call = Call::new();
    let tables = call.bed.shard.tables();
    let now = call.bed.now;
    let gone = LegId(9_999);
    let mut refused = |command| call.bed.shard.command(now, command).unwrap_err();
    assert_eq!(
        refused(Command::RemoveLeg {
            leg: gone,
            cause: Cause::HangUp
        }),
        Refused::UnknownLeg
    );
    assert_eq!(
        refused(Command::CloseRoom {
            room: RoomId(9),
            cause: Cause::HangUp
        }),
        Refused::UnknownRoom
    );
    let report = Report::Closed;
    assert_eq!(
        refused(Command::Handshake {
            transport: TransportId(1),
            report
        }),
        Refused::UnknownTransport
    );
    let transport = Box::new(Client::new(5, Part::Agent).transport());
    assert_eq!(refused(Command::Attach { leg: gone, transport }), Refused::UnknownLeg);
    let absent = Client::new(5, Part::Agent);
    assert_eq!(refused(absent.restart_command()), Refused::UnknownLeg);
    let transport = Box::new(call.customer.transport());
    assert_eq!(
        refused(Command::Attach {
            leg: call.agent.leg,
            transport
        }),
        Refused::TransportExists
    );
    let mut short = Client::new(5, Part::Agent).transport();
    short.ice.local_pwd = "short".to_owned();
    let transport = Box::new(short);
    assert_eq!(
        refused(Command::Attach {
            leg: call.agent.leg,
            transport
        }),
        Refused::BadCredentials
    );
    let plan = |epoch, legs: usize| {
        let stances = (0..legs as u128).map(|leg| (LegId(leg), Stance::Talk)).collect();
        Command::Plan(Box::new(Plan {
            room: ROOM,
            epoch,
            stances,
            tap: Tap::Off,
            announce: Announce::Nobody,
            shield: Shield::Off,
        }))
    };
    assert_eq!(refused(plan(5, LEGS_PER_ROOM_MAX + 1)), Refused::BadPlan);
    assert_eq!(refused(plan(0, 0)), Refused::BadPlan, "older than the one in force");
    assert_eq!(
        call.bed.add(ROOM, &Client::new(1, Part::Agent)),
        Err(Refused::LegExists)
    );
    assert_eq!(call.bed.shard.tables(), tables);
    assert!(call.bed.events().is_empty());
    call.bed.shard.command(now, plan(1, 0)).unwrap();
    assert!(call.bed.events().is_empty(), "the plan in force once more is nothing");
    assert!(call.customer_is_heard());
}

#[test]
fn a_room_takes_eight_legs_and_no_ninth() {
    let mut bed = Bed::default();
    for number in 0..LEGS_PER_ROOM_MAX as u16 {
        bed.add(ROOM, &Client::new(number, Part::Partner)).unwrap();
    }
    let ninth = Client::new(50, Part::Partner);
    assert_eq!(bed.add(ROOM, &ninth), Err(Refused::RoomFull));
    assert_eq!(bed.shard.legs(), LEGS_PER_ROOM_MAX);
    let (leg, cause) = (Client::new(3, Part::Partner).leg, Cause::HangUp);
    bed.shard.command(bed.now, Command::RemoveLeg { leg, cause }).unwrap();
    bed.add(ROOM, &ninth).unwrap();
}

#[test]
fn a_shard_takes_its_number_of_legs_and_rooms_and_not_one_more() {
    let mut bed = Bed::default();
    let client = |number: usize| {
        let mut client = Client::new(0, Part::Customer).transport();
        client.id = TransportId(number as u64);
        client.ice.local_ufrag = format!("u{number:05}");
        client
    };
    let add = |number: usize| {
        Command::AddLeg(Box::new(media_core::command::AddLeg {
            room: RoomId(number as u128 / 8),
            leg: LegId(number as u128),
            part: Part::Customer,
            tap: media_core::TapId(number as u32),
            transport: client(number),
        }))
    };
    for number in 0..LEGS_PER_SHARD_MAX {
        bed.shard.command(bed.now, add(number)).unwrap();
    }
    assert_eq!(
        bed.shard.command(bed.now, add(LEGS_PER_SHARD_MAX)),
        Err(Refused::ShardFull)
    );
    let plan = |room: usize| {
        let (room, stances) = (RoomId(room as u128), vec![]);
        Command::Plan(Box::new(Plan {
            room,
            epoch: 1,
            stances,
            tap: Tap::Off,
            announce: Announce::Nobody,
            shield: Shield::Off,
        }))
    };
    for room in 0..ROOMS_PER_SHARD_MAX {
        bed.shard.command(bed.now, plan(room)).unwrap();
    }
    assert_eq!(
        bed.shard.command(bed.now, plan(ROOMS_PER_SHARD_MAX)),
        Err(Refused::ShardFull)
    );
    for room in 0..ROOMS_PER_SHARD_MAX {
        let close = Command::CloseRoom {
            room: RoomId(room as u128),
            cause: Cause::Drain,
        };
        bed.shard.command(bed.now, close).unwrap();
    }
    assert_eq!(bed.shard.tables(), Tables::default());
}

#[test]
fn a_flight_goes_to_where_the_check_came_from_up_to_its_limits() {
    let mut bed = Bed::default();
    let mut client = Client::new(1, Part::Customer);
    bed.add(ROOM, &client).unwrap();
    let flight = |count: usize, bytes: usize| Command::Handshake {
        transport: client.transport,
        report: Report::Flight(vec![vec![22u8; bytes].into_boxed_slice(); count]),
    };
    bed.shard.command(bed.now, flight(1, 10)).unwrap();
    assert!(bed.shard.transmissions().is_empty(), "no address yet");
    let full = flight(FLIGHT_DATAGRAMS_MAX, DATAGRAM_BYTES_MAX);
    let more = flight(FLIGHT_DATAGRAMS_MAX + 1, 10);
    let larger = flight(1, DATAGRAM_BYTES_MAX + 1);
    bed.check(&mut client);
    bed.shard.command(bed.now, full).unwrap();
    let sent = bed.shard.transmissions();
    assert_eq!(sent.len(), FLIGHT_DATAGRAMS_MAX);
    assert!(
        sent.iter()
            .all(|sent| sent.to.wire() == Some(client.address.into()) && usize::from(sent.len) == DATAGRAM_BYTES_MAX)
    );
    bed.shard.flushed();
    assert_eq!(bed.shard.command(bed.now, more), Err(Refused::BadFlight));
    assert_eq!(bed.shard.command(bed.now, larger), Err(Refused::BadFlight));
}
