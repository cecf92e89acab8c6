//! A random day at the desk, in memory and in virtual time: the real rules, everything that can go wrong, and after
//! each step the promises that the database also keeps.
//!
//! Prints its seed; `HELPLINE_SEED` repeats a day.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use call_model::agent::{Agent, CONTACT_COOL_DOWN, Chosen, MISSED_COOL_DOWN, STRIKES_MAX};
use call_model::call::{self, CALL_LIMIT, CONNECTING_LIMIT, Call, Status, Who};
use call_model::offer::{self, LEASE, Offer, WRAP_UP};
use call_model::routing::{Candidate, Standing, Strategy, Waiting, rank_at, route};
use call_model::{CallId, OfferId, Refusal, Span, StaffId, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

/// Calls of the day; the issue asks for 200,000 at least.
const CALLS: u128 = 200_000;
/// People at the desk.
const AGENTS: u128 = 40;
/// Longest wait in the queue.
const QUEUE_LIMIT: Span = Span::seconds(300);
/// Mean time between two calls, milliseconds: a little more than the desk can take.
const BETWEEN_MS: f64 = 2_200.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrive,
    Say(OfferId, bool),
    Expire(OfferId),
    Live(CallId),
    LegFails(CallId, bool),
    Connecting(CallId),
    HangUp(CallId, bool),
    CustomerLost(CallId),
    QueueLimit(CallId),
    TooLong(CallId),
    WrapUp(OfferId),
    Extend(OfferId),
    Presence(StaffId),
    AgentLost(StaffId),
    Pass,
}

struct Person {
    agent: Agent,
    standing: Standing,
    strikes: u32,
}

struct Day {
    rng: StdRng,
    now: Timestamp,
    agenda: BinaryHeap<Reverse<(Timestamp, u64, What)>>,
    number: u64,
    calls: BTreeMap<CallId, Call>,
    offers: BTreeMap<OfferId, Offer>,
    people: BTreeMap<StaffId, Person>,
    apart: BTreeMap<(CallId, StaffId), Timestamp>,
    started: u128,
    next_offer: u128,
    ends: BTreeMap<&'static str, u64>,
    refusals: u64,
}

impl Day {
    fn new(seed: u64) -> Day {
        let mut day = Day {
            rng: StdRng::seed_from_u64(seed),
            now: Timestamp(0),
            agenda: BinaryHeap::new(),
            number: 0,
            calls: BTreeMap::new(),
            offers: BTreeMap::new(),
            people: BTreeMap::new(),
            apart: BTreeMap::new(),
            started: 0,
            next_offer: 0,
            ends: BTreeMap::new(),
            refusals: 0,
        };
        for n in 0..AGENTS {
            let id = StaffId(n);
            let agent = Agent {
                id,
                active: true,
                chosen: Chosen::Online,
                lease_until: Timestamp(i64::MAX),
                round_trip: Some(Span::millis(30)),
                media_checked: true,
                slots: 1 + u32::from(n % 10 == 0),
                held: 0,
                cools_until: None,
            };
            let standing = Standing {
                tier: 1,
                idle_since: Timestamp(0),
                asked_at: None,
                occupied_s: 0.0,
            };
            day.people.insert(
                id,
                Person {
                    agent,
                    standing,
                    strikes: 0,
                },
            );
            day.later(600.0, What::Presence(id));
            day.later(3_000.0, What::AgentLost(id));
        }
        day.later(0.0, What::Arrive);
        day
    }

    /// In about `mean_s` seconds, exponentially.
    fn later(&mut self, mean_s: f64, what: What) {
        let draw: f64 = self.rng.random_range(f64::EPSILON..1.0);
        self.after(Span((-draw.ln() * mean_s * 1e6) as i64), what);
    }

    fn after(&mut self, span: Span, what: What) {
        self.number += 1;
        self.agenda.push(Reverse((self.now.plus(span), self.number, what)));
    }

    fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share)
    }

    fn run(&mut self) {
        while let Some(Reverse((at, _, what))) = self.agenda.pop() {
            self.now = at;
            self.step(what);
            self.check(what);
            if self.started >= CALLS && self.calls.is_empty() && self.offers.is_empty() {
                return;
            }
        }
        panic!("the agenda ran dry with {} calls open", self.calls.len());
    }

    fn step(&mut self, what: What) {
        match what {
            What::Arrive => self.arrive(),
            What::Say(offer, yes) => self.say(offer, yes),
            What::Expire(offer) => self.offer_input(offer, offer::Input::Expire),
            What::Live(call) => self.call_input(call, call::Input::Live),
            What::LegFails(call, agent) => {
                let input = if agent {
                    call::Input::AgentLegFailed
                } else {
                    call::Input::CustomerLegFailed
                };
                self.call_input(call, input);
            }
            What::Connecting(call) => {
                let customer_up = self.chance(0.5);
                self.call_input(call, call::Input::ConnectingTimeout { customer_up });
            }
            What::HangUp(call, customer) => {
                let agent = self.calls.get(&call).and_then(Call::agent);
                let who = match agent.filter(|_| !customer) {
                    Some(agent) => Who::Agent(agent),
                    None => Who::Customer,
                };
                self.call_input(call, call::Input::HangUp(who));
            }
            What::CustomerLost(call) => self.call_input(call, call::Input::CustomerLost),
            What::QueueLimit(call) => {
                // Asked again while somebody rings, as the reaper does.
                if self
                    .calls
                    .get(&call)
                    .is_some_and(|call| call.status() == Status::Ringing)
                {
                    self.after(Span::seconds(1), What::QueueLimit(call));
                }
                self.call_input(call, call::Input::QueueTimeout);
            }
            What::TooLong(call) => self.call_input(call, call::Input::TooLong),
            What::WrapUp(offer) => self.wrap_up_over(offer),
            What::Extend(offer) => {
                if let Some(staff) = self.offers.get(&offer).map(|offer| offer.staff) {
                    self.offer_input(offer, offer::Input::ExtendWrapUp { by: staff });
                }
            }
            What::Presence(staff) => self.presence(staff),
            What::AgentLost(staff) => self.agent_lost(staff),
            What::Pass => {}
        }
        self.pass();
    }

    fn arrive(&mut self) {
        if self.started >= CALLS {
            return;
        }
        self.started += 1;
        let id = CallId(self.started);
        let mut call = Call::new(id, self.now);
        call.apply(self.now, call::Input::Enqueue)
            .expect("a fresh call may queue");
        self.calls.insert(id, call);
        self.after(QUEUE_LIMIT, What::QueueLimit(id));
        if self.chance(0.2) {
            self.later(60.0, What::HangUp(id, true));
        }
        if self.chance(0.05) {
            self.later(60.0, What::CustomerLost(id));
        }
        self.later(BETWEEN_MS / 1_000.0, What::Arrive);
    }

    fn say(&mut self, id: OfferId, yes: bool) {
        let Some(offer) = self.offers.get(&id) else { return };
        let by = offer.staff;
        // Somebody else's yes is refused and changes nothing.
        let stranger = StaffId(by.0 + 1);
        let refused = self
            .offers
            .get_mut(&id)
            .map(|offer| offer.apply(self.now, offer::Input::Accept { by: stranger }));
        assert_eq!(refused, Some(Err(Refusal::NotYours)));
        self.offer_input(
            id,
            if yes {
                offer::Input::Accept { by }
            } else {
                offer::Input::Reject { by }
            },
        );
        // Doubled commands equal once.
        if self.offers.contains_key(&id) && self.chance(0.1) {
            self.offer_input(
                id,
                if yes {
                    offer::Input::Accept { by }
                } else {
                    offer::Input::Reject { by }
                },
            );
        }
    }

    fn wrap_up_over(&mut self, id: OfferId) {
        let Some(offer) = self.offers.get(&id) else { return };
        if let offer::State::Wrapping { ends_at, .. } = offer.state
            && ends_at > self.now
        {
            return self.after(Span(ends_at.0 - self.now.0), What::WrapUp(id));
        }
        self.offer_input(id, offer::Input::EndWrapUp { by: None });
    }

    fn presence(&mut self, staff: StaffId) {
        let chosen = match self.rng.random_range(0..4) {
            0 => Chosen::Away,
            1 if self.started < CALLS => Chosen::Offline,
            _ => Chosen::Online,
        };
        if let Some(person) = self.people.get_mut(&staff) {
            person.agent.chosen = chosen;
            person.strikes = 0;
            person.standing.idle_since = self.now;
        }
        self.later(
            if chosen == Chosen::Online { 600.0 } else { 120.0 },
            What::Presence(staff),
        );
    }

    fn agent_lost(&mut self, staff: StaffId) {
        let held: Vec<CallId> = self
            .offers
            .values()
            .filter(|offer| offer.staff == staff)
            .map(|offer| offer.call)
            .collect();
        for call in held {
            let his = match self.calls.get(&call).map(|call| call.state) {
                Some(call::State::Ringing { offer }) => {
                    self.offers.get(&offer).is_some_and(|offer| offer.staff == staff)
                }
                Some(call::State::Connecting { agent, .. } | call::State::Answered { agent, .. }) => agent == staff,
                _ => false,
            };
            if his {
                self.call_input(call, call::Input::AgentLost);
            }
        }
        self.later(3_000.0, What::AgentLost(staff));
    }

    /// One router pass over everything that waits.
    fn pass(&mut self) {
        let waiting = self
            .calls
            .values()
            .filter(|call| call.status() == Status::Queued)
            .map(|call| Waiting {
                call: call.id,
                rank_at: rank_at(call.enqueued_at.expect("who waits has a time"), call.priority),
            });
        let waiting: Vec<Waiting> = waiting.collect();
        if waiting.is_empty() {
            return;
        }
        let candidates = self.candidates();
        let (apart, now) = (&self.apart, self.now);
        let chosen = route(now, &waiting, &candidates, Strategy::LongestIdle, |call, staff| {
            apart.get(&(call, staff)).is_some_and(|until| *until > now)
        });
        for (call, staff) in chosen {
            self.make_offer(call, staff);
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        self.people
            .values()
            .map(|person| Candidate {
                agent: person.agent,
                standing: person.standing,
            })
            .collect()
    }

    fn make_offer(&mut self, call: CallId, staff: StaffId) {
        self.next_offer += 1;
        let id = OfferId(self.next_offer);
        self.offers.insert(id, Offer::new(id, call, staff, self.now));
        let person = self.people.get_mut(&staff).expect("he is there");
        person.agent.held += 1;
        person.standing.asked_at = Some(self.now);
        self.call_input(call, call::Input::Offer { offer: id });
        self.after(LEASE, What::Expire(id));
        match self.rng.random_range(0..20) {
            0 => {}
            1..=2 => self.later(5.0, What::Say(id, false)),
            _ => self.later(5.0, What::Say(id, true)),
        }
    }

    fn offer_input(&mut self, id: OfferId, input: offer::Input) {
        let Some(offer) = self.offers.get_mut(&id) else { return };
        let (call, staff, before) = (offer.call, offer.staff, offer.status());
        let Ok(effects) = offer.apply(self.now, input) else {
            self.refusals += 1;
            return;
        };
        let (after, held) = (offer.status(), before.holds_slot());
        if held && !after.holds_slot() {
            self.offers.remove(&id);
            let person = self.people.get_mut(&staff).expect("he is there");
            person.agent.held -= 1;
            person.standing.idle_since = self.now;
        }
        for effect in effects {
            match effect {
                offer::Effect::CallAccepted => {
                    self.call_input(
                        call,
                        call::Input::Accept {
                            offer: id,
                            agent: staff,
                        },
                    );
                    self.connect(call);
                }
                offer::Effect::RequeueCall => self.call_input(call, call::Input::OfferEnded { offer: id }),
                offer::Effect::CoolDownContact => {
                    self.apart.insert((call, staff), self.now.plus(CONTACT_COOL_DOWN));
                    self.after(CONTACT_COOL_DOWN, What::Pass);
                }
                offer::Effect::Strike => self.strike(staff),
                offer::Effect::ForgetStrikes => {
                    self.people.get_mut(&staff).expect("he is there").strikes = 0;
                }
                offer::Effect::SlotFreed => {}
            }
        }
    }

    fn strike(&mut self, staff: StaffId) {
        let person = self.people.get_mut(&staff).expect("he is there");
        person.agent.cools_until = Some(self.now.plus(MISSED_COOL_DOWN));
        person.strikes += 1;
        if person.strikes >= STRIKES_MAX {
            person.agent.chosen = Chosen::Away;
        }
        self.after(MISSED_COOL_DOWN, What::Pass);
    }

    /// What becomes of a call that was accepted.
    fn connect(&mut self, call: CallId) {
        self.after(CONNECTING_LIMIT, What::Connecting(call));
        match self.rng.random_range(0..40) {
            0 => self.later(2.0, What::LegFails(call, true)),
            1 => self.later(2.0, What::LegFails(call, false)),
            2 => {}
            _ => self.later(1.0, What::Live(call)),
        }
        let customer = self.chance(0.7);
        self.later(60.0, What::HangUp(call, customer));
        self.after(CALL_LIMIT, What::TooLong(call));
    }

    fn call_input(&mut self, id: CallId, input: call::Input) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Ok(effects) = call.apply(self.now, input) else {
            self.refusals += 1;
            return;
        };
        let status = call.status();
        for effect in effects {
            match effect {
                call::Effect::RescindOffer(offer, why) => self.offer_input(offer, offer::Input::Rescind(why)),
                call::Effect::TakeBack(offer, why) => self.offer_input(offer, offer::Input::Rescind(why)),
                call::Effect::FailOffer(offer) => self.offer_input(offer, offer::Input::Fail),
                call::Effect::BeginWrapUp(offer) => {
                    self.offer_input(offer, offer::Input::CallEnded);
                    self.after(WRAP_UP, What::WrapUp(offer));
                    if self.chance(0.2) {
                        self.later(30.0, What::Extend(offer));
                    }
                }
                call::Effect::OpenSegment { .. } => self.after(QUEUE_LIMIT, What::QueueLimit(id)),
                call::Effect::CloseSegment
                | call::Effect::AdmitLegs { .. }
                | call::Effect::CloseAgentLeg
                | call::Effect::CloseRoom
                | call::Effect::WakeQueue
                | call::Effect::Tell(_) => {}
            }
        }
        if status.is_terminal() {
            *self.ends.entry(status.word()).or_default() += 1;
            let mut over = self.calls.remove(&id).expect("it was there");
            let kept = over.clone();
            assert_eq!(over.apply(self.now, call::Input::HangUp(Who::Customer)), Ok(Vec::new()));
            assert_eq!(over, kept, "a terminal call is immutable");
            self.apart.retain(|(call, _), _| *call != id);
        }
    }

    /// The promises, after every single step.
    fn check(&self, what: What) {
        let mut accepted: BTreeMap<CallId, OfferId> = BTreeMap::new();
        let mut held: BTreeMap<StaffId, u32> = BTreeMap::new();
        for offer in self.offers.values() {
            assert!(offer.status().holds_slot(), "an ended offer holds nothing: {what:?}");
            *held.entry(offer.staff).or_default() += 1;
            if matches!(
                offer.state,
                offer::State::Accepted { .. } | offer::State::Pending { .. }
            ) {
                let other = accepted.insert(offer.call, offer.id);
                assert_eq!(other, None, "a contact is promised once: {what:?}");
                let call = self.calls.get(&offer.call).expect("a promised call lives");
                let fits = match (call.state, offer.state) {
                    (call::State::Ringing { offer: own }, offer::State::Pending { .. })
                    | (
                        call::State::Connecting { offer: own, .. } | call::State::Answered { offer: own, .. },
                        offer::State::Accepted { .. },
                    ) => own == offer.id,
                    _ => false,
                };
                assert!(fits, "call and offer agree: {what:?} {call:?} {offer:?}");
            }
        }
        for person in self.people.values() {
            let holds = held.get(&person.agent.id).copied().unwrap_or(0);
            assert_eq!(person.agent.held, holds, "slots are counted right: {what:?}");
            assert!(holds <= person.agent.slots, "nobody is above his slots: {what:?}");
        }
        self.check_idle(what);
    }

    /// Nobody waits beside somebody who could take him.
    fn check_idle(&self, what: What) {
        let free: Vec<StaffId> = self
            .people
            .values()
            .filter(|one| one.agent.routable(self.now).is_ok())
            .map(|one| one.agent.id)
            .collect();
        for call in self.calls.values() {
            match call.state {
                call::State::Queued { .. } => {
                    let stranded = free.iter().find(|staff| {
                        self.apart
                            .get(&(call.id, **staff))
                            .is_none_or(|until| *until <= self.now)
                    });
                    assert_eq!(stranded, None, "{call:?} waits beside a free agent: {what:?}");
                }
                call::State::Ringing { offer }
                | call::State::Connecting { offer, .. }
                | call::State::Answered { offer, .. } => {
                    assert!(
                        self.offers.contains_key(&offer),
                        "a promised call has its offer: {what:?} {call:?}"
                    );
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_random_day_at_the_desk_keeps_every_promise() {
    let seed = std::env::var("HELPLINE_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    println!("HELPLINE_SEED={seed}");
    let mut day = Day::new(seed);
    day.run();
    let total: u64 = day.ends.values().sum();
    println!(
        "{total} calls: {:?}, {} offers, {} refusals",
        day.ends, day.next_offer, day.refusals
    );
    assert_eq!(u128::from(total), CALLS);
    for end in ["completed", "abandoned", "failed"] {
        assert!(
            day.ends.get(end).is_some_and(|count| *count > 100),
            "the day had every kind of end: {end}"
        );
    }
}
