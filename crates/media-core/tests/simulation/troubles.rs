//! What goes wrong or is decided in the middle of a call: each kind once, drawn by weight.

use media_core::command::Command;
use media_core::event::Cause;
use media_core::limits::{MS, SECOND, STUN_PER_S_MAX};
use media_core::matrix::{Part, Plan, Shield, Stance, Tap};

use crate::peer::{Life, credentials};
use crate::story::{Act, Party};
use crate::world::{What, World};

/// Legs of a call beyond which nobody joins: room for an agent who comes back.
const PARTIES: usize = 5;
/// Sources that a client uses under the same keys at most; the engine takes eight.
const SOURCES: u32 = 6;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Hold,
    Mute,
    Consult,
    Conference,
    Supervise,
    TapPause,
    OldPlan,
    WifiToMobile,
    NatRebinding,
    AddressOfAnother,
    PingPong,
    IceRestart,
    Reload,
    UnusedTransport,
    GoodByeAndBack,
    Vanish,
    VanishAndBack,
    Suspend,
    ClockJump,
    NewSource,
    Freeze,
    Kick,
    CheckFlood,
    Attack,
}

/// Every kind, its weight and its name in the figures.
const KINDS: [(Trouble, u64, &str); 24] = [
    (Trouble::Hold, 60, "hold"),
    (Trouble::Mute, 20, "mute"),
    (Trouble::Consult, 40, "consult"),
    (Trouble::Conference, 40, "conference"),
    (Trouble::Supervise, 70, "supervise"),
    (Trouble::TapPause, 30, "tap paused"),
    (Trouble::OldPlan, 20, "old plan"),
    (Trouble::WifiToMobile, 50, "wi-fi to mobile"),
    (Trouble::NatRebinding, 40, "NAT re-binding"),
    (Trouble::AddressOfAnother, 30, "address of another"),
    (Trouble::PingPong, 10, "ping-pong between addresses"),
    (Trouble::IceRestart, 40, "ICE restart"),
    (Trouble::Reload, 40, "reload"),
    (Trouble::UnusedTransport, 20, "transport that nobody uses"),
    (Trouble::GoodByeAndBack, 20, "good-bye and back"),
    (Trouble::Vanish, 5, "left without good-bye"),
    (Trouble::VanishAndBack, 15, "gone for a while and back"),
    (Trouble::Suspend, 25, "suspended"),
    (Trouble::ClockJump, 25, "clock jump"),
    (Trouble::NewSource, 20, "new source"),
    (Trouble::Freeze, 30, "freeze"),
    (Trouble::Kick, 10, "kick"),
    (Trouble::CheckFlood, 10, "flood of checks"),
    (Trouble::Attack, 250, "attacks"),
];

impl World {
    /// One trouble, and when the next one comes.
    pub(crate) fn trouble(&mut self, call: usize) {
        let besieged = self.calls[call].besieged;
        let (next, over) = if besieged {
            (self.chance.between(50, 700) * MS, u64::MAX)
        } else {
            (self.chance.between(200, 7_000) * MS, self.calls[call].quiet_from)
        };
        if self.now >= over {
            return self.settles(call);
        }
        self.later(
            next,
            What::Acts {
                call,
                act: Act::Trouble,
            },
        );
        let parties = &self.calls[call].parties;
        if parties.is_empty() {
            return;
        }
        let party = parties[self.chance.below(parties.len() as u64) as usize];
        let (kind, name) = if besieged {
            (Trouble::Attack, "attacks")
        } else {
            self.draw()
        };
        self.figures.count(name);
        self.befalls(call, party, kind);
    }

    fn draw(&mut self) -> (Trouble, &'static str) {
        let all: u64 = KINDS.iter().map(|(_, weight, _)| weight).sum();
        let mut at = self.chance.below(all);
        for (kind, weight, name) in KINDS {
            if at < weight {
                return (kind, name);
            }
            at -= weight;
        }
        unreachable!("below the sum of all weights one is met")
    }

    /// Before the end everybody talks again.
    fn settles(&mut self, call: usize) {
        for party in self.calls[call].parties.clone() {
            match party.part {
                Part::Customer | Part::Agent => self.stance(call, party.leg, Stance::Talk),
                _ => self.leaves(call, party.leg, Cause::HangUp),
            }
        }
    }

    fn befalls(&mut self, call: usize, party: Party, kind: Trouble) {
        let (peer, leg) = (party.peer, party.leg);
        let lasts = match kind {
            Trouble::Hold | Trouble::Mute | Trouble::Consult | Trouble::Conference | Trouble::Supervise => {
                self.decided(call, party, kind);
                0
            }
            Trouble::TapPause => {
                self.tap(call, Tap::Paused);
                let after = self.chance.between(500, 6_000) * MS;
                self.later(after, What::Acts { call, act: Act::TapOn });
                0
            }
            Trouble::OldPlan => {
                self.old_plan(call);
                0
            }
            Trouble::Attack => {
                self.attack(peer);
                0
            }
            Trouble::Kick => {
                if party.part == Part::Agent && self.peers[peer].life == Life::Well {
                    self.leaves(call, leg, Cause::Kicked);
                    let after = self.chance.between(500, 2_000) * MS;
                    self.later(
                        after,
                        What::Acts {
                            call,
                            act: Act::AgentJoins,
                        },
                    );
                }
                0
            }
            _ if self.peers[peer].life != Life::Well => 0,
            _ => self.happens_to(call, party, kind),
        };
        if lasts > 0 {
            let state = &mut self.calls[call];
            state.disturbed_until = state.disturbed_until.max(self.now + lasts);
        }
    }

    /// What happens to one client and its line; for how long that disturbs the call.
    fn happens_to(&mut self, call: usize, party: Party, kind: Trouble) -> u64 {
        let peer = party.peer;
        match kind {
            Trouble::WifiToMobile | Trouble::NatRebinding | Trouble::AddressOfAnother | Trouble::PingPong => {
                self.travels(call, peer, kind);
                3 * SECOND
            }
            Trouble::IceRestart => {
                self.restarts(call, party);
                2 * SECOND
            }
            Trouble::Reload | Trouble::GoodByeAndBack | Trouble::VanishAndBack | Trouble::Vanish => {
                self.goes_away(call, peer, kind)
            }
            Trouble::UnusedTransport => {
                self.unused_transport(party);
                0
            }
            Trouble::Suspend => {
                let lasts = self.chance.between(1_000, 28_000) * MS;
                let client = &mut self.peers[peer];
                client.asleep_until = self.now + lasts;
                client.media.jump(client.asleep_until, (lasts * 48 / MS) as u32);
                lasts
            }
            Trouble::ClockJump => {
                let jump = self.chance.pick(&[3_600_i64, -3_600, 20, -20]);
                self.peers[peer].media.jump(self.now, (jump * 48_000) as u32);
                SECOND
            }
            Trouble::NewSource => {
                if self.peers[peer].media.sources < SOURCES {
                    self.peers[peer].media.change_source(self.now, &mut self.chance);
                }
                SECOND
            }
            Trouble::Freeze => {
                let lasts = self.chance.between(200, 3_000) * MS;
                self.peers[peer].up.freeze_until(self.now + lasts);
                if self.chance.permille(500) {
                    self.peers[peer].down.freeze_until(self.now + lasts);
                }
                lasts
            }
            Trouble::CheckFlood => {
                for _ in 0..2 * STUN_PER_S_MAX {
                    self.checks(peer);
                }
                SECOND
            }
            _ => unreachable!("everybody else decides the other kinds: {kind:?}"),
        }
    }

    /// What agent, customer and supervisor decide about who hears whom.
    fn decided(&mut self, call: usize, party: Party, kind: Trouble) {
        let (Some(customer), Some(agent)) = (
            self.calls[call].party(Part::Customer),
            self.calls[call].party(Part::Agent),
        ) else {
            return;
        };
        let after = self.chance.between(800, 8_000) * MS;
        let crowded = self.calls[call].parties.len() >= PARTIES;
        match kind {
            Trouble::Hold => {
                self.stance(call, customer.leg, Stance::Held);
                self.talks_again(call, customer, after);
            }
            Trouble::Mute if party.part != Part::Supervisor => {
                self.stance(call, party.leg, Stance::Muted);
                self.talks_again(call, party, after);
            }
            Trouble::Consult | Trouble::Conference if !crowded => {
                let consult = kind == Trouble::Consult;
                let stance = if consult { Stance::Consult } else { Stance::Talk };
                let partner = self.joins(call, Part::Partner, stance);
                if consult {
                    self.stance(call, customer.leg, Stance::Held);
                    self.stance(call, agent.leg, Stance::Consult);
                    self.talks_again(call, customer, after + 2 * SECOND);
                    self.talks_again(call, agent, after + 2 * SECOND);
                }
                self.plan(call);
                let leg = self.peers[partner].leg;
                self.later(
                    after + 2 * SECOND,
                    What::Acts {
                        call,
                        act: Act::Leaves(leg),
                    },
                );
            }
            Trouble::Supervise if !crowded => {
                let supervisor = self.joins(call, Part::Supervisor, Stance::Listen);
                self.plan(call);
                let leg = self.peers[supervisor].leg;
                for (number, stance) in [Stance::Whisper, Stance::Barge, Stance::Listen].into_iter().enumerate() {
                    if self.chance.permille(600) {
                        let act = Act::Stance(leg, stance);
                        self.later((number as u64 + 1) * after / 2, What::Acts { call, act });
                    }
                }
                self.later(
                    3 * after,
                    What::Acts {
                        call,
                        act: Act::Leaves(leg),
                    },
                );
            }
            _ => {}
        }
    }

    fn talks_again(&mut self, call: usize, party: Party, after: u64) {
        let act = Act::Stance(party.leg, Stance::Talk);
        self.later(after, What::Acts { call, act });
    }

    /// A plan that comes after the one that replaced it changes nothing, nor does the same one once more.
    fn old_plan(&mut self, call: usize) {
        let state = &self.calls[call];
        let stances: Vec<_> = state.parties.iter().map(|party| (party.leg, Stance::Talk)).collect();
        let (room, epoch) = (state.room, state.epoch);
        for (epoch, taken) in [(epoch - 1, false), (epoch, true)] {
            let plan = Plan {
                room,
                epoch,
                stances: stances.clone(),
                tap: Tap::On,
                announce: self.calls[call].announce,
                shield: Shield::Off,
            };
            assert_eq!(self.command(Command::Plan(Box::new(plan))).is_ok(), taken);
        }
    }

    fn travels(&mut self, call: usize, peer: usize, kind: Trouble) {
        match kind {
            Trouble::WifiToMobile => self.moves(peer, true),
            // The client does not know: its next check tells.
            Trouble::NatRebinding => self.moves(peer, false),
            Trouble::AddressOfAnother => {
                if let Some(address) = self.left.pop() {
                    self.moves_to(peer, address);
                    self.checks(peer);
                }
            }
            _ => {
                for step in 1..=7 {
                    self.later(
                        step * 130 * MS,
                        What::Acts {
                            call,
                            act: Act::Moves(peer),
                        },
                    );
                }
            }
        }
    }

    fn restarts(&mut self, call: usize, party: Party) {
        let client = &mut self.peers[party.peer];
        client.restarts += 1;
        let (certificate, ice) = (
            client.certificate,
            credentials(client.transport.0 << 16 | u64::from(client.restarts)),
        );
        let fingerprint = self.certificate(certificate).fingerprint().0;
        let restarted = self.command(Command::Restart {
            leg: party.leg,
            fingerprint: Some(fingerprint),
            ice: Box::new(ice),
            media: None,
        });
        // It may have no transport, or be gone.
        if restarted.is_ok() {
            let after = self.chance.between(20, 500) * MS;
            let act = Act::Restarted(party.peer);
            self.later(after, What::Acts { call, act });
        }
    }

    /// The client is not there for a while, or for good. How long that disturbs the call.
    fn goes_away(&mut self, call: usize, peer: usize, kind: Trouble) -> u64 {
        let away = match kind {
            Trouble::Reload => {
                if self.chance.permille(500) {
                    self.says_good_bye(peer);
                }
                self.chance.between(50, 500) * MS
            }
            Trouble::GoodByeAndBack => {
                self.says_good_bye(peer);
                self.chance.between(1_000, 20_000) * MS
            }
            // Some of them come too late.
            _ => self.chance.between(3_000, 45_000) * MS,
        };
        self.gone(peer);
        if kind == Trouble::Vanish {
            return 0;
        }
        self.later(
            away,
            What::Acts {
                call,
                act: Act::Reloads(peer),
            },
        );
        away + SECOND
    }

    /// A page that asks for a transport and is closed before it uses it.
    fn unused_transport(&mut self, party: Party) {
        if !self.judge.is_living(party.leg) {
            return;
        }
        let client = &self.peers[party.peer];
        let mut transport = client.new_transport(self.certificate(client.certificate + 4), &self.helper.certificate);
        transport.id = self.new_transport();
        transport.ice = credentials(transport.id.0 << 16);
        self.judge.attached(party.leg, transport.id);
        let attached = self.command(Command::Attach {
            leg: party.leg,
            transport: Box::new(transport),
        });
        attached.expect("the leg lives and the transport is new");
    }
}
