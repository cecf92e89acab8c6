//! What happens when the queues between a shard's thread and the others are full.

use super::*;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use crate::plane::ShardLink;
use media_core::command::AddLeg;
use media_core::limits::JOBS_MAX;
use media_core::matrix::Part;
use media_core::shard::{Config, Stage};
use testkit::bed::Client;

/// A worker that nobody runs, with the ends of its queues.
struct Rig {
    worker: Worker<crate::tap::Producer>,
    link: ShardLink,
    reports: Receiver<(usize, Report)>,
}

fn rig() -> Rig {
    let clock = Clock::start();
    let bell = Bell::new().expect("a bell");
    let (commands_in, commands) = sync_channel(COMMANDS_MAX);
    let (reports_in, reports) = sync_channel(REPORTS_MAX);
    let (jobs, _) = sync_channel(JOBS_MAX);
    let (entry, relay) = relay::Side::new(relay::Doorbell::new(bell.clone()));
    let config = Config {
        ntp_at_zero: clock.ntp_at_zero(),
        ..Config::default()
    };
    let (tap, _) = crate::tap::ring(crate::tap::CELLS);
    let sockets = vec![Socket::bind("127.0.0.1:0".parse().expect("an address")).expect("a port")];
    let worker = Worker {
        shard: Shard::new(clock.now_ns(), config),
        poller: poller(&sockets, &bell).expect("a descriptor"),
        sockets,
        batch: Batch::new(1),
        locals: Locals::default(),
        bell: bell.clone(),
        commands,
        jobs,
        reports: reports_in,
        refused: VecDeque::new(),
        number: 3,
        tap,
        relay,
        clock,
        stop: Arc::default(),
    };
    let link = ShardLink {
        commands: commands_in,
        bell,
        candidates: Vec::new(),
        relay: Mutex::new(entry),
    };
    Rig { worker, link, reports }
}

/// A client's leg comes into the one room of these tests.
fn coming(client: &Client) -> Command {
    Command::AddLeg(Box::new(AddLeg {
        room: RoomId(5),
        leg: client.leg,
        part: client.part,
        tap: client.tap,
        transport: client.transport(),
    }))
}

fn command() -> Command {
    Command::CloseRoom {
        room: media_core::RoomId(1),
        cause: media_core::event::Cause::HangUp,
    }
}

#[test]
fn a_command_that_finds_the_queue_full_is_given_back_and_later_ones_are_taken() {
    let Rig { mut worker, link, .. } = rig();
    for _ in 0..COMMANDS_MAX {
        assert!(link.hand(command()).is_ok());
    }
    assert!(matches!(link.hand(command()), Err(Command::CloseRoom { .. })));
    // One turn of the thread takes some; so many have room again, and no more.
    assert!(worker.take_commands(0, &mut Gauges::default()), "there are more");
    for _ in 0..COMMANDS_PER_TURN {
        assert!(link.hand(command()).is_ok());
    }
    assert!(link.hand(command()).is_err());
}

#[test]
fn a_report_that_finds_the_queue_full_is_kept_and_goes_out_when_there_is_room() {
    let Rig {
        mut worker, reports, ..
    } = rig();
    let mut held = Held::default();
    // One copy of the totals at each call.
    let mut now = 0;
    for _ in 0..REPORTS_MAX {
        worker.hand_on(now, &mut held);
        assert!(held.report.is_none());
        now += TOTALS_EVERY;
    }
    worker.hand_on(now, &mut held);
    assert!(
        matches!(held.report, Some(Report::Totals(..))),
        "it waits, nobody waits for it"
    );
    let (number, _) = reports.try_recv().expect("the first of them");
    assert_eq!(number, 3);
    worker.hand_on(now, &mut held);
    assert!(held.report.is_none());
    assert_eq!(reports.try_iter().count(), REPORTS_MAX);
}

#[test]
fn rows_are_gathered_until_their_time_has_come_or_there_is_an_event() {
    let Rig {
        mut worker,
        link,
        reports,
    } = rig();
    let client = Client::new(1, Part::Customer);
    let up = Command::Handshake {
        transport: client.transport,
        report: media_core::command::Report::Established(Box::new(client.server_keys())),
    };
    assert!(link.hand(coming(&client)).is_ok());
    assert!(link.hand(up).is_ok());
    worker.take_commands(9, &mut Gauges::default());
    let mut held = Held {
        totals_at: u64::MAX,
        ..Held::default()
    };
    // What has gone out: events and rows.
    let said = || {
        let (mut events, mut rows) = (0, 0);
        for (_, report) in reports.try_iter() {
            match report {
                Report::Event(_) => events += 1,
                Report::Second(_) => rows += 1,
                Report::Ended(_) | Report::Totals(..) => {}
            }
        }
        (events, rows)
    };
    let second = 2 * TOTALS_EVERY;
    worker.hand_on(second - 1, &mut held);
    assert_eq!(said(), (1, 0), "the leg is up");
    worker.tick(second, &mut Gauges::default());
    worker.hand_on(second, &mut held);
    assert_eq!((said(), worker.shard.seconds_waiting()), ((0, 0), 2));
    assert_eq!(
        worker.park(second, &held),
        (ROWS_EVERY / 1_000_000) as i32,
        "they are not slept over"
    );
    worker.hand_on(second - 1 + ROWS_EVERY, &mut held);
    assert_eq!(said(), (0, 2));
    // The same a second later, but that something happens.
    let second = second + TOTALS_EVERY;
    worker.hand_on(second - 1, &mut held);
    worker.tick(second, &mut Gauges::default());
    let remove = Command::RemoveLeg {
        leg: client.leg,
        cause: Cause::HangUp,
    };
    assert!(link.hand(remove).is_ok());
    worker.take_commands(second, &mut Gauges::default());
    worker.hand_on(second, &mut held);
    assert_eq!(said(), (1, 2));
}

#[test]
fn a_leg_that_the_engine_refuses_is_told_down_and_one_that_it_has_already_is_not() {
    let Rig {
        mut worker,
        link,
        reports,
    } = rig();
    let client = Client::new(1, Part::Customer);
    let add = |leg: LegId| {
        Command::AddLeg(Box::new(AddLeg {
            room: RoomId(5),
            leg,
            part: Part::Customer,
            tap: client.tap,
            transport: client.transport(),
        }))
    };
    // The same again, as nobody would; then a leg whose transport another one has.
    for leg in [client.leg, client.leg, LegId(77)] {
        assert!(link.hand(add(leg)).is_ok());
    }
    worker.take_commands(9, &mut Gauges::default());
    worker.hand_on(9, &mut Held::default());
    let events: Vec<_> = reports
        .try_iter()
        .filter_map(|(_, report)| match report {
            Report::Event(event) => Some((event.room, event.kind)),
            Report::Ended(_) | Report::Second(_) | Report::Totals(..) => None,
        })
        .collect();
    let down = Kind::LegDown {
        leg: LegId(77),
        cause: Cause::Limit,
        summary: Summary::default(),
    };
    assert_eq!(events, [(RoomId(5), down)]);
    assert_eq!(worker.shard.legs(), 1);
}

#[test]
fn a_transport_that_the_engine_refuses_or_replaces_is_told_ended_and_those_of_a_leg_that_ends_are_not() {
    let Rig {
        mut worker,
        link,
        reports,
    } = rig();
    let mut client = Client::new(1, Part::Customer);
    let attach = |client: &Client, leg| Command::Attach {
        leg,
        transport: Box::new(client.transport()),
    };
    assert!(link.hand(coming(&client)).is_ok());
    let mut offers = Vec::new();
    for leg in [client.leg, client.leg, LegId(77)] {
        client.reload();
        offers.push(client.transport);
        assert!(link.hand(attach(&client, leg)).is_ok());
    }
    let remove = Command::RemoveLeg {
        leg: client.leg,
        cause: Cause::HangUp,
    };
    assert!(link.hand(remove).is_ok());
    worker.take_commands(9, &mut Gauges::default());
    worker.hand_on(9, &mut Held::default());
    let mut ended: Vec<_> = reports
        .try_iter()
        .filter_map(|(_, report)| match report {
            Report::Ended(ended) => Some((ended.leg, ended.transport)),
            Report::Event(_) | Report::Second(_) | Report::Totals(..) => None,
        })
        .collect();
    ended.sort_unstable_by_key(|(_, transport)| transport.0);
    assert_eq!(ended, [(client.leg, offers[0]), (LegId(77), offers[2])]);
}

#[test]
fn a_leg_that_breaks_as_it_comes_is_told_down_once_wherever_it_broke() {
    for stage in [Stage::Adding, Stage::Joining] {
        let Rig {
            mut worker,
            link,
            reports,
        } = rig();
        let (struck, other) = (Client::new(1, Part::Customer), Client::new(2, Part::Agent));
        worker.shard.break_at(stage, struck.leg);
        for client in [&struck, &other] {
            assert!(link.hand(coming(client)).is_ok());
        }
        worker.take_commands(9, &mut Gauges::default());
        worker.hand_on(9, &mut Held::default());
        let ends: Vec<_> = reports
            .try_iter()
            .filter_map(|(_, report)| match report {
                Report::Event(Event {
                    room,
                    kind: Kind::LegDown { leg, cause, .. },
                    ..
                }) => Some((room, leg, cause)),
                Report::Event(_) | Report::Ended(_) | Report::Second(_) | Report::Totals(..) => None,
            })
            .collect();
        assert_eq!(ends, [(RoomId(5), struck.leg, Cause::Panic)], "{stage:?}");
        let tables = worker.shard.tables();
        assert_eq!(
            (tables.legs, tables.transports, tables.ufrags),
            (1, 1, 1),
            "{stage:?}: nothing of it is left"
        );
        assert_eq!(worker.shard.totals().panics, 1);
    }
}
