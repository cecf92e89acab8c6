//! The words of the border and the words of the engine: one `match` each, so that neither grows without the other.

use call_model::{CallId, LegId};
use media_core::event::{self, Kind, Summary};
use media_core::quality::flags::FlagSet;
use media_core::quality::thresholds;
use media_core::{counters, limits, matrix, origin, sdp};
use ports::{
    Announce, Cause, Direction, EventKind, Flag, Flags, LegSummary, Part, Plan, Red, RelayPath, Route, Shield, Stance,
    Tap, Thresholds, Via,
};

// The desk waits for a leg as long as the engine does.
const _: () = assert!(
    limits::ICE_TIMEOUT == ports::ICE_LIMIT_S as u64 * limits::SECOND
        && limits::DTLS_TIMEOUT == ports::DTLS_LIMIT_S as u64 * limits::SECOND
);

pub(crate) const fn room(id: CallId) -> media_core::RoomId {
    media_core::RoomId(id.0)
}

pub(crate) const fn leg(id: LegId) -> media_core::LegId {
    media_core::LegId(id.0)
}

pub(crate) const fn leg_out(id: media_core::LegId) -> LegId {
    LegId(id.0)
}

pub(crate) const fn room_out(id: media_core::RoomId) -> CallId {
    CallId(id.0)
}

pub(crate) const fn part(part: Part) -> matrix::Part {
    match part {
        Part::Customer => matrix::Part::Customer,
        Part::Agent => matrix::Part::Agent,
        Part::Partner => matrix::Part::Partner,
        Part::Supervisor => matrix::Part::Supervisor,
        Part::Preflight => matrix::Part::Preflight,
    }
}

pub(crate) const fn part_out(part: matrix::Part) -> Part {
    match part {
        matrix::Part::Customer => Part::Customer,
        matrix::Part::Agent => Part::Agent,
        matrix::Part::Partner => Part::Partner,
        matrix::Part::Supervisor => Part::Supervisor,
        matrix::Part::Preflight => Part::Preflight,
    }
}

pub(crate) const fn red(red: Red) -> sdp::Red {
    match red {
        Red::Off => sdp::Red::Off,
        Red::Offer => sdp::Red::Offer,
        Red::Prefer => sdp::Red::Prefer,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a score of one or two digits")]
pub(crate) fn thresholds(set: &Thresholds) -> thresholds::Thresholds {
    thresholds::Thresholds {
        mos: set.low_mos as f32,
        burst_packets: set.loss_burst_packets,
        rtt_us: set.high_rtt_ms.saturating_mul(1_000),
        jitter_us: set.high_jitter_ms.saturating_mul(1_000),
        loss: set.high_loss_percent / 100.0,
        one_way_seconds: set.one_way_seconds,
        dead_air_seconds: set.dead_air_seconds,
        dead_microphone_seconds: set.dead_microphone_seconds,
        clipped_percent: set.clipping_percent,
    }
}

pub(crate) fn plan(plan: Plan) -> matrix::Plan {
    let stance = |stance| match stance {
        Stance::Waiting => matrix::Stance::Waiting,
        Stance::Queued => matrix::Stance::Queued,
        Stance::Talk => matrix::Stance::Talk,
        Stance::Muted => matrix::Stance::Muted,
        Stance::Held => matrix::Stance::Held,
        Stance::Consult => matrix::Stance::Consult,
        Stance::Listen => matrix::Stance::Listen,
        Stance::Whisper => matrix::Stance::Whisper,
        Stance::Barge => matrix::Stance::Barge,
    };
    matrix::Plan {
        room: room(plan.room),
        epoch: plan.epoch,
        stances: plan
            .stances
            .into_iter()
            .map(|(id, how)| (leg(id), stance(how)))
            .collect(),
        tap: match plan.tap {
            Tap::Off => matrix::Tap::Off,
            Tap::On => matrix::Tap::On,
            Tap::Paused => matrix::Tap::Paused,
        },
        announce: match plan.announce {
            Announce::Nobody => matrix::Announce::Nobody,
            Announce::Agents => matrix::Announce::Agents,
            Announce::All => matrix::Announce::All,
        },
        shield: match plan.shield {
            Shield::Off => matrix::Shield::Off,
            Shield::On => matrix::Shield::On,
        },
    }
}

pub(crate) const fn cause_in(cause: Cause) -> event::Cause {
    match cause {
        Cause::HangUp => event::Cause::HangUp,
        Cause::Lost => event::Cause::Lost,
        Cause::Replaced => event::Cause::Replaced,
        Cause::Kicked => event::Cause::Kicked,
        Cause::IceTimeout => event::Cause::IceTimeout,
        Cause::DtlsTimeout => event::Cause::DtlsTimeout,
        Cause::Fingerprint => event::Cause::Fingerprint,
        Cause::DtlsFailed => event::Cause::DtlsFailed,
        Cause::Limit => event::Cause::Limit,
        Cause::Drain => event::Cause::Drain,
        Cause::Panic => event::Cause::Panic,
    }
}

pub(crate) const fn cause_out(cause: event::Cause) -> Cause {
    match cause {
        event::Cause::HangUp => Cause::HangUp,
        event::Cause::Lost => Cause::Lost,
        event::Cause::Replaced => Cause::Replaced,
        event::Cause::Kicked => Cause::Kicked,
        event::Cause::IceTimeout => Cause::IceTimeout,
        event::Cause::DtlsTimeout => Cause::DtlsTimeout,
        event::Cause::Fingerprint => Cause::Fingerprint,
        event::Cause::DtlsFailed => Cause::DtlsFailed,
        event::Cause::Limit => Cause::Limit,
        event::Cause::Drain => Cause::Drain,
        event::Cause::Panic => Cause::Panic,
    }
}

const fn flag(flag: event::Flag) -> Flag {
    match flag {
        event::Flag::HighRtt => Flag::HighRtt,
        event::Flag::HighJitter => Flag::HighJitter,
        event::Flag::HighLoss => Flag::HighLoss,
        event::Flag::LowMos => Flag::LowMos,
        event::Flag::DeadMicrophone => Flag::DeadMicrophone,
        event::Flag::LossBurst => Flag::LossBurst,
        event::Flag::OneWay => Flag::OneWay,
        event::Flag::DeadAir => Flag::DeadAir,
        event::Flag::Clipping => Flag::Clipping,
    }
}

/// The conditions of a second.
pub(crate) fn flags(set: FlagSet) -> Flags {
    let held = event::Flag::ALL.into_iter().filter(|flag| set.contains(*flag));
    held.fold(Flags::default(), |flags, held| flags.with(flag(held)))
}

/// The way of a leg.
pub(crate) const fn route(way: origin::Route) -> Route {
    match way {
        origin::Route::Direct => Route::Direct,
        origin::Route::Relayed(origin::Via::Udp) => Route::Relayed(Via::Udp),
        origin::Route::Relayed(origin::Via::Tcp) => Route::Relayed(Via::Tcp),
        origin::Route::Relayed(origin::Via::Tls) => Route::Relayed(Via::Tls),
    }
}

/// A path of the relay as the engine keeps it.
pub(crate) const fn path(path: RelayPath) -> origin::Path {
    origin::Path {
        allocation: [path.slot, path.generation],
        end: (path.worker as u32) << 8 | path.peer as u32,
        via: match path.via {
            Via::Udp => origin::Via::Udp,
            Via::Tcp => origin::Via::Tcp,
            Via::Tls => origin::Via::Tls,
        },
    }
}

/// The same as the relay knows it.
pub(crate) const fn path_out(path: origin::Path) -> RelayPath {
    RelayPath {
        worker: (path.end >> 8) as u16,
        slot: path.allocation[0],
        generation: path.allocation[1],
        peer: path.end as u8,
        via: match path.via {
            origin::Via::Udp => Via::Udp,
            origin::Via::Tcp => Via::Tcp,
            origin::Via::Tls => Via::Tls,
        },
    }
}

/// The number of a way in stored rows; 0 is none. A number is never given anew.
pub(crate) const fn path_number(way: origin::Route) -> u8 {
    match way {
        origin::Route::Direct => 1,
        origin::Route::Relayed(origin::Via::Udp) => 2,
        origin::Route::Relayed(origin::Via::Tcp) => 3,
        origin::Route::Relayed(origin::Via::Tls) => 4,
    }
}

/// The way with this number in a stored row.
pub(crate) fn route_of_path(number: u8) -> Option<Route> {
    let found = origin::Route::ALL.into_iter().find(|way| path_number(*way) == number);
    found.map(route)
}

const fn direction(direction: counters::Direction) -> Direction {
    match direction {
        counters::Direction::Up => Direction::Up,
        counters::Direction::Down => Direction::Down,
    }
}

fn summary(summary: &Summary) -> LegSummary {
    LegSummary {
        packets_received: summary.packets_received,
        packets_lost: summary.packets_lost,
        packets_sent: summary.packets_sent,
        rtt_ms_mean: summary.rtt_ms_mean,
        jitter_ms_mean: summary.jitter_ms_mean,
        mos_up: summary.mos_up,
        mos_down: summary.mos_down,
        level_max: summary.level_max,
        seconds: summary.seconds,
        route: summary.route.map(route),
    }
}

pub(crate) fn event(kind: &Kind) -> EventKind {
    match kind {
        Kind::LegUp { leg } => EventKind::LegUp { leg: leg_out(*leg) },
        Kind::FirstRtp { leg } => EventKind::FirstRtp { leg: leg_out(*leg) },
        Kind::RoomLive => EventKind::RoomLive,
        Kind::LegAway { leg } => EventKind::LegAway { leg: leg_out(*leg) },
        Kind::LegBack { leg } => EventKind::LegBack { leg: leg_out(*leg) },
        Kind::LegMigrated { leg } => EventKind::LegMigrated { leg: leg_out(*leg) },
        Kind::LegRoute { leg, route: way } => EventKind::LegRoute {
            leg: leg_out(*leg),
            route: route(*way),
        },
        Kind::UplinkStalled { leg } => EventKind::UplinkStalled { leg: leg_out(*leg) },
        Kind::UplinkResumed { leg } => EventKind::UplinkResumed { leg: leg_out(*leg) },
        Kind::Dtmf { leg } => EventKind::Dtmf { leg: leg_out(*leg) },
        Kind::Announced { supervisor, heard_by } => EventKind::Announced {
            supervisor: leg_out(*supervisor),
            heard_by: heard_by.iter().copied().map(leg_out).collect(),
        },
        Kind::Unheard { leg, voices } => EventKind::Unheard {
            leg: leg_out(*leg),
            voices: voices.iter().copied().map(leg_out).collect(),
        },
        Kind::Quality {
            leg,
            flag: what,
            direction: way,
            raised,
        } => EventKind::Quality {
            leg: leg.map(leg_out),
            flag: flag(*what),
            direction: way.map(direction),
            raised: *raised,
        },
        Kind::LegDown {
            leg,
            cause,
            summary: totals,
        } => EventKind::LegDown {
            leg: leg_out(*leg),
            cause: cause_out(*cause),
            summary: summary(totals),
        },
        Kind::PlanApplied { epoch, .. } => EventKind::PlanApplied { epoch: *epoch },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_back_from_the_engine_as_it_went_in() {
        for via in Via::ALL {
            let there = RelayPath {
                worker: u16::MAX,
                slot: 0x8000_0001,
                generation: u32::MAX - 1,
                peer: 0xFE,
                via,
            };
            assert_eq!(path_out(path(there)), there);
        }
    }

    #[test]
    fn a_stored_way_is_read_back_as_what_it_was() {
        let ways = origin::Route::ALL.map(|way| route_of_path(path_number(way)));
        assert_eq!(ways, Route::ALL.map(Some));
        assert_eq!(route_of_path(0), None);
        assert_eq!(route_of_path(5), None);
    }

    #[test]
    fn what_is_usual_at_the_border_is_usual_in_the_engine() {
        assert_eq!(thresholds(&Thresholds::default()), thresholds::Thresholds::DEFAULT);
    }
}
