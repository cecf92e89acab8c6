//! What comes in beside media: connectivity checks and handshake datagrams.
//!
//! Invariant: from an address that has not passed a check nothing but STUN is parsed; through the relay only the leg
//! whose credential opened the way is spoken to.

use stun::Message;

use super::{Job, Owner, Place, Shard};
use crate::addr;
use crate::event::Kind;
use crate::ice::{self, Learnt, Verdict};
use crate::leg;
use crate::limits::HEADROOM_BYTES;
use crate::origin::{Destination, Path, Sender};
use crate::transport::{State, Transport};

impl Shard {
    /// A way through the relay is no more. Its leg is sent nothing until a check comes by another way, and one by the same
    /// way teaches it anew. Nothing happens with a way that nobody has.
    pub fn path_gone(&mut self, path: Path) {
        let Some(owner) = self.by_address.remove(&addr::Key::from(path)) else {
            return;
        };
        if let Some(transport) = self.transports.get_mut(owner.transport) {
            transport.ice.forget(owner.known());
        }
    }

    /// Answers a check in the same turn, or is silent.
    pub(super) fn stun(&mut self, now: u64, from: Sender, datagram: &[u8]) {
        let message = match Message::parse(datagram) {
            Ok(message) if ice::is_check(&message) => message,
            Ok(_) | Err(_) => {
                self.out.totals.drop_stun_malformed += 1;
                return;
            }
        };
        let place = ice::addressed_to(&message).and_then(|ufrag| self.by_ufrag.get(&ufrag).copied());
        let Some(place) = place else {
            self.out.totals.drop_unknown_ufrag += 1;
            return;
        };
        if from.only.is_some_and(|leg| !self.is_of(place, leg)) {
            self.out.totals.drop_relay_gate += 1;
            return;
        }
        let owner = self.by_address.get(&addr::Key::from(from.back)).copied();
        if owner.is_some_and(|owner| self.is_contested(now, place, owner)) {
            self.out.totals.drop_unknown_source += 1;
            return;
        }
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        self.current = Some(transport.leg);
        let Some((number, buffer)) = self.out.scratch() else {
            return;
        };
        let silent_after = transport.silent_after(now);
        let reply = &mut buffer[HEADROOM_BYTES..];
        let (verdict, length) = transport.ice.check(now, from, &message, silent_after, reply);
        if length > 0 {
            self.out.send(from.back, Place::Arena(number), length);
        }
        match verdict {
            Verdict::Valid(learnt) => {
                self.out.totals.checks += 1;
                self.checked(now, from.back, place, learnt, owner);
            }
            Verdict::Refused => self.out.totals.checks_refused += 1,
            Verdict::BadIntegrity => self.out.totals.drop_bad_integrity += 1,
            Verdict::TooMany => self.out.totals.drop_stun_rate += 1,
        }
    }

    /// An address that another leg speaks from stays with it: a check with a forged source must not take it away.
    fn is_contested(&self, now: u64, claimant: u32, owner: Owner) -> bool {
        let (Some(claimant), Some(holder)) = (self.transports.get(claimant), self.transports.get(owner.transport))
        else {
            return false;
        };
        let silent = holder
            .ice
            .heard_at(owner.known())
            .is_none_or(|at| now.saturating_sub(at) >= holder.silent_after(now));
        claimant.leg != holder.leg && !silent
    }

    /// A check was valid: keeps tables, consent and states in step.
    fn checked(&mut self, now: u64, from: Destination, place: u32, learnt: Learnt, owner: Option<Owner>) {
        if let Some(owner) = owner.filter(|owner| owner.transport != place) {
            if let Some(other) = self.transports.get_mut(owner.transport) {
                other.ice.forget(owner.known());
            }
            self.by_address.remove(&addr::Key::from(from));
        }
        if let Some(evicted) = learnt.evicted {
            self.by_address.remove(&addr::Key::from(evicted));
        }
        if let Some(known) = learnt.added {
            self.by_address.insert(
                addr::Key::from(from),
                Owner {
                    transport: place,
                    known: known as u32,
                },
            );
        }
        if let Some(ufrag) = learnt.retired {
            self.by_ufrag.remove(&ufrag);
        }
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        let first = transport.state == State::Waiting;
        if first {
            transport.state = State::Checked(now);
        }
        let leg = transport.leg;
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.alive_at = now;
        }
        self.out.totals.migrations_refused += u64::from(learnt.move_refused);
        if learnt.moved {
            self.moved(now, leg);
        } else if learnt.begun {
            self.tell_route(now, leg);
        }
        self.heard(now, place);
        if first {
            self.arm_transport(place);
        }
    }

    /// Sending to a leg goes to another address from now on.
    fn moved(&mut self, now: u64, place: u32) {
        let Some(leg) = self.legs.get(place) else { return };
        // Before the keys a move is only the end of nomination.
        if leg.state != leg::State::Joining {
            self.out.totals.migrations += 1;
            let (room, id) = (leg.room, leg.id);
            self.event(now, room, Kind::LegMigrated { leg: id });
            self.tell_route(now, place);
        }
    }

    /// Says over what a leg goes, if that is not what was said last.
    pub(super) fn tell_route(&mut self, now: u64, place: u32) {
        let Some(leg) = self.legs.get_mut(place) else { return };
        let transport = leg.transport.and_then(|place| self.transports.get(place));
        let Some(route) = transport.and_then(Transport::destination).map(|to| to.route()) else {
            return;
        };
        if leg.state != leg::State::Joining && leg.route != Some(route) {
            leg.route = Some(route);
            let (room, leg) = (leg.room, leg.id);
            self.event(now, room, Kind::LegRoute { leg, route });
        }
    }

    /// Something authenticated came on this transport.
    pub(super) fn heard(&mut self, now: u64, place: u32) {
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        transport.heard_at = now;
        let Some(leg) = self.legs.get_mut(transport.leg) else {
            return;
        };
        if leg.state == leg::State::Away && leg.transport == Some(place) && transport.state == State::Up {
            let (room, leg) = (leg.room, transport.leg);
            self.back(now, leg);
            self.arm_transport(place);
            self.check_live(now, room);
        }
    }

    /// Hands a handshake datagram to the helper.
    pub(super) fn dtls(&mut self, now: u64, owner: Owner, datagram: &[u8]) {
        let Some(transport) = self.transports.get_mut(owner.transport) else {
            return;
        };
        self.current = Some(transport.leg);
        if !transport.may_shake_hands(now, datagram.len()) {
            self.out.totals.drop_dtls_limit += 1;
            return;
        }
        let id = transport.id;
        if !transport.helper {
            transport.helper = self.out.job(Job::Start {
                transport: id,
                fingerprint: transport.fingerprint,
                certificate: transport.certificate.clone(),
            });
        }
        let passed = transport.helper
            && self.out.job(Job::Datagram {
                transport: id,
                at: now,
                bytes: datagram.into(),
            });
        self.out.totals.dtls_passed += u64::from(passed);
    }
}
