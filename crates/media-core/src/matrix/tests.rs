//! Who hears whom, against the table written out, a grid of all pairs, and random rooms.

use proptest::prelude::*;

use super::*;

const PARTS: [Part; 5] = [
    Part::Customer,
    Part::Agent,
    Part::Partner,
    Part::Supervisor,
    Part::Preflight,
];

use Stance::{Barge, Consult, Held, Listen, Muted, Queued, Talk, Waiting, Whisper};

/// What customer, agent, partner and supervisor do, and who then hears whom: `A:CS` is "the agent hears customer and
/// supervisor", `*` is the music, `~` that of those who wait. A part that is not there does nothing.
const TABLE: &[(&str, [Stance; 4], &str)] = &[
    ("nobody has begun", [Waiting, Waiting, Waiting, Waiting], ""),
    ("waiting", [Queued, Waiting, Waiting, Waiting], "C:~"),
    (
        "waiting while somebody is on his way",
        [Queued, Talk, Waiting, Waiting],
        "C:~",
    ),
    ("waiting, listen", [Queued, Talk, Waiting, Listen], "C:~"),
    ("waiting, whisper", [Queued, Talk, Waiting, Whisper], "C:~ A:S S:A"),
    ("waiting, barge", [Queued, Talk, Waiting, Barge], "C:~ A:S S:A"),
    ("the agent was taken out", [Talk, Waiting, Waiting, Waiting], "C:*"),
    (
        "the agent was taken out, listen",
        [Talk, Waiting, Waiting, Listen],
        "C:*",
    ),
    (
        "the agent was taken out, barge",
        [Talk, Waiting, Waiting, Barge],
        "C:S S:C",
    ),
    ("talk", [Talk, Talk, Waiting, Waiting], "C:A A:C"),
    ("hold", [Held, Talk, Waiting, Waiting], "C:*"),
    ("consult", [Held, Consult, Consult, Waiting], "C:* A:P P:A"),
    ("conference", [Talk, Talk, Talk, Waiting], "C:AP A:CP P:CA"),
    (
        "agent and partner on their own beside a talking customer",
        [Talk, Consult, Consult, Waiting],
        "C:* A:P P:A",
    ),
    ("agent muted", [Talk, Muted, Waiting, Waiting], "A:C"),
    ("customer muted", [Muted, Talk, Waiting, Waiting], "C:A"),
    (
        "customer muted in conference",
        [Muted, Talk, Talk, Waiting],
        "C:AP A:P P:A",
    ),
    ("talk, listen", [Talk, Talk, Waiting, Listen], "C:A A:C S:CA"),
    ("hold, listen", [Held, Talk, Waiting, Listen], "C:*"),
    ("consult, listen", [Held, Consult, Consult, Listen], "C:* A:P P:A S:AP"),
    ("conference, listen", [Talk, Talk, Talk, Listen], "C:AP A:CP P:CA S:CAP"),
    ("agent muted, listen", [Talk, Muted, Waiting, Listen], "A:C S:C"),
    ("talk, whisper", [Talk, Talk, Waiting, Whisper], "C:A A:CS S:CA"),
    ("hold, whisper", [Held, Talk, Waiting, Whisper], "C:* A:S S:A"),
    (
        "consult, whisper",
        [Held, Consult, Consult, Whisper],
        "C:* A:PS P:A S:AP",
    ),
    (
        "conference, whisper",
        [Talk, Talk, Talk, Whisper],
        "C:AP A:CPS P:CA S:CAP",
    ),
    ("agent muted, whisper", [Talk, Muted, Waiting, Whisper], "A:CS S:C"),
    ("talk, barge", [Talk, Talk, Waiting, Barge], "C:AS A:CS S:CA"),
    ("hold, barge", [Held, Talk, Waiting, Barge], "C:* A:S S:A"),
    ("consult, barge", [Held, Consult, Consult, Barge], "C:* A:PS P:AS S:AP"),
    (
        "conference, barge",
        [Talk, Talk, Talk, Barge],
        "C:APS A:CPS P:CAS S:CAP",
    ),
];

const fn seat(part: Part, stance: Stance) -> Seat {
    Seat {
        part,
        stance,
        uplink: true,
        line: Line::Here,
    }
}

fn room(seats: &[(usize, Seat)]) -> Edges {
    let mut places = [None; LEGS_PER_ROOM_MAX];
    for &(place, seat) in seats {
        places[place] = Some(seat);
    }
    edges(&places)
}

/// Who hears whom, in the words of [`TABLE`].
fn words(places: [usize; 4], stances: [Stance; 4]) -> String {
    let seats = [0, 1, 2, 3].map(|n| (places[n], seat(PARTS[n], stances[n])));
    let edges = room(&seats);
    let mut all = [None; LEGS_PER_ROOM_MAX];
    for (place, seat) in seats {
        all[place] = Some(seat);
    }
    let unmet = unmet(&all, edges);
    let mut lines = Vec::new();
    for (sink, letter) in ["C", "A", "P", "S"].into_iter().enumerate() {
        let heard = (0..4).filter(|&source| edges.hears(places[sink], places[source]));
        let mut heard: String = heard.map(|source| ['C', 'A', 'P', 'S'][source]).collect();
        if hears_music(&seats[sink].1) || unmet >> places[sink] & 1 == 1 {
            heard.push('*');
        }
        if queues(&seats[sink].1) {
            heard.push('~');
        }
        if !heard.is_empty() {
            lines.push(format!("{letter}:{heard}"));
        }
    }
    lines.join(" ")
}

#[test]
fn who_hears_whom_is_the_table_wherever_the_four_sit() {
    for &(name, stances, expected) in TABLE {
        for places in [[0, 1, 2, 3], [7, 0, 4, 2], [3, 6, 5, 1]] {
            assert_eq!(words(places, stances), expected, "{name}");
        }
    }
}

/// `x`: hears. `a`: hears if he who hears is the agent. `s`: hears if he who speaks is the agent.
/// Rows hear, columns speak: talk, muted, held, consult, listen, whisper, barge, queued.
const PAIRS: [(Stance, &str); 8] = [
    (Talk, "x....ax."),
    (Muted, "x....ax."),
    (Held, "........"),
    (Consult, "...x.ax."),
    (Listen, "........"),
    (Whisper, "s..s...."),
    (Barge, "x..x..x."),
    (Queued, "........"),
];

/// What a part may do at all.
fn becomes(part: Part, stance: Stance) -> bool {
    match part {
        Part::Customer => matches!(stance, Queued | Talk | Muted | Held),
        Part::Agent | Part::Partner => matches!(stance, Talk | Muted | Held | Consult),
        Part::Supervisor => matches!(stance, Listen | Whisper | Barge),
        Part::Preflight => false,
    }
}

/// He hears himself, and that is all.
fn tests_his_line(seat: &Seat) -> bool {
    seat.part == Part::Preflight && seat.stance == Talk && seat.uplink
}

#[test]
fn every_pair_of_part_stance_and_uplink_gives_exactly_the_edges_of_the_grid() {
    let mut all = Vec::new();
    for part in PARTS {
        for stance in Stance::ALL {
            all.extend([true, false].map(|uplink| Seat {
                uplink,
                ..seat(part, stance)
            }));
        }
    }
    let hears = |sink: &Seat, source: &Seat| {
        if !becomes(sink.part, sink.stance) || !becomes(source.part, source.stance) || !source.uplink {
            return false;
        }
        let row = PAIRS.iter().find(|(stance, _)| *stance == sink.stance).unwrap();
        let column = PAIRS.iter().position(|(stance, _)| *stance == source.stance).unwrap();
        match row.1.as_bytes()[column] {
            b'x' => true,
            b'a' => sink.part == Part::Agent,
            b's' => source.part == Part::Agent,
            _ => false,
        }
    };
    for a in &all {
        for b in &all {
            let edges = room(&[(1, *a), (7, *b)]);
            assert_eq!(edges.hears(7, 1), hears(b, a), "{a:?} to {b:?}");
            assert_eq!(edges.hears(1, 7), hears(a, b), "{b:?} to {a:?}");
            assert_eq!(edges.hears(1, 1), tests_his_line(a), "{a:?}");
            assert_eq!(edges.hears(7, 7), tests_his_line(b), "{b:?}");
        }
    }
}

#[test]
fn two_who_talk_hear_each_other_and_nobody_else() {
    let edges = room(&[(0, seat(Part::Customer, Talk)), (5, seat(Part::Agent, Talk))]);
    assert_eq!((edges.sinks(0), edges.sinks(5)), (1 << 5, 1));
    assert_eq!((edges.sources(0), edges.sources(5)), (1 << 5, 1));
    assert!(
        (1..5)
            .chain(6..8)
            .all(|place| edges.sinks(place) == 0 && edges.sources(place) == 0)
    );
}

#[test]
fn a_full_room_where_all_talk_is_all_edges_but_the_diagonal() {
    let edges = edges(&[Some(seat(Part::Partner, Talk)); LEGS_PER_ROOM_MAX]);
    for source in 0..LEGS_PER_ROOM_MAX {
        assert_eq!(edges.sinks(source), !(1u8 << source));
    }
}

#[test]
fn what_is_whispered_reaches_no_other_supervisor_and_no_recording() {
    let whispering = seat(Part::Supervisor, Whisper);
    for other in [Listen, Whisper, Barge] {
        let edges = room(&[
            (0, seat(Part::Customer, Talk)),
            (1, seat(Part::Agent, Talk)),
            (2, whispering),
            (3, seat(Part::Supervisor, other)),
        ]);
        assert_eq!(edges.sinks(2), 1 << 1, "{other:?}");
    }
    assert!(!recorded(&whispering) && recorded(&seat(Part::Supervisor, Barge)));
    assert!(recorded(&seat(Part::Agent, Talk)) && recorded(&seat(Part::Partner, Talk)));
    assert!(!converses(&whispering) && !converses(&seat(Part::Supervisor, Barge)));
    assert!(converses(&seat(Part::Partner, Talk)));
}

#[test]
fn who_listens_may_send_nothing_whatever_his_answer_said() {
    assert!(!may_send(&seat(Part::Supervisor, Listen)));
    assert!(may_send(&seat(Part::Supervisor, Whisper)) && may_send(&seat(Part::Customer, Held)));
}

fn any_seat() -> impl Strategy<Value = Option<Seat>> {
    let lines = [Line::Joining, Line::Here, Line::Away];
    let seat = (0..PARTS.len(), 0..Stance::ALL.len(), any::<bool>(), 0..lines.len());
    proptest::option::weighted(
        0.8,
        seat.prop_map(move |(part, stance, uplink, line)| Seat {
            part: PARTS[part],
            stance: Stance::ALL[stance],
            uplink,
            line: lines[line],
        }),
    )
}

/// Who is away of customer, agent and partner, what the three and a supervisor do, and who is left alone.
const ALONE: &[(&str, &str, [Stance; 4], &str)] = &[
    ("nobody is away", "", [Talk, Talk, Waiting, Waiting], ""),
    (
        "the customer's page is loaded anew",
        "C",
        [Talk, Talk, Waiting, Waiting],
        "A",
    ),
    ("the agent's is", "A", [Talk, Talk, Waiting, Waiting], "C"),
    ("a muted agent is away", "A", [Talk, Muted, Waiting, Waiting], "C"),
    ("a muted customer waits too", "A", [Muted, Talk, Waiting, Waiting], "C"),
    ("both are away", "CA", [Talk, Talk, Waiting, Waiting], "CA"),
    (
        "the customer is on hold anyway",
        "A",
        [Held, Talk, Waiting, Waiting],
        "",
    ),
    (
        "a held customer is missed by nobody",
        "C",
        [Held, Talk, Waiting, Waiting],
        "",
    ),
    ("one of three is away", "A", [Talk, Talk, Talk, Waiting], ""),
    ("two of three are away", "AP", [Talk, Talk, Talk, Waiting], "C"),
    (
        "the partner of a consultation is away",
        "P",
        [Held, Consult, Consult, Waiting],
        "A",
    ),
    ("a listener is no company", "C", [Talk, Talk, Waiting, Listen], "A"),
    (
        "who whispers keeps the agent company",
        "C",
        [Talk, Talk, Waiting, Whisper],
        "",
    ),
    ("and not the customer", "A", [Talk, Talk, Waiting, Whisper], "C"),
    ("who joins keeps all company", "A", [Talk, Talk, Waiting, Barge], ""),
    ("nobody else is there", "", [Talk, Waiting, Waiting, Waiting], ""),
];

#[test]
fn who_is_left_alone_is_the_table() {
    for &(name, away, stances, expected) in ALONE {
        let mut seats = [None; LEGS_PER_ROOM_MAX];
        for (place, letter) in ["C", "A", "P", "S"].into_iter().enumerate() {
            seats[place] = Some(Seat {
                line: if away.contains(letter) { Line::Away } else { Line::Here },
                ..seat(PARTS[place], stances[place])
            });
        }
        let alone = left_alone(&seats, edges(&seats));
        let alone: String = (0..8)
            .filter(|&place| alone >> place & 1 == 1)
            .map(|place| ['C', 'A', 'P', 'S'][place])
            .collect();
        assert_eq!(alone, expected, "{name}");
    }
}

/// Who is here of customer, agent, partner and supervisor (small: on his way), what they do, and whether the customer hears
/// music because there is nobody to talk to.
const UNMET: &[(&str, &str, [Stance; 4], bool)] = &[
    ("the agent is on his way", "Ca", [Talk, Talk, Waiting, Waiting], true),
    ("he is there", "CA", [Talk, Talk, Waiting, Waiting], false),
    ("he is there and muted", "CA", [Talk, Muted, Waiting, Waiting], false),
    (
        "a muted customer waits too",
        "Ca",
        [Muted, Talk, Waiting, Waiting],
        true,
    ),
    ("nobody else has a leg", "C", [Talk, Waiting, Waiting, Waiting], true),
    (
        "the agent is there and out of the plan",
        "CA",
        [Talk, Waiting, Waiting, Waiting],
        true,
    ),
    (
        "the agent was loaded anew and is away",
        "C-",
        [Talk, Talk, Waiting, Waiting],
        true,
    ),
    ("a partner is there", "CaP", [Talk, Talk, Talk, Waiting], false),
    (
        "a partner who consults is no company",
        "CAP",
        [Talk, Consult, Consult, Waiting],
        true,
    ),
    ("a listener is no company", "Ca S", [Talk, Talk, Waiting, Listen], true),
    ("nor is who whispers", "Ca S", [Talk, Talk, Waiting, Whisper], true),
    ("who joins is", "Ca S", [Talk, Talk, Waiting, Barge], false),
    (
        "unless he is on his way himself",
        "Ca s",
        [Talk, Talk, Waiting, Barge],
        true,
    ),
    (
        "who waits or is on hold hears it by the plan",
        "Ca",
        [Queued, Talk, Waiting, Waiting],
        false,
    ),
    (
        "an agent waits for his customer in silence",
        "cA",
        [Held, Talk, Waiting, Waiting],
        false,
    ),
];

#[test]
fn a_customer_without_anybody_to_talk_to_is_the_table_and_nobody_else_ever_is() {
    for &(name, here, stances, expected) in UNMET {
        let mut seats = [None; LEGS_PER_ROOM_MAX];
        for (place, letter) in here.chars().enumerate().filter(|(_, letter)| *letter != ' ') {
            let line = match letter {
                '-' => Line::Away,
                letter if letter.is_lowercase() => Line::Joining,
                _ => Line::Here,
            };
            seats[place] = Some(Seat {
                line,
                ..seat(PARTS[place], stances[place])
            });
        }
        assert_eq!(unmet(&seats, edges(&seats)), u8::from(expected), "{name}");
    }
}

proptest! {
    #![proptest_config(testkit::properties::properties(10_000))]

    #[test]
    fn who_is_left_alone_hears_nobody_who_is_there_and_being_away_changes_no_edge(seats in prop::array::uniform8(any_seat())) {
        let edges = edges(&seats);
        let here = seats.map(|seat| seat.map(|seat| Seat { line: Line::Here, ..seat }));
        prop_assert_eq!(edges, super::edges(&here));
        prop_assert_eq!(left_alone(&here, edges), 0, "with all there nobody is alone");
        let alone = left_alone(&seats, edges);
        for place in (0..8).filter(|&place| alone >> place & 1 == 1) {
            let seat = seats[place].unwrap();
            prop_assert!(becomes(seat.part, seat.stance) && matches!(seat.stance, Talk | Muted | Consult));
            prop_assert!(!hears_music(&seat), "the plan's music is another");
            let heard = (0..8).filter(|&source| edges.hears(place, source));
            prop_assert!(heard.into_iter().all(|source| seats[source].unwrap().line == Line::Away));
        }
    }

    #[test]
    fn who_is_unmet_is_a_customer_who_hears_nobody_who_is_there(seats in prop::array::uniform8(any_seat())) {
        let edges = edges(&seats);
        let unmet = unmet(&seats, edges);
        for place in 0..8 {
            let heard = (0..8).any(|source| edges.hears(place, source) && seats[source].unwrap().line == Line::Here);
            let customer = seats[place].is_some_and(|seat| {
                seat.part == Part::Customer && matches!(seat.stance, Talk | Muted)
            });
            let company = (0..8).any(|other| other != place && seats[other].is_some_and(|seat| {
                seat.line == Line::Here && becomes(seat.part, seat.stance) && matches!(seat.stance, Talk | Muted)
            }));
            prop_assert_eq!(unmet >> place & 1 == 1, customer && !heard && !company);
        }
    }

    #[test]
    fn whatever_the_plan_nobody_hears_what_he_must_not(seats in prop::array::uniform8(any_seat())) {
        let edges = edges(&seats);
        let at = |place: usize| seats[place].as_ref();
        let is = |place: usize, part, stance| at(place).is_some_and(|seat| seat.part == part && seat.stance == stance);
        let party = |place: usize| at(place).is_some_and(|seat| {
            becomes(seat.part, seat.stance) && matches!(seat.stance, Talk | Muted | Consult | Barge)
        });
        let whispered = (0..8).filter(|&place| is(place, Part::Supervisor, Whisper)).fold(0u8, |bits, place| bits | 1 << place);
        let overheard = (0..8).filter(|&place| party(place)).fold(0u8, |bits, place| bits | edges.sources(place)) & !whispered;
        for place in 0..8 {
            let (sinks, sources) = (edges.sinks(place), edges.sources(place));
            let echo = at(place).is_some_and(tests_his_line);
            prop_assert_eq!(edges.hears(place, place), echo, "nobody hears himself but who tests his line");
            let Some(seat) = at(place) else {
                prop_assert_eq!((sinks, sources), (0, 0), "an empty place takes no part");
                continue;
            };
            if echo {
                prop_assert_eq!((sinks, sources), (1 << place, 1 << place), "an echo is between him and us");
                prop_assert!(!recorded(seat));
            } else if !becomes(seat.part, seat.stance) {
                prop_assert_eq!((sinks, sources), (0, 0), "a stance that is not the part's gives nothing");
            }
            if !seat.uplink || matches!(seat.stance, Waiting | Queued | Muted | Held | Listen) {
                prop_assert_eq!(sinks, 0, "who does not speak is heard by nobody");
            }
            if matches!(seat.stance, Held | Queued) {
                prop_assert_eq!(sources, 0, "who is on hold or waits hears no person");
            }
            if is(place, Part::Supervisor, Listen) {
                prop_assert_eq!(sources, overheard & !(1 << place), "who listens hears what a party hears");
            }
            if is(place, Part::Supervisor, Whisper) {
                let agents = (0..8).filter(|&sink| sinks >> sink & 1 == 1).all(|sink| at(sink).unwrap().part == Part::Agent);
                prop_assert!(agents, "what is whispered reaches the agent only");
            }
        }
    }
}
