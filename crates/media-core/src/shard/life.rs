//! Life and death of legs and transports: timers, silence, ends.
//!
//! Invariant: a living leg has a transport, whose timer is armed; or, without one that has keys, its keep timer is armed as
//! soon as there was more than one offer.

use super::{Ended, Job, Shard};
use crate::addr;
use crate::counters::{Direction, Second};
use crate::event::{Cause, Kind, Summary};
use crate::leg::{Leg, State};
use crate::limits::{AWAY, PREFLIGHT, SECOND, UPLINK_STALL};
use crate::matrix::{Line, Part};
use crate::transport;

/// Timers of one place: four of a leg and one of a transport, which share the numbering of their tables.
const KINDS: u32 = 5;
const COUNTERS: u32 = 0;
const REPORT: u32 = 1;
const KEEP: u32 = 2;
const TRANSPORT: u32 = 3;
const MISSING: u32 = 4;

impl Shard {
    /// One timer has fired.
    pub(super) fn fire(&mut self, now: u64, timer: u32) {
        let place = timer / KINDS;
        match timer % KINDS {
            TRANSPORT => self.supervise(now, place),
            COUNTERS => self.close_second(now, place),
            REPORT => self.report(now, place),
            MISSING => self.ask(now, place),
            _ => self.keep_ended(now, place),
        }
    }

    /// (Re)arms the timer of a transport for whatever comes first of its end, its silence and its old credentials.
    pub(super) fn arm_transport(&mut self, place: u32) {
        let Some(transport) = self.transports.get(place) else {
            return;
        };
        let mut at = transport.end(self.config.consent).0;
        if let Some(ends) = transport.ice.previous_ends() {
            at = at.min(ends);
        }
        let leg = self.legs.get(transport.leg).filter(|leg| leg.state == State::Up);
        if let Some(leg) = leg.filter(|_| transport.state == transport::State::Up) {
            at = at.min(transport.heard_at + leg.away_after(transport));
        }
        self.wheel.arm(place * KINDS + TRANSPORT, at);
    }

    /// Arms the seconds of a leg that has come up.
    pub(super) fn arm_counters(&mut self, place: u32, at: u64) {
        self.wheel.arm(place * KINDS + COUNTERS, at);
    }

    pub(super) fn arm_report(&mut self, place: u32, at: u64) {
        self.wheel.arm(place * KINDS + REPORT, at);
    }

    pub(super) fn arm_missing(&mut self, place: u32, at: u64) {
        self.wheel.arm(place * KINDS + MISSING, at);
    }

    /// (Re)arms the keep of a leg that has no transport with keys: an offer is no sign of life, only a check is. The end of
    /// one with keys arms it.
    pub(super) fn arm_keep(&mut self, place: u32) {
        let Some(leg) = self.legs.get(place) else { return };
        let transport = leg.transport.and_then(|place| self.transports.get(place));
        if transport.is_none_or(|transport| transport.state != transport::State::Up) {
            self.wheel.arm(place * KINDS + KEEP, leg.kept_until());
        }
    }

    /// Looks after one transport: is it over, is its leg away, are old credentials over?
    fn supervise(&mut self, now: u64, place: u32) {
        let Some(transport) = self.transports.get_mut(place) else {
            return;
        };
        self.current = Some(transport.leg);
        if let Some(ufrag) = transport.ice.expire_previous(now) {
            self.by_ufrag.remove(&ufrag);
        }
        let (end, cause) = transport.end(self.config.consent);
        if end <= now {
            self.transport_died(now, place, cause);
            return;
        }
        let leg_place = transport.leg;
        let up = transport.state == transport::State::Up;
        let heard_at = transport.heard_at;
        let away_after = self.legs.get(leg_place).map(|leg| leg.away_after(transport));
        if up && away_after.is_some_and(|after| heard_at + after <= now) {
            self.away(now, leg_place, heard_at);
        }
        self.arm_transport(place);
    }

    /// A transport is over: time-out, failed handshake, good-bye.
    pub(super) fn transport_died(&mut self, now: u64, place: u32, cause: Cause) {
        let Some(transport) = self.transports.get(place) else {
            return;
        };
        let leg_place = transport.leg;
        let in_use = self.legs.get(leg_place).is_some_and(|leg| leg.transport == Some(place));
        self.close_transport(place);
        let Some(leg) = self.legs.get_mut(leg_place) else {
            return;
        };
        if in_use {
            leg.transport = leg.next.take();
        }
        let (state, left) = (leg.state, leg.transport.is_some());
        if state == State::Joining {
            if !left {
                self.remove_leg(now, leg_place, cause);
            }
            return;
        }
        if in_use {
            self.away(now, leg_place, now);
            self.arm_keep(leg_place);
        }
    }

    /// Takes a transport out of every table; tells the helper and, unless its leg ends, the caller.
    pub(super) fn close_transport(&mut self, place: u32) {
        let Some(transport) = self.transports.remove(place) else {
            return;
        };
        self.wheel.disarm(place * KINDS + TRANSPORT);
        self.by_transport.remove(&transport.id);
        for ufrag in transport.ice.ufrags() {
            self.by_ufrag.remove(&ufrag);
        }
        for address in transport.ice.addresses() {
            self.by_address.remove(&addr::Key::from(address));
        }
        if transport.helper {
            self.out.job(Job::Stop {
                transport: transport.id,
            });
        }
        if let Some(leg) = self.legs.get_mut(transport.leg) {
            leg.next = leg.next.filter(|next| *next != place);
            self.out.ended(Ended {
                leg: leg.id,
                transport: transport.id,
            });
        }
    }

    /// The last moment of a leg of which no check has come, unless one has come since.
    fn keep_ended(&mut self, now: u64, place: u32) {
        let Some(leg) = self.legs.get(place) else { return };
        self.current = Some(place);
        if leg.kept_until() > now {
            self.arm_keep(place);
            return;
        }
        let cause = match leg.state {
            State::Joining => Cause::IceTimeout,
            State::Up | State::Away => Cause::Lost,
        };
        self.remove_leg(now, place, cause);
    }

    /// A leg is away; reported as of `since`, its last sign of life. Whom it leaves alone hears the music.
    fn away(&mut self, now: u64, place: u32, since: u64) {
        let Some(leg) = self.legs.get_mut(place) else { return };
        if leg.state == State::Up {
            leg.state = State::Away;
            let (room, leg) = (leg.room, leg.id);
            self.seat_line(now, place, Line::Away);
            self.event(since, room, Kind::LegAway { leg });
        }
    }

    /// A leg that was away is back.
    pub(super) fn back(&mut self, now: u64, place: u32) {
        let Some(leg) = self.legs.get_mut(place) else { return };
        leg.state = State::Up;
        leg.here_at = now;
        let (room, leg) = (leg.room, leg.id);
        self.seat_line(now, place, Line::Here);
        self.event(now, room, Kind::LegBack { leg });
    }

    fn seat_line(&mut self, now: u64, place: u32, line: Line) {
        let Some(leg) = self.legs.get(place) else { return };
        let room = leg.room;
        let seat = self.rooms.get_mut(room).and_then(|room| room.seats.get_mut(leg.seat()));
        if let Some(Some(sitting)) = seat {
            sitting.line = line;
        }
        self.replan(now, room);
    }

    /// Ends a leg: out of every table, its room replanned, its totals reported.
    pub(super) fn remove_leg(&mut self, now: u64, place: u32, cause: Cause) {
        let Some(leg) = self.legs.remove(place) else { return };
        for kind in [COUNTERS, REPORT, KEEP, MISSING] {
            self.wheel.disarm(place * KINDS + kind);
        }
        self.by_leg.remove(&leg.id);
        for transport in [leg.transport, leg.next].into_iter().flatten() {
            self.close_transport(transport);
        }
        if let Some(room) = self.rooms.get_mut(leg.room) {
            room.leave(leg.seat());
        }
        let tone = leg.tone.map(|tone| tone.head);
        for playhead in leg.music.into_iter().chain(tone) {
            self.playheads.remove(place, playhead);
        }
        self.replan(now, leg.room);
        self.event(
            now,
            leg.room,
            Kind::LegDown {
                leg: leg.id,
                cause,
                summary: summary(&leg, now),
            },
        );
    }

    /// Hands out the rows of the second that ends now, and watches the microphone.
    fn close_second(&mut self, now: u64, place: u32) {
        // A move that was taken back has not told.
        self.tell_route(now, place);
        let Some(leg) = self.legs.get_mut(place) else { return };
        self.current = Some(place);
        self.wheel.arm(place * KINDS + COUNTERS, now + SECOND);
        let Some(room) = self.rooms.get(leg.room).map(|room| room.id) else {
            return;
        };
        let row = |direction| Second::empty(leg.id, room, leg.tap, leg.part, direction, now);
        let (mut up, mut down) = (row(Direction::Up), row(Direction::Down));
        leg.up.close_second(&mut up);
        leg.down.close_second(&mut leg.sending, &mut down);
        for second in [&mut up, &mut down] {
            second.up = leg.state == State::Up;
            second.rtt_us = leg.down.rtt_us(now);
            second.route = leg.route;
        }
        self.watch(now, place, &mut up, &mut down);
        self.out.second(up);
        self.out.second(down);
        self.watch_microphone(now, place);
        self.end_preflight(now, place);
    }

    /// An echo that was tried long enough ends, with its report.
    fn end_preflight(&mut self, now: u64, place: u32) {
        let Some(leg) = self.legs.get(place) else { return };
        let over = leg.up_at.is_some_and(|up_at| now.saturating_sub(up_at) >= PREFLIGHT);
        if leg.part == Part::Preflight && over {
            self.remove_leg(now, place, Cause::Limit);
        }
    }

    fn watch_microphone(&mut self, now: u64, place: u32) {
        let Some(leg) = self.legs.get_mut(place) else { return };
        let Some(transport) = leg.transport.and_then(|place| self.transports.get(place)) else {
            return;
        };
        if leg.silenced {
            // What it sends is not opened, so nothing is known of its microphone.
            leg.here_at = now;
        }
        let since = leg.rtp_at.max(leg.here_at);
        let silent = now.saturating_sub(since) >= UPLINK_STALL && transport.media.uplink;
        let line_lives = leg.state == State::Up && now.saturating_sub(transport.heard_at) < AWAY;
        if silent && line_lives && !leg.stalled {
            leg.stalled = true;
            let (room, leg) = (leg.room, leg.id);
            self.event(now, room, Kind::UplinkStalled { leg });
        }
    }
}

fn summary(leg: &Leg, now: u64) -> Summary {
    Summary {
        packets_received: leg.up.received_total(),
        packets_lost: leg.up.lost_total(),
        packets_repaired: leg.up.repaired_total(),
        packets_sent: leg.down.sent_total(leg.sending),
        rtt_ms_mean: leg.down.rtt_ms_mean(),
        jitter_ms_mean: leg.up.jitter_ms_mean(),
        mos_up: leg.judge.mos_up(),
        mos_down: leg.judge.mos_down(),
        level_max: leg.up.level_max(),
        seconds: leg.up_at.map_or(0, |up_at| now.saturating_sub(up_at) / SECOND),
        route: leg.route,
    }
}
