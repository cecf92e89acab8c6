//! Every state with every input: what follows, or which refusal; and that the list of transitions is exactly that.

use std::collections::BTreeSet;

use super::*;
use crate::offer;

const NOW: Timestamp = Timestamp(10_000_000_000);
const OFFER: OfferId = OfferId(7);
const AGENT: StaffId = StaffId(8);
/// Moves between agents that a later step of the desk makes (cold transfer to a person): allowed, made by no input yet.
const LATER: [(Status, Status); 1] = [(Status::Answered, Status::Ringing)];

fn long_ago() -> Timestamp {
    NOW.minus(CALL_LIMIT)
}

fn states() -> [State; 8] {
    let end = End {
        at: long_ago(),
        reason: Reason::CustomerHangup,
        phase: Status::Queued,
    };
    let since = long_ago();
    [
        State::Initiated { since },
        State::Queued { since },
        State::Ringing { offer: OFFER },
        State::Connecting {
            offer: OFFER,
            agent: AGENT,
            since,
        },
        State::Answered {
            offer: OFFER,
            agent: AGENT,
            since,
        },
        State::Completed(end),
        State::Abandoned(end),
        State::Failed(end),
    ]
}

fn inputs() -> [Input; 20] {
    [
        Input::Enqueue,
        Input::Offer { offer: OFFER },
        Input::Accept {
            offer: OFFER,
            agent: AGENT,
        },
        Input::OfferEnded { offer: OFFER },
        Input::Live,
        Input::AgentLegFailed,
        Input::CustomerLegFailed,
        Input::ConnectingTimeout { customer_up: true },
        Input::ConnectingTimeout { customer_up: false },
        Input::HandOver {
            offer: OFFER,
            agent: AGENT,
            leaves: Leaves::WritesUp,
        },
        Input::HangUp(Who::Customer),
        Input::HangUp(Who::Agent(AGENT)),
        Input::HangUp(Who::Staff),
        Input::CustomerLost,
        Input::AgentLost,
        Input::QueueTimeout,
        Input::InitiatedTimeout,
        Input::TooLong,
        Input::NodeLost,
        Input::Drain,
    ]
}

fn call(state: State) -> Call {
    Call {
        id: CallId(1),
        state,
        enqueued_at: Some(long_ago()),
        priority: 0,
    }
}

/// One letter per outcome: the status that follows, `.` for nothing, `x` illegal, `l` offer lost, `n` not yours.
fn outcome(state: State, input: Input) -> char {
    let mut call = call(state);
    let before = call.clone();
    match call.apply(NOW, input) {
        Err(refusal) => {
            assert_eq!(call, before, "a refused input has changed nothing: {state:?} {input:?}");
            match refusal {
                Refusal::IllegalTransition => 'x',
                Refusal::OfferLost => 'l',
                Refusal::NotYours => 'n',
                other => panic!("{other:?} is no refusal of a call"),
            }
        }
        Ok(effects) => {
            if call.status() == before.status() {
                assert_eq!((call, effects), (before, Vec::new()), "{state:?} {input:?}");
                return '.';
            }
            assert!(!effects.is_empty());
            match call.status() {
                Status::Initiated => 'i',
                Status::Queued => 'q',
                Status::Ringing => 'r',
                Status::Connecting => 'c',
                Status::Answered => 'a',
                Status::Completed => 'C',
                Status::Abandoned => 'A',
                Status::Failed => 'F',
            }
        }
    }
}

#[test]
fn every_state_answers_every_input_as_the_table_says() {
    // Columns: initiated queued ringing connecting answered completed abandoned failed.
    let table: [(&str, &str); 20] = [
        ("enqueue", "q.xxxxxx"),
        ("offer", "xr.xxxxx"),
        ("accept", "llc..lll"),
        ("offer ended", "..q....."),
        ("live", "xxxa...."),
        ("agent's leg failed", "...qq..."),
        ("customer's leg failed", "...FC..."),
        ("connecting too long, customer up", "...q...."),
        ("connecting too long, nobody up", "...F...."),
        ("another owner, who is the same", "xxxx.xxx"),
        ("customer hangs up", "AAAAC..."),
        ("agent hangs up", "nnnqC..."),
        ("staff hangs up", "AAAAC..."),
        ("customer lost", "AAAAC..."),
        ("agent lost", "..qqq..."),
        ("queue too long", "xAxxx..."),
        ("initiated too long", "F......."),
        ("call too long", "xxxxC..."),
        ("node lost", "FFFFF..."),
        ("drain", "FFFFC..."),
    ];
    for ((name, expected), input) in table.iter().zip(inputs()) {
        let got: String = states().iter().map(|state| outcome(*state, input)).collect();
        assert_eq!(got, *expected, "{name}");
    }
}

#[test]
fn the_list_of_transitions_is_what_inputs_do() {
    let mut made = BTreeSet::from(LATER);
    for state in states() {
        for input in inputs() {
            let mut call = call(state);
            let before = call.status();
            if call.apply(NOW, input).is_ok() && call.status() != before {
                made.insert((before, call.status()));
            }
        }
    }
    let listed: BTreeSet<_> = TRANSITIONS.iter().copied().collect();
    assert_eq!(listed.len(), TRANSITIONS.len(), "nothing is listed twice");
    assert_eq!(made, listed);
}

#[test]
fn deadlines_count_from_their_very_microsecond() {
    let since = NOW;
    let almost = |limit: Span| NOW.plus(Span(limit.0 - 1));
    let mut initiated = call(State::Initiated { since });
    assert_eq!(
        initiated.apply(almost(INITIATED_LIMIT), Input::InitiatedTimeout),
        Err(Refusal::IllegalTransition)
    );
    assert!(
        initiated
            .apply(NOW.plus(INITIATED_LIMIT), Input::InitiatedTimeout)
            .is_ok()
    );
    let connecting = State::Connecting {
        offer: OFFER,
        agent: AGENT,
        since,
    };
    let timeout = Input::ConnectingTimeout { customer_up: false };
    assert_eq!(
        call(connecting).apply(almost(CONNECTING_LIMIT), timeout),
        Err(Refusal::IllegalTransition)
    );
    assert!(call(connecting).apply(NOW.plus(CONNECTING_LIMIT), timeout).is_ok());
    let answered = State::Answered {
        offer: OFFER,
        agent: AGENT,
        since,
    };
    assert_eq!(
        call(answered).apply(almost(CALL_LIMIT), Input::TooLong),
        Err(Refusal::IllegalTransition)
    );
    assert!(call(answered).apply(NOW.plus(CALL_LIMIT), Input::TooLong).is_ok());
}

#[test]
fn another_offer_or_another_agent_gets_nothing() {
    let ringing = State::Ringing { offer: OFFER };
    let other = Input::Accept {
        offer: OfferId(99),
        agent: AGENT,
    };
    assert_eq!(call(ringing).apply(NOW, other), Err(Refusal::OfferLost));
    assert_eq!(
        call(ringing).apply(NOW, Input::OfferEnded { offer: OfferId(99) }),
        Ok(Vec::new())
    );
    let answered = State::Answered {
        offer: OFFER,
        agent: AGENT,
        since: NOW,
    };
    assert_eq!(
        call(answered).apply(NOW, Input::HangUp(Who::Agent(StaffId(99)))),
        Err(Refusal::NotYours)
    );
}

#[test]
fn another_owner_has_the_call_with_his_own_offer_and_the_first_answers_time() {
    let other = (OfferId(99), StaffId(99));
    for (leaves, effect) in [
        (Leaves::WritesUp, Effect::BeginWrapUp(OFFER)),
        (Leaves::Lost, Effect::TakeBack(OFFER, offer::Rescinded::AgentLost)),
    ] {
        let mut call = call(states()[4]);
        let (offer, agent) = other;
        let input = Input::HandOver { offer, agent, leaves };
        assert_eq!(call.apply(NOW, input), Ok(vec![effect]));
        let since = long_ago();
        assert_eq!(call.state, State::Answered { offer, agent, since });
    }
}

#[test]
fn a_call_that_comes_back_keeps_its_first_time_and_gains_priority() {
    let mut call = call(State::Answered {
        offer: OFFER,
        agent: AGENT,
        since: NOW,
    });
    let effects = call.apply(NOW, Input::AgentLost).unwrap();
    assert!(effects.contains(&Effect::RescindOffer(OFFER, offer::Rescinded::AgentLost)));
    assert!(effects.contains(&Effect::OpenSegment {
        enqueued_at: long_ago(),
        priority: REQUEUE_PRIORITY
    }));
    assert!(effects.contains(&Effect::CloseAgentLeg) && !effects.contains(&Effect::CloseRoom));
}

#[test]
fn whatever_ends_a_call_frees_its_agent_and_closes_its_room() {
    for state in states() {
        for input in inputs() {
            let mut call = call(state);
            let held = matches!(
                state,
                State::Ringing { .. } | State::Connecting { .. } | State::Answered { .. }
            );
            let Ok(effects) = call.apply(NOW, input) else { continue };
            if !call.status().is_terminal() || effects.is_empty() {
                continue;
            }
            assert!(effects.contains(&Effect::CloseRoom), "{state:?} {input:?}");
            let freed = effects.iter().any(|effect| {
                matches!(
                    effect,
                    Effect::RescindOffer(OFFER, _) | Effect::BeginWrapUp(OFFER) | Effect::FailOffer(OFFER)
                )
            });
            assert_eq!(freed, held, "{state:?} {input:?}");
            assert!(effects.iter().any(|effect| matches!(effect, Effect::Tell(_))));
        }
    }
}

#[test]
fn words_and_states_are_one_to_one() {
    for status in Status::ALL {
        assert_eq!(Status::from_word(status.word()), Some(status));
    }
    let of_states: Vec<Status> = states().iter().map(|state| call(*state).status()).collect();
    assert_eq!(of_states, Status::ALL);
}

#[test]
fn the_sound_of_a_call_is_changed_with_sound_only_by_its_agent_and_those_above_him() {
    let other = StaffId(AGENT.0 + 1);
    for state in states() {
        let call = call(state);
        let may = |who| call.sound_may_change(who);
        assert_eq!(may(Who::Customer), Err(Refusal::NotYours), "{state:?}");
        if call.status() == Status::Answered {
            assert_eq!(may(Who::Agent(AGENT)), Ok(()));
            assert_eq!(may(Who::Staff), Ok(()));
            assert_eq!(may(Who::Agent(other)), Err(Refusal::NotYours));
        } else {
            for who in [Who::Agent(AGENT), Who::Agent(other), Who::Staff] {
                assert_eq!(may(who), Err(Refusal::IllegalTransition), "{state:?}");
            }
        }
    }
}
