//! Who is heard beside customer and agent: what is kept of him, as whose voice, and what is not.

use std::collections::BTreeMap;

use media_core::tap::Flags as TapFlags;
use ports::Stance;
use recording::spool::{By, EventKind, Part, RecordedCall, Way};
use recording::{BESIDE_MAX, Flags, Lane, Packet};

use super::super::*;
use super::rig::{Folder, Rig, Shaky, TURN, leg};

const COLLEAGUE: u32 = 900;
const SUPERVISOR: u32 = 901;

/// A leg that joins room 1 beside the two of the rig, or becomes something else there.
fn joins(rig: &mut Rig, tap: u32, part: ports::Part, at_ns: u64) {
    rig.told.push_back(Message::LegJoined {
        room: 1,
        leg: u128::from(tap),
        part,
        tap,
        at_ns,
    });
}

/// The plan of room 1: the customer on hold or not, and how the others take part.
fn planned(rig: &mut Rig, held: bool, others: &[(u32, Stance)], at_ns: u64) {
    rig.told.push_back(Message::Hold {
        room: 1,
        at_ns,
        on: held,
    });
    let customer = if held { Stance::Held } else { Stance::Talk };
    let mut stances = vec![(leg(1, 0), customer), (leg(1, 1), Stance::Talk)];
    stances.extend(others.iter().map(|(tap, stance)| (u128::from(*tap), *stance)));
    rig.told.push_back(Message::Planned {
        room: 1,
        at_ns,
        stances,
    });
}

/// A packet with a number that no other one has.
fn says(rig: &mut Rig, tap: u32, number: u32, arrival_ns: u64) {
    let packet = Packet {
        ext_seq: number,
        rtp_ts: number * 960,
        arrival_ns,
        flags: Flags::VOICE,
        level: 60,
        payload: number.to_be_bytes().to_vec().into(),
    };
    assert!(rig.push(tap, TapFlags::VOICE, &packet));
}

/// The numbers in each lane of each leg.
fn kept(call: &RecordedCall) -> BTreeMap<(u128, Lane), Vec<u32>> {
    let number = |packet: &Packet| u32::from_be_bytes(packet.payload[..4].try_into().unwrap());
    let each = call.tracks.iter();
    each.map(|track| {
        let numbers = track.packets.iter().map(number).collect();
        ((track.leg, track.lane), numbers)
    })
    .collect()
}

fn finished(rig: &mut Rig) -> RecordedCall {
    rig.turns(30);
    rig.close(1);
    rig.turns(60);
    read_call(&rig.jobs.try_recv().unwrap()).unwrap()
}

/// What happened to a leg beside its joining, and what it was.
fn told(call: &RecordedCall, leg: u32) -> Vec<(EventKind, Part)> {
    let own = call.events.iter().filter(|event| event.leg == u128::from(leg));
    own.map(|event| (event.kind, event.part))
        .filter(|(kind, _)| *kind != EventKind::LegJoined)
        .collect()
}

#[test]
fn a_colleague_is_kept_in_a_file_of_his_own_while_the_customer_hears_him_and_is_the_agent_afterwards() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let colleague = |stance| [(COLLEAGUE, stance)];
    let mut number = 0;
    // The plan names him before he comes.
    let at = rig.now.get();
    planned(&mut rig, true, &colleague(Stance::Consult), at);
    joins(&mut rig, COLLEAGUE, ports::Part::Partner, at);
    let mut say = |rig: &mut Rig| {
        number += 1;
        let now = rig.now.get();
        says(rig, COLLEAGUE, number, now);
        rig.turn();
    };
    say(&mut rig);
    for (held, stance) in [(false, Stance::Talk), (true, Stance::Talk), (false, Stance::Talk)] {
        let at = rig.now.get();
        planned(&mut rig, held, &colleague(stance), at);
        say(&mut rig);
    }
    // It is on the disk that he is a colleague.
    rig.turns(60);
    let at = rig.now.get();
    joins(&mut rig, COLLEAGUE, ports::Part::Agent, at);
    rig.told.push_back(Message::LegLeft {
        room: 1,
        leg: leg(1, 1),
        at_ns: at,
    });
    // Said before he had the call, drained after he got it.
    says(&mut rig, COLLEAGUE, 90, at - 1);
    say(&mut rig);
    let call = finished(&mut rig);
    let who = u128::from(COLLEAGUE);
    let wanted = BTreeMap::from([((who, Lane::Agent), vec![5]), ((who, Lane::Beside(0)), vec![2, 4, 90])]);
    assert_eq!(kept(&call), wanted);
    assert_eq!(call.beside, [(who, Part::Partner)]);
    assert!(call.legs.contains(&(who, Part::Agent)));
    assert_eq!(
        rig.stats.figures().packets_unwanted,
        2,
        "the consultation and what was said on hold"
    );
    let partner = |kind| (kind, Part::Partner);
    let events = [
        partner(EventKind::Began(Way::Consult)),
        partner(EventKind::Ended(Way::Consult)),
        partner(EventKind::Began(Way::Conference)),
        (EventKind::TookOver, Part::Agent),
        partner(EventKind::Ended(Way::Conference)),
    ];
    assert_eq!(told(&call, COLLEAGUE), events);
}

#[test]
fn a_supervisor_is_kept_only_while_he_joins_and_his_ways_are_told() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let at = rig.now.get();
    joins(&mut rig, SUPERVISOR, ports::Part::Supervisor, at);
    for (number, stance) in [Stance::Listen, Stance::Whisper, Stance::Barge, Stance::Whisper]
        .into_iter()
        .enumerate()
    {
        let at = rig.now.get();
        planned(&mut rig, false, &[(SUPERVISOR, stance)], at);
        says(&mut rig, SUPERVISOR, number as u32, at);
        rig.turn();
    }
    let at_ns = rig.now.get();
    rig.told.push_back(Message::LegLeft {
        room: 1,
        leg: u128::from(SUPERVISOR),
        at_ns,
    });
    let call = finished(&mut rig);
    let who = u128::from(SUPERVISOR);
    assert_eq!(kept(&call), BTreeMap::from([((who, Lane::Beside(0)), vec![2])]));
    let ways = [Way::Listen, Way::Whisper, Way::Barge, Way::Whisper];
    let mut events: Vec<_> = ways
        .into_iter()
        .flat_map(|way| [EventKind::Began(way), EventKind::Ended(way)])
        .collect();
    events.push(EventKind::LegLeft);
    let kinds: Vec<_> = told(&call, SUPERVISOR).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, events);
}

/// Whom the leg of room 1 does not hear.
fn misses(rig: &mut Rig, ear: u128, voices: &[u32], at_ns: u64) {
    rig.told.push_back(Message::Unheard {
        room: 1,
        leg: ear,
        voices: voices.iter().map(|tap| u128::from(*tap)).collect(),
        at_ns,
    });
}

#[test]
fn a_voice_for_which_the_customer_has_no_stream_is_told_and_kept() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let at = rig.now.get();
    joins(&mut rig, COLLEAGUE, ports::Part::Partner, at);
    planned(&mut rig, false, &[(COLLEAGUE, Stance::Talk)], at);
    // The agent's ear is not what a recording tells of.
    misses(&mut rig, leg(1, 1), &[COLLEAGUE], at);
    for voices in [&[COLLEAGUE][..], &[COLLEAGUE], &[]] {
        misses(&mut rig, leg(1, 0), voices, at);
    }
    says(&mut rig, COLLEAGUE, 1, at);
    let call = finished(&mut rig);
    let kinds: Vec<_> = told(&call, COLLEAGUE).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Began(Way::Conference),
            EventKind::Unheard,
            EventKind::HeardAgain
        ],
        "told twice it is once"
    );
    assert_eq!(
        kept(&call)[&(u128::from(COLLEAGUE), Lane::Beside(0))],
        [1],
        "it was said to him"
    );
}

/// What room 1 is told next is the will of this role.
fn wants(rig: &mut Rig, role: &str, word: Option<&str>) {
    rig.told.push_back(Message::Wanted {
        room: 1,
        by: Some(By::new(role, word)),
    });
}

#[test]
fn what_somebody_wants_is_told_with_his_role_and_word_and_what_happens_without_is_not() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let at = rig.now.get();
    joins(&mut rig, SUPERVISOR, ports::Part::Supervisor, at);
    wants(&mut rig, "supervisor", Some("training"));
    planned(&mut rig, false, &[(SUPERVISOR, Stance::Barge)], at);
    wants(&mut rig, "agent", None);
    planned(&mut rig, true, &[(SUPERVISOR, Stance::Barge)], at);
    rig.turn();
    rig.told.push_back(Message::LegLeft {
        room: 1,
        leg: u128::from(SUPERVISOR),
        at_ns: at,
    });
    let call = finished(&mut rig);
    let by = |kind| {
        let event = call.events.iter().find(|event| event.kind == kind);
        event.expect("it happened").by.clone()
    };
    assert_eq!(
        by(EventKind::Began(Way::Barge)),
        Some(By::new("supervisor", Some("training")))
    );
    assert_eq!(by(EventKind::Held), Some(By::new("agent", None)));
    assert_eq!(
        by(EventKind::Ended(Way::Barge)),
        None,
        "his line was gone, nobody ended it"
    );
    assert_eq!(by(EventKind::LegJoined), None);
}

#[test]
fn whose_line_comes_late_takes_part_by_the_will_that_meant_him_and_not_by_the_newest_one() {
    let (boss, customer) = (By::new("supervisor", Some("training")), By::new("customer", None));
    // By the customer's will, or by nobody's, the plan says again how the supervisor takes part.
    for newer in [Some(customer), None] {
        let folder = Folder::new();
        let mut rig = Rig::new(&folder, Shaky::sound());
        rig.room(1, true);
        rig.turn();
        let at = rig.now.get();
        wants(&mut rig, "supervisor", Some("training"));
        planned(&mut rig, false, &[(SUPERVISOR, Stance::Barge)], at);
        rig.told.push_back(Message::Wanted {
            room: 1,
            by: newer.clone(),
        });
        planned(
            &mut rig,
            true,
            &[(SUPERVISOR, Stance::Barge), (COLLEAGUE, Stance::Consult)],
            at,
        );
        joins(&mut rig, SUPERVISOR, ports::Part::Supervisor, at);
        joins(&mut rig, COLLEAGUE, ports::Part::Partner, at);
        // And he becomes the agent by a third one's.
        wants(&mut rig, "admin", None);
        joins(&mut rig, COLLEAGUE, ports::Part::Agent, at);
        let call = finished(&mut rig);
        let by = |kind| {
            let event = call.events.iter().find(|event| event.kind == kind);
            event.expect("it happened").by.clone()
        };
        assert_eq!(by(EventKind::Began(Way::Barge)), Some(boss.clone()));
        assert_eq!(by(EventKind::Began(Way::Consult)), newer);
        assert_eq!(by(EventKind::Held), newer);
        assert_eq!(by(EventKind::TookOver), Some(By::new("admin", None)));
    }
}

#[test]
fn the_leg_of_another_agent_takes_the_call_over_and_the_first_agents_leg_did_not() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let at = rig.now.get();
    rig.told.push_back(Message::LegLeft {
        room: 1,
        leg: leg(1, 1),
        at_ns: at,
    });
    joins(&mut rig, SUPERVISOR, ports::Part::Agent, at);
    let call = finished(&mut rig);
    assert_eq!(told(&call, SUPERVISOR), [(EventKind::TookOver, Part::Agent)]);
    let first = call.events.iter().filter(|event| event.leg == leg(1, 1));
    let kinds: Vec<_> = first.map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::LegJoined, EventKind::LegLeft]);
}

#[test]
fn one_voice_more_than_there_are_files_is_lost_and_the_call_is_marked() {
    let folder = Folder::new();
    let mut rig = Rig::new(&folder, Shaky::sound());
    rig.room(1, true);
    rig.turn();
    let taps: Vec<u32> = (0..=BESIDE_MAX as u32).map(|n| 1_000 + n).collect();
    for (number, &tap) in taps.iter().enumerate() {
        let at = rig.now.get();
        joins(&mut rig, tap, ports::Part::Partner, at);
        planned(&mut rig, false, &[(tap, Stance::Talk)], at);
        says(&mut rig, tap, number as u32, at);
        rig.turn();
    }
    // Whoever has a file keeps it.
    let at = rig.now.get();
    planned(&mut rig, false, &[(taps[0], Stance::Talk)], at);
    says(&mut rig, taps[0], 77, at);
    let call = finished(&mut rig);
    let voices = kept(&call);
    assert_eq!((voices.len(), call.beside.len()), (BESIDE_MAX, BESIDE_MAX));
    assert_eq!(voices[&(u128::from(taps[0]), Lane::Beside(0))], [0, 77]);
    assert_eq!(call.dropped_packets, 1);
    assert!(call.degraded());
    assert_eq!(rig.stats.figures().packets_refused, 1);
    assert_eq!(*rig.degraded.lock().unwrap(), [(1, 1)]);
}

/// Numbers that are the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// What the oracle knows of one who is heard beside the two.
#[derive(Clone, Copy, Debug)]
struct Actor {
    tap: u32,
    part: ports::Part,
    stance: Stance,
}

impl Actor {
    /// As what he is kept now, if at all.
    fn kept_as(self, held: bool) -> Option<Part> {
        match (self.part, self.stance) {
            _ if held => None,
            (ports::Part::Agent, _) => Some(Part::Agent),
            (ports::Part::Partner, Stance::Talk) => Some(Part::Partner),
            (ports::Part::Supervisor, Stance::Barge) => Some(Part::Supervisor),
            _ => None,
        }
    }
}

/// The numbers of each leg by what it was, in their order.
fn kept_as(call: &RecordedCall) -> BTreeMap<(u128, Part), Vec<u32>> {
    let part = |leg, lane| match lane {
        Lane::Customer => Part::Customer,
        Lane::Agent => Part::Agent,
        Lane::Beside(number) => {
            let (whose, part) = call.beside[usize::from(number)];
            assert_eq!(whose, leg);
            part
        }
    };
    let each = kept(call).into_iter();
    each.map(|((leg, lane), mut numbers)| {
        numbers.sort_unstable();
        ((leg, part(leg, lane)), numbers)
    })
    .collect()
}

#[test]
fn whatever_they_do_each_word_is_once_in_the_file_of_its_own_time_or_nowhere() {
    for seed in 1..=40u64 {
        let mut chance = Chance(seed * 0x9e37_79b9_7f4a_7c15);
        let folder = Folder::new();
        let mut rig = Rig::new(&folder, Shaky::sound());
        rig.room(1, true);
        rig.turn();
        let mut actors = [
            (COLLEAGUE, ports::Part::Partner, Stance::Consult),
            (SUPERVISOR, ports::Part::Supervisor, Stance::Listen),
        ]
        .map(|(tap, part, stance)| Actor { tap, part, stance });
        let at = rig.now.get();
        for actor in actors {
            joins(&mut rig, actor.tap, actor.part, at);
        }
        let mut held = true;
        let plan = |rig: &mut Rig, actors: &[Actor], held, at| {
            let others: Vec<_> = actors.iter().map(|actor| (actor.tap, actor.stance)).collect();
            planned(rig, held, &others, at);
        };
        plan(&mut rig, &actors, held, at);
        rig.turn();
        let mut wanted: BTreeMap<(u128, Part), Vec<u32>> = BTreeMap::new();
        let mut number = 0;
        for _ in 0..150 {
            // Everybody speaks before and after what happens in this turn; the drain hears of it first.
            let begin = rig.now.get();
            let mut words = |rig: &mut Rig, actors: &[Actor], held: bool, at: u64| {
                for actor in actors {
                    number += 1;
                    says(rig, actor.tap, number, at);
                    if let Some(part) = actor.kept_as(held) {
                        wanted.entry((u128::from(actor.tap), part)).or_default().push(number);
                    }
                }
            };
            words(&mut rig, &actors, held, begin + TURN / 4);
            let at = begin + TURN / 2;
            match chance.below(10) {
                0..3 => held = !held,
                3..5 => actors[0].stance = [Stance::Consult, Stance::Talk][chance.below(2) as usize],
                5..8 => {
                    let ways = [Stance::Listen, Stance::Whisper, Stance::Barge];
                    actors[1].stance = ways[chance.below(3) as usize];
                }
                8 if chance.below(20) == 0 => {
                    let actor = &mut actors[chance.below(2) as usize];
                    (actor.part, actor.stance) = (ports::Part::Agent, Stance::Talk);
                    joins(&mut rig, actor.tap, actor.part, at);
                }
                _ => {}
            }
            for actor in actors.iter_mut().filter(|actor| actor.part == ports::Part::Agent) {
                actor.stance = Stance::Talk;
            }
            plan(&mut rig, &actors, held, at);
            words(&mut rig, &actors, held, begin + TURN * 3 / 4);
            rig.turn();
        }
        let call = finished(&mut rig);
        assert_eq!(kept_as(&call), wanted, "seed {seed}");
    }
}
