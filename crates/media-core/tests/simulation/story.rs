//! What a call goes through, as the desk and the people in it bring it about.
//!
//! Everybody who is needed for a decision is here; what a single client does by itself is in `habits`.
//!
//! Invariant: every call is closed, whatever happens to it.

use media_core::command::Command;
use media_core::event::Cause;
use media_core::limits::{MS, SECOND};
use media_core::matrix::{Announce, Part, Plan, Shield, Stance, Tap};
use media_core::{LegId, RoomId, TransportId};

use crate::peer::{Begin, Life, Peer};
use crate::world::{What, World};

/// Talk before and undisturbed time before the end after which either must have heard the other.
const SETTLED: u64 = 8 * SECOND;
/// How long before the end either must have heard the other last.
const HEARD_WITHIN: u64 = 3 * SECOND;
/// Of what was said in a call that is only attacked, this share must be heard, in 1/1,000; and what is on its way.
const BESIEGED_HEARD: u32 = 970;
const ON_ITS_WAY: u32 = 12;

/// When the desk closes a call that everybody left: after every leg of it was lost.
const FORGOTTEN: u64 = 60 * SECOND;

/// Plans that one tone outlasts at most: it lasts a fifth of a second, and some things happen at once.
const PLANS_UNDER_A_TONE: usize = 6;

/// What is to be done at a time, in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Begins,
    AgentJoins,
    /// Counting begins in a call that is only attacked.
    Marks,
    Trouble,
    Stance(LegId, Stance),
    Leaves(LegId),
    TapOn,
    /// A client has the credentials of its restart.
    Restarted(usize),
    /// A client's new page has its answer.
    Reloads(usize),
    Attaches(usize, TransportId),
    Moves(usize),
    /// A client is told that it is over, or gives up.
    Told(usize),
    /// A leg of the call has ended by itself.
    Down(LegId),
    Ends,
    Closes,
}

/// One leg of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    pub(crate) peer: usize,
    pub(crate) leg: LegId,
    pub(crate) part: Part,
    pub(crate) stance: Stance,
}

pub(crate) struct Call {
    pub(crate) room: RoomId,
    /// Legs that were not ended by the desk.
    pub(crate) parties: Vec<Party>,
    /// The plan in force.
    pub(crate) epoch: u64,
    pub(crate) tap: Tap,
    /// Who is told of supervisors, from its begin to its end.
    pub(crate) announce: Announce,
    /// Since when it is.
    pub(crate) planned_at: u64,
    /// All plans, by epoch: who takes part how.
    pub(crate) plans: Vec<(Tap, Vec<Party>)>,
    pub(crate) closed: bool,
    /// Nothing but attacks happens to it, on good lines.
    pub(crate) besieged: bool,
    /// No trouble after that.
    pub(crate) quiet_from: u64,
    pub(crate) talk_since: u64,
    pub(crate) disturbed_until: u64,
    /// In a call that is only attacked: said by customer and agent and heard by the other, when counting began.
    mark: Option<[(u32, u32); 2]>,
}

impl Call {
    /// The number of a leg: of its client in the list, of its voice and of its tap.
    pub(crate) fn number_of(leg: LegId) -> u32 {
        leg.0 as u32
    }

    /// How a client took part under the plan `epoch`.
    pub(crate) fn part_under(&self, epoch: u64, peer: usize) -> Option<(Part, Stance)> {
        let (_, parties) = self.plans.get(epoch as usize)?;
        let party = parties.iter().find(|party| party.peer == peer)?;
        Some((party.part, party.stance))
    }

    /// Whether the tone may reach a client that was sent under the plan `epoch`: it is a party who is told, and somebody
    /// supervises, or did under one of the plans that were in force while the tone sounds.
    pub(crate) fn is_told(&self, epoch: u64, peer: usize) -> bool {
        let meant = match (self.announce, self.party_under(epoch, peer)) {
            (Announce::Nobody, _) | (_, None | Some(Part::Supervisor | Part::Preflight)) => false,
            (Announce::Agents, Some(part)) => part != Part::Customer,
            (Announce::All, Some(_)) => true,
        };
        let supervises = |party: &Party| {
            party.part == Part::Supervisor && matches!(party.stance, Stance::Listen | Stance::Whisper | Stance::Barge)
        };
        let plans = self
            .plans
            .iter()
            .take(epoch as usize + 1)
            .rev()
            .take(PLANS_UNDER_A_TONE);
        meant && plans.flat_map(|(_, parties)| parties).any(supervises)
    }

    fn party_under(&self, epoch: u64, peer: usize) -> Option<Part> {
        let plans = self.plans.iter().take(epoch as usize + 1).rev();
        let mut parties = plans.filter_map(|(_, parties)| parties.iter().find(|party| party.peer == peer));
        parties.next().map(|party| party.part)
    }

    /// The legs with whom a client was to talk under the plan `epoch`.
    pub(crate) fn company_under(&self, epoch: u64, peer: usize) -> impl Iterator<Item = LegId> {
        let parties = self.plans.get(epoch as usize).map_or(&[][..], |(_, parties)| parties);
        let talks = |party: &&Party| match party.part {
            Part::Supervisor => party.stance == Stance::Barge,
            _ => matches!(party.stance, Stance::Talk | Stance::Muted),
        };
        let others = parties.iter().filter(move |party| party.peer != peer);
        others.filter(talks).map(|party| party.leg)
    }

    pub(crate) fn party(&self, part: Part) -> Option<Party> {
        self.parties.iter().find(|party| party.part == part).copied()
    }
}

impl World {
    /// A call that begins `after` from now and lasts as long as chance wants.
    pub(crate) fn plan_call(&mut self, after: u64) {
        let call = self.calls.len();
        self.calls.push(Call {
            room: RoomId(call as u128 + 1),
            parties: Vec::new(),
            epoch: 0,
            planned_at: 0,
            tap: Tap::On,
            announce: [Announce::Nobody, Announce::Agents, Announce::All][self.chance.below(3) as usize],
            plans: vec![(Tap::Off, Vec::new())],
            closed: false,
            besieged: self.chance.permille(100),
            quiet_from: 0,
            talk_since: u64::MAX,
            disturbed_until: 0,
            mark: None,
        });
        self.later(after, What::Acts { call, act: Act::Begins });
    }

    pub(crate) fn act(&mut self, call: usize, act: Act) {
        match act {
            Act::Told(peer) => self.gone(peer),
            _ if self.calls[call].closed => {}
            Act::Begins => self.begins(call),
            Act::AgentJoins => self.agent_joins(call),
            Act::Marks => self.calls[call].mark = self.count(call),
            Act::Trouble => self.trouble(call),
            Act::Stance(leg, stance) => self.stance(call, leg, stance),
            Act::Leaves(leg) => self.leaves(call, leg, Cause::HangUp),
            Act::TapOn => self.tap(call, Tap::On),
            Act::Restarted(peer) => self.restarted(peer),
            Act::Reloads(peer) => self.reload(peer),
            Act::Attaches(peer, transport) => self.attach(peer, transport),
            Act::Moves(peer) => self.moves(peer, true),
            Act::Down(leg) => self.down(call, leg),
            Act::Ends => self.ends(call),
            Act::Closes => self.closes(call),
        }
    }

    fn begins(&mut self, call: usize) {
        let waits = self.chance.permille(700);
        let stance = if waits { Stance::Queued } else { Stance::Talk };
        let customer = self.joins(call, Part::Customer, stance);
        self.plan(call);
        let lasts = self.chance.between(15_000, 75_000) * MS;
        self.calls[call].quiet_from = self.now + lasts.saturating_sub(2 * SETTLED);
        // Now and then he waits until he has heard some of the music.
        let slow = self.chance.permille(200);
        let agent = self.chance.between(100, if slow { 9_000 } else { 3_000 }) * MS;
        self.later(
            agent,
            What::Acts {
                call,
                act: Act::AgentJoins,
            },
        );
        self.later(agent + 4 * SECOND, What::Acts { call, act: Act::Marks });
        let trouble = agent + self.chance.between(0, 5_000) * MS;
        self.later(
            trouble,
            What::Acts {
                call,
                act: Act::Trouble,
            },
        );
        // Now and then it ends before anything has come up.
        let ends = if self.chance.permille(50) && !self.calls[call].besieged {
            self.figures.count("closed in mid handshake");
            agent + self.chance.between(1, 250) * MS
        } else {
            lasts
        };
        self.later(ends, What::Acts { call, act: Act::Ends });
        if self.calls[call].besieged {
            return;
        }
        self.peers[customer].life = match self.chance.below(20) {
            0 => Life::Mute,
            1 => Life::WithoutHandshake,
            2 => Life::Impostor,
            _ => Life::Well,
        };
    }

    fn agent_joins(&mut self, call: usize) {
        self.joins(call, Part::Agent, Stance::Talk);
        if let Some(customer) = self.calls[call].party(Part::Customer) {
            self.stance(call, customer.leg, Stance::Talk);
        } else {
            self.plan(call);
        }
    }

    /// A new leg with a client of its own.
    pub(crate) fn joins(&mut self, call: usize, part: Part, stance: Stance) -> usize {
        let peer = self.peers.len();
        let leg = LegId(1 << 64 | peer as u128);
        let begin = Begin {
            call,
            leg,
            number: peer as u32,
            part,
            life: Life::Well,
            address: self.new_address(),
            transport: self.new_transport(),
        };
        let mut client = Peer::new(&begin, &mut self.chance);
        if self.calls[call].besieged {
            client.up = crate::network::Line::calm();
            client.down = crate::network::Line::calm();
            client.frame = 20 * MS;
        }
        self.routes.insert(client.address, peer);
        let room = self.calls[call].room;
        let add = client.add(room, self.certificate(client.certificate), &self.helper.certificate);
        self.peers.push(client);
        self.judge.leg_added(self.now, leg, room, begin.transport);
        self.command(Command::AddLeg(Box::new(add)))
            .expect("the leg is new and there is room");
        self.calls[call].parties.push(Party {
            peer,
            leg,
            part,
            stance,
        });
        let answer = self.chance.between(20, 400) * MS;
        self.begins_checks(peer, answer);
        peer
    }

    /// The desk takes a leg out.
    pub(crate) fn leaves(&mut self, call: usize, leg: LegId, cause: Cause) {
        let Some(place) = self.calls[call].parties.iter().position(|party| party.leg == leg) else {
            return;
        };
        let party = self.calls[call].parties.remove(place);
        let removed = self.command(Command::RemoveLeg { leg, cause });
        assert!(removed.is_ok() || !self.judge.is_living(leg), "{removed:?}");
        self.told(party.peer);
        self.plan(call);
    }

    /// Its client hears of the end, soon or late.
    fn told(&mut self, peer: usize) {
        let after = if self.chance.permille(250) { 5_000 } else { 50 } * MS;
        let call = self.peers[peer].call;
        self.later(
            after,
            What::Acts {
                call,
                act: Act::Told(peer),
            },
        );
    }

    pub(crate) fn stance(&mut self, call: usize, leg: LegId, stance: Stance) {
        if let Some(party) = self.calls[call].parties.iter_mut().find(|party| party.leg == leg) {
            party.stance = stance;
            self.plan(call);
        }
    }

    pub(crate) fn tap(&mut self, call: usize, tap: Tap) {
        self.calls[call].tap = tap;
        self.plan(call);
    }

    /// A new plan, by who takes part how.
    pub(crate) fn plan(&mut self, call: usize) {
        self.judge_the_plan(call);
        let state = &mut self.calls[call];
        let epoch = state.epoch + 1;
        state.plans.push((state.tap, state.parties.clone()));
        let plan = Plan {
            room: state.room,
            epoch,
            stances: state.parties.iter().map(|party| (party.leg, party.stance)).collect(),
            tap: state.tap,
            announce: state.announce,
            shield: Shield::Off,
        };
        let talks = |part| state.party(part).is_some_and(|party| party.stance == Stance::Talk);
        if !(talks(Part::Customer) && talks(Part::Agent)) {
            state.talk_since = u64::MAX;
        } else if state.talk_since == u64::MAX {
            state.talk_since = self.now;
        }
        self.command(Command::Plan(Box::new(plan)))
            .expect("it is newer and small");
        self.calls[call].epoch = epoch;
        self.calls[call].planned_at = self.now;
        self.figures.count("plans");
    }

    /// A leg has ended; the shard has just said so.
    pub(crate) fn leg_down(&mut self, leg: LegId) {
        let call = self.peers[Call::number_of(leg) as usize].call;
        self.later(
            100 * MS,
            What::Acts {
                call,
                act: Act::Down(leg),
            },
        );
    }

    /// A party was lost: the call goes on with another agent, or is over.
    fn down(&mut self, call: usize, leg: LegId) {
        let Some(place) = self.calls[call].parties.iter().position(|party| party.leg == leg) else {
            return;
        };
        let party = self.calls[call].parties.remove(place);
        self.told(party.peer);
        self.plan(call);
        let after = self.chance.between(100, 2_000) * MS;
        let act = match party.part {
            Part::Agent if self.chance.permille(500) => Act::AgentJoins,
            Part::Agent | Part::Customer => Act::Closes,
            _ => return,
        };
        self.later(after, What::Acts { call, act });
    }

    fn ends(&mut self, call: usize) {
        self.judge_the_plan(call);
        self.judge_the_end(call);
        let legs: Vec<Party> = self.calls[call].parties.clone();
        match self.chance.below(10) {
            0..6 => {}
            6 | 7 => {
                for party in legs {
                    self.leaves(call, party.leg, Cause::Kicked);
                }
            }
            8 => {
                self.figures.count("left without good-bye by all");
                for party in legs {
                    self.gone(party.peer);
                }
                // Closed when one of them is found lost, or at last by the desk itself.
                return self.later(FORGOTTEN, What::Acts { call, act: Act::Closes });
            }
            _ => {
                self.figures.count("left with good-bye by all");
                for party in legs {
                    self.says_good_bye(party.peer);
                    self.gone(party.peer);
                }
                return self.later(FORGOTTEN, What::Acts { call, act: Act::Closes });
            }
        }
        self.closes(call);
    }

    fn closes(&mut self, call: usize) {
        let room = self.calls[call].room;
        self.calls[call].closed = true;
        let cause = Cause::HangUp;
        self.command(Command::CloseRoom { room, cause })
            .expect("a room lives until it is closed");
        for party in std::mem::take(&mut self.calls[call].parties) {
            self.told(party.peer);
        }
        self.figures.count("closed");
    }

    /// Whoever was in talk and undisturbed long enough has heard the other until now.
    fn judge_the_end(&mut self, call: usize) {
        let state = &self.calls[call];
        let settled = |since: u64| self.now >= since.saturating_add(SETTLED);
        let (Some(customer), Some(agent)) = (state.party(Part::Customer), state.party(Part::Agent)) else {
            return;
        };
        let is_well = |party: Party| {
            let peer = &self.peers[party.peer];
            peer.life == Life::Well && peer.is_up() && settled(peer.up_at)
        };
        if !(settled(state.talk_since) && settled(state.disturbed_until) && is_well(customer) && is_well(agent)) {
            return;
        }
        for (sink, source) in [(customer, agent), (agent, customer)] {
            let peer = &self.peers[sink.peer];
            let heard = peer.heard.iter().find(|heard| heard.speaker == source.peer as u32);
            assert!(
                heard.is_some_and(|heard| heard.at + HEARD_WITHIN >= self.now),
                "call {call}: {sink:?} is deaf to {source:?}: {heard:?} at {}",
                self.now
            );
        }
        self.figures.count("ends at which both had to hear the other");
        if let (true, Some(before), Some(now)) = (state.besieged, state.mark, self.count(call)) {
            for (before, now) in before.iter().zip(now) {
                let (said, heard) = (now.0 - before.0, now.1 - before.1);
                let least = (said * BESIEGED_HEARD / 1_000).saturating_sub(ON_ITS_WAY);
                assert!(
                    heard >= least,
                    "call {call}: of {said} words under attack {heard} were heard"
                );
                self.figures.besieged_said += u64::from(said);
                self.figures.besieged_heard += u64::from(heard);
            }
            self.figures.count("calls under nothing but attack");
        }
    }

    /// Words said by customer and agent, and how many of them the other heard.
    fn count(&self, call: usize) -> Option<[(u32, u32); 2]> {
        let state = &self.calls[call];
        let (customer, agent) = (state.party(Part::Customer)?, state.party(Part::Agent)?);
        let one = |source: Party, sink: Party| {
            let heard = &self.peers[sink.peer].heard;
            let heard = heard.iter().find(|heard| heard.speaker == source.peer as u32)?;
            Some((self.peers[source.peer].media.said(), heard.words))
        };
        Some([one(customer, agent)?, one(agent, customer)?])
    }
}
