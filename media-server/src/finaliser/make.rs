//! Makes everything that is stored of a call from what the spool holds of it: master, side data, quality.
//!
//! Never touches a file: bytes come from the recorder's reader and go to the store.
//!
//! Invariant: the same call gives the same bytes, so an attempt after a crash finds its own objects again.

use bytes::Bytes;
use call_model::LegId;
use ports::{QualitySecond, QualityTrack};
use recording::Lane;
use recording::manifest;
use recording::master::{self, Assembly, Cause, Explained, Master};
use recording::spool::{EventKind, Part, QualityRun, RecordedCall};

use super::beside::{self, Voice};
use crate::convert;

/// A made recording, not yet stored.
pub(super) struct Made {
    pub(super) master: Master,
    pub(super) audio: Bytes,
    pub(super) second: Option<Bytes>,
    pub(super) side: Bytes,
    /// Who was heard beside the two sides, by the numbers of their files.
    pub(super) beside: Vec<Voice>,
}

/// Makes a recording. Nothing is decoded.
pub(super) fn make(call: &RecordedCall) -> Made {
    let recording = manifest::uuid(call.recording.unwrap_or(0));
    let id = manifest::uuid(call.call);
    let explained = explained(call);
    let assembly = Assembly {
        tracks: &call.tracks,
        start_ns: call.start_ns,
        end_ns: call.audio_end_ns(),
        customer_left: call.customer_left,
        serial: serial(call.recording.unwrap_or(call.call)),
        tags: &[("HELPLINE_RECORDING", &recording), ("HELPLINE_CALL", &id)],
        explained: &explained,
    };
    let mut master = master::assemble(&assembly);
    let beside = beside::make(call, &assembly);
    master.side.beside = beside.iter().map(|voice| voice.file.side.clone()).collect();
    let side = serde_json::to_vec(&master.side)
        .expect("plain values always serialise")
        .into();
    let audio = std::mem::take(&mut master.audio).into();
    let second = master.second_file.take().map(Bytes::from);
    Made {
        master,
        audio,
        second,
        side,
        beside,
    }
}

/// The Ogg stream's number: the id folded, so that it is the same at every attempt (RFC 3533 §6 asks for unique
/// numbers within a file only).
const fn serial(id: u128) -> u32 {
    (id ^ id >> 32 ^ id >> 64 ^ id >> 96) as u32
}

/// The silences that the call's events explain: pauses and hold on both sides, a side's mute, and the time after a
/// side's last leg left. Others in the room are on no side; what explains their silence stands with their files.
fn explained(call: &RecordedCall) -> Vec<Explained> {
    let end = call.audio_end_ns();
    let mut out = Vec::new();
    let mut present: Vec<u128> = Vec::new();
    for (at, event) in call.events.iter().enumerate() {
        let later = call.events.get(at + 1..).unwrap_or_default();
        let until = |wanted: &dyn Fn(&recording::spool::Event) -> bool| {
            event.at_ns
                ..later
                    .iter()
                    .find(|e| wanted(e))
                    .map_or(end, |e| e.at_ns)
                    .max(event.at_ns)
        };
        match event.kind {
            EventKind::Paused | EventKind::Held => {
                let (end, cause) = match event.kind {
                    EventKind::Held => (EventKind::HoldEnded, Cause::Hold),
                    _ => (EventKind::Resumed, Cause::Pause),
                };
                let span_ns = until(&|e| e.kind == end);
                for lane in [Lane::Customer, Lane::Agent] {
                    out.push(Explained {
                        lane,
                        span_ns: span_ns.clone(),
                        cause,
                    });
                }
            }
            EventKind::Muted => {
                let Some(lane) = lane_of(call, event.leg) else { continue };
                let ends = |e: &recording::spool::Event| {
                    matches!(e.kind, EventKind::MuteEnded | EventKind::LegLeft) && e.leg == event.leg
                };
                out.push(Explained {
                    lane,
                    span_ns: until(&ends),
                    cause: Cause::Mute,
                });
            }
            EventKind::LegJoined if !present.contains(&event.leg) => present.push(event.leg),
            EventKind::LegLeft => {
                present.retain(|leg| *leg != event.leg);
                let Some(lane) = lane_of(call, event.leg) else { continue };
                if present.iter().any(|leg| lane_of(call, *leg) == Some(lane)) {
                    continue;
                }
                let joined =
                    |e: &recording::spool::Event| e.kind == EventKind::LegJoined && lane_of(call, e.leg) == Some(lane);
                out.push(Explained {
                    lane,
                    span_ns: until(&joined),
                    cause: Cause::Absent,
                });
            }
            EventKind::LegJoined
            | EventKind::Dropped
            | EventKind::Stopped
            | EventKind::Resumed
            | EventKind::HoldEnded
            | EventKind::MuteEnded
            | EventKind::Began(_)
            | EventKind::Ended(_)
            | EventKind::TookOver
            | EventKind::Unheard
            | EventKind::HeardAgain
            | EventKind::Other(_) => {}
        }
    }
    out
}

/// The side that a leg is heard on: the customer's, or that of the agent who has the call.
fn lane_of(call: &RecordedCall, leg: u128) -> Option<Lane> {
    let found = call.legs.iter().find(|(other, _)| *other == leg);
    found
        .filter(|(_, part)| *part != Part::Preflight)
        .and_then(|(_, part)| part.side())
}

/// The quality of every leg and direction in the words of the border.
pub(super) fn quality(call: &RecordedCall) -> Vec<QualityTrack> {
    call.quality.iter().map(|run| track(call, run)).collect()
}

fn track(call: &RecordedCall, run: &QualityRun) -> QualityTrack {
    /// A row stands for the second that ends at its time.
    const ROW_NS: i128 = 1_000_000_000;
    let start = i128::from(run.first_second_ns) - ROW_NS - i128::from(call.start_ns);
    let seconds = run.rows.iter().map(|row| QualitySecond {
        expected: row.expected,
        received: row.received,
        lost: row.lost,
        residual_lost: row.residual_lost(),
        jitter_ms: row.jitter_ms(),
        rtt_ms: f32::from(row.rtt),
        level: row.level().unwrap_or(0),
        // The border knows no "none"; its scale begins at 1.
        mos: row.mos().unwrap_or(0.0),
        route: convert::route_of_path(row.path),
    });
    QualityTrack {
        leg: LegId(run.leg),
        part: part(run.part),
        uplink: run.uplink,
        start_ms: i64::try_from(start / 1_000_000).unwrap_or(0),
        seconds: seconds.collect(),
    }
}

pub(super) const fn part(part: Part) -> ports::Part {
    match part {
        Part::Customer => ports::Part::Customer,
        Part::Agent => ports::Part::Agent,
        Part::Partner => ports::Part::Partner,
        Part::Supervisor => ports::Part::Supervisor,
        Part::Preflight => ports::Part::Preflight,
    }
}

/// The layout in the words of the border.
pub(super) const fn layout(layout: master::Layout) -> ports::Layout {
    match layout {
        master::Layout::TwoChannel => ports::Layout::TwoChannel,
        master::Layout::Split => ports::Layout::Split,
        master::Layout::Empty => ports::Layout::Empty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::spool::Event;

    const fn event(at_ns: u64, kind: EventKind, leg: u128) -> Event {
        Event {
            at_ns,
            kind,
            value: 0,
            leg,
            part: Part::Agent,
            by: None,
        }
    }

    fn spans(call: &RecordedCall) -> Vec<(Lane, std::ops::Range<u64>, Cause)> {
        let spans = explained(call).into_iter();
        spans.map(|e| (e.lane, e.span_ns, e.cause)).collect()
    }

    #[test]
    fn pauses_hold_and_departures_explain_silence() {
        let mut call = crate::finaliser::tests::call(3, Some(4), 1);
        call.events = vec![
            event(10, EventKind::Paused, 0),
            event(20, EventKind::LegLeft, 2),
            event(30, EventKind::Resumed, 0),
            event(40, EventKind::LegJoined, 2),
            event(45, EventKind::Held, 0),
            event(48, EventKind::HoldEnded, 0),
            event(50, EventKind::LegLeft, 1),
        ];
        let end = call.audio_end_ns();
        let wanted = vec![
            (Lane::Customer, 10..30, Cause::Pause),
            (Lane::Agent, 10..30, Cause::Pause),
            (Lane::Agent, 20..40, Cause::Absent),
            (Lane::Customer, 45..48, Cause::Hold),
            (Lane::Agent, 45..48, Cause::Hold),
            (Lane::Customer, 50..end, Cause::Absent),
        ];
        assert_eq!(spans(&call), wanted);
    }

    #[test]
    fn a_mute_explains_the_silence_of_its_own_side() {
        let mut call = crate::finaliser::tests::call(3, Some(4), 1);
        call.events = vec![
            event(10, EventKind::Muted, 1),
            event(12, EventKind::Muted, 2),
            event(20, EventKind::MuteEnded, 1),
            event(30, EventKind::LegLeft, 2),
        ];
        let end = call.audio_end_ns();
        let wanted = vec![
            (Lane::Customer, 10..20, Cause::Mute),
            (Lane::Agent, 12..30, Cause::Mute),
            (Lane::Agent, 30..end, Cause::Absent),
        ];
        assert_eq!(spans(&call), wanted);
    }

    #[test]
    fn a_side_is_absent_only_without_any_leg_and_others_in_the_room_are_on_no_side() {
        let mut call = crate::finaliser::tests::call(3, Some(4), 1);
        // A supervisor comes and goes; then a colleague follows the agent.
        call.legs.extend([(5, Part::Supervisor), (6, Part::Agent)]);
        call.events = vec![
            event(1, EventKind::LegJoined, 1),
            event(1, EventKind::LegJoined, 2),
            event(10, EventKind::LegJoined, 5),
            event(11, EventKind::Muted, 5),
            event(20, EventKind::LegLeft, 5),
            event(30, EventKind::LegJoined, 6),
            event(40, EventKind::LegLeft, 2),
            event(50, EventKind::LegLeft, 6),
        ];
        let end = call.audio_end_ns();
        assert_eq!(spans(&call), [(Lane::Agent, 50..end, Cause::Absent)]);
    }
}
