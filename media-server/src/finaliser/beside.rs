//! The files of those who are heard beside customer and agent, with what explains their silence.
//!
//! Never makes a file for somebody who sent nothing.
//!
//! Invariant: the spans of one voice rise and do not overlap.

use std::ops::Range;

use bytes::Bytes;
use call_model::LegId;
use ports::StoredFile;
use recording::Lane;
use recording::manifest::Heard;
use recording::master::{self, Assembly, Beside, Cause, Explained, PART_TAG};
use recording::spool::{Event, EventKind, Part, RecordedCall};

use super::make;

/// Nanoseconds that a report of a shard may come behind the plan that it follows: what is left of a span within them, and
/// in which nothing was said, is none.
const REPORT_LATE_NS: u64 = 1_000_000_000;

/// One of them, not yet stored.
pub(super) struct Voice {
    leg: u128,
    part: Part,
    /// When the customer heard him, but for holds: he was to, and had a stream for it. Milliseconds from the start.
    heard_ms: Vec<Range<u64>>,
    pub(super) file: Beside,
    pub(super) audio: Bytes,
}

impl Voice {
    /// In the words of the manifest.
    pub(super) fn for_manifest(&self) -> Heard<'_> {
        Heard {
            leg: self.leg,
            part: self.part,
            heard_ms: &self.heard_ms,
            file: &self.file,
        }
    }

    /// In the words of the border, once its file is stored.
    pub(super) fn stored(&self, file: StoredFile) -> ports::Voice {
        ports::Voice {
            leg: LegId(self.leg),
            part: make::part(self.part),
            file,
            coverage: self.file.coverage,
            heard_ms: self.heard_ms.clone(),
        }
    }
}

/// Makes them all, in the order of their numbers. `assembly` is the master's.
pub(super) fn make(call: &RecordedCall, assembly: &Assembly<'_>) -> Vec<Voice> {
    let each = call.beside.iter().zip(0u8..);
    each.map(|(&(leg, part), number)| voice(call, assembly, (leg, part), number))
        .collect()
}

fn voice(call: &RecordedCall, assembly: &Assembly<'_>, (leg, part): (u128, Part), number: u8) -> Voice {
    let meant = meant(call, leg, part);
    let explained = explained(call, leg, Lane::Beside(number), &meant);
    let mut tags = assembly.tags.to_vec();
    tags.push((PART_TAG, part.word()));
    let assembly = Assembly {
        explained: &explained,
        tags: &tags,
        ..*assembly
    };
    let mut file = master::beside(&assembly, number, &meant);
    let heard = heard(call, leg, &meant);
    let ms = |ns: u64| ns.saturating_sub(call.start_ns) / 1_000_000;
    Voice {
        leg,
        part,
        heard_ms: heard.iter().map(|span| ms(span.start)..ms(span.end)).collect(),
        audio: std::mem::take(&mut file.audio).into(),
        file,
    }
}

/// The spans from an event of one kind to the next that ends it, or to the end of the recording.
fn spans(call: &RecordedCall, begins: impl Fn(&Event) -> bool, ends: impl Fn(&Event) -> bool) -> Vec<Range<u64>> {
    let mut out: Vec<Range<u64>> = Vec::new();
    let mut open = None;
    for event in &call.events {
        if begins(event) {
            open.get_or_insert(event.at_ns);
        } else if ends(event)
            && let Some(from) = open.take()
        {
            out.push(from..event.at_ns.max(from));
        }
    }
    let end = call.audio_end_ns();
    out.extend(open.map(|from| from..end.max(from)));
    out
}

/// When the customer was to hear a leg as this part, but for his holds.
fn meant(call: &RecordedCall, leg: u128, part: Part) -> Vec<Range<u64>> {
    let own = |event: &Event| event.leg == leg && event.part == part;
    spans(
        call,
        |event| own(event) && matches!(event.kind, EventKind::Began(way) if way.is_heard()),
        |event| own(event) && matches!(event.kind, EventKind::Ended(way) if way.is_heard()),
    )
}

/// The same without the spans for which his client had no stream. One that begins before a word was said begins with the
/// span around it: the report of it comes behind the plan.
fn heard(call: &RecordedCall, leg: u128, meant: &[Range<u64>]) -> Vec<Range<u64>> {
    let is = |kind: EventKind| move |event: &Event| event.kind == kind && event.leg == leg;
    let missed = spans(call, is(EventKind::Unheard), |event| {
        matches!(event.kind, EventKind::HeardAgain | EventKind::LegLeft) && event.leg == leg
    });
    let spoke = |span: Range<u64>| {
        let mut own = call.tracks.iter().filter(|track| track.leg == leg);
        own.any(|track| track.packets.iter().any(|packet| span.contains(&packet.arrival_ns)))
    };
    let mut out = Vec::new();
    for span in meant {
        let mut from = span.start;
        for missed in missed
            .iter()
            .filter(|missed| missed.start < span.end && span.start < missed.end)
        {
            if missed.start > from && spoke(from..missed.start) {
                out.push(from..missed.start);
            }
            from = from.max(missed.end);
        }
        let is_rest = from > span.start && span.end.saturating_sub(from) < REPORT_LATE_NS;
        if from < span.end && (!is_rest || spoke(from..span.end)) {
            out.push(from..span.end);
        }
    }
    out
}

/// The silences that are known: before, between and after the spans in which he was to be heard he was not meant to be;
/// within them hold, pause and his mute.
fn explained(call: &RecordedCall, leg: u128, lane: Lane, heard: &[Range<u64>]) -> Vec<Explained> {
    let of = |cause: Cause| move |span_ns: Range<u64>| Explained { lane, span_ns, cause };
    let is = |kind: EventKind| move |event: &Event| event.kind == kind;
    let mut out: Vec<Explained> = Vec::new();
    if !heard.is_empty() {
        let begins = std::iter::once(call.start_ns).chain(heard.iter().map(|span| span.end));
        let ends = heard.iter().map(|span| span.start).chain([call.audio_end_ns()]);
        out.extend(
            begins
                .zip(ends)
                .map(|(from, to)| from..to.max(from))
                .map(of(Cause::Absent)),
        );
    }
    out.extend(
        spans(call, is(EventKind::Held), is(EventKind::HoldEnded))
            .into_iter()
            .map(of(Cause::Hold)),
    );
    out.extend(
        spans(call, is(EventKind::Paused), is(EventKind::Resumed))
            .into_iter()
            .map(of(Cause::Pause)),
    );
    let muted = spans(
        call,
        |event| event.kind == EventKind::Muted && event.leg == leg,
        |event| matches!(event.kind, EventKind::MuteEnded | EventKind::LegLeft) && event.leg == leg,
    );
    out.extend(muted.into_iter().map(of(Cause::Mute)));
    out
}

#[cfg(test)]
mod tests {
    use recording::spool::Way;
    use recording::{Flags, Packet, Track};

    use super::*;
    use crate::finaliser::tests::call;

    const SECOND: u64 = 1_000_000_000;

    fn event(second: u64, kind: EventKind, leg: u128, part: Part) -> Event {
        Event {
            at_ns: second * SECOND,
            kind,
            value: 0,
            leg,
            part,
            by: None,
        }
    }

    /// Packets of 20 ms over these seconds.
    fn track(leg: u128, lane: Lane, seconds: &[Range<u64>]) -> Track {
        let packets = seconds.iter().flat_map(|span| span.start * 50..span.end * 50);
        let packet = |n: u64| Packet {
            ext_seq: n as u32,
            rtp_ts: n as u32 * 960,
            arrival_ns: n * 20_000_000,
            flags: Flags::default(),
            level: 60,
            payload: vec![0xf8, n as u8, (n >> 8) as u8, leg as u8].into(),
        };
        Track {
            leg,
            lane,
            packets: packets.map(packet).collect(),
        }
    }

    #[test]
    fn a_colleague_who_gets_the_call_has_a_file_of_what_he_said_before_and_its_silence_is_explained() {
        let mut call = call(3, Some(4), 60);
        let (colleague, partner) = (7, Part::Partner);
        call.legs.push((colleague, Part::Agent));
        call.beside = vec![(colleague, partner)];
        call.tracks = vec![
            track(colleague, Lane::Beside(0), &[20..25, 35..40]),
            track(colleague, Lane::Agent, std::slice::from_ref(&(40..60))),
        ];
        call.events = vec![
            event(10, EventKind::Began(Way::Consult), colleague, partner),
            event(20, EventKind::Ended(Way::Consult), colleague, partner),
            event(20, EventKind::Began(Way::Conference), colleague, partner),
            event(25, EventKind::Held, 0, Part::Customer),
            event(30, EventKind::HoldEnded, 0, Part::Customer),
            event(30, EventKind::Muted, colleague, partner),
            event(35, EventKind::MuteEnded, colleague, partner),
            event(40, EventKind::TookOver, colleague, Part::Agent),
            event(40, EventKind::Ended(Way::Conference), colleague, partner),
        ];
        let made = crate::finaliser::make::make(&call);
        let [voice] = &made.beside[..] else {
            panic!("one voice");
        };
        assert_eq!(voice.heard_ms, std::slice::from_ref(&(20_000..40_000)));
        assert_eq!(voice.file.side.packets, 500);
        assert!(voice.file.coverage > 0.99, "{}", voice.file.coverage);
        let causes: Vec<_> = voice.file.side.holes.iter().map(|hole| hole.cause).collect();
        assert_eq!(causes[0], Cause::Absent);
        // Hold and mute follow one another: one hole, told by one of the two.
        assert!(matches!(causes[1], Cause::Hold | Cause::Mute), "{causes:?}");
        assert_eq!(causes[2..], [Cause::Absent]);
        assert_eq!(
            made.master.side.lanes[1].packets, 1_000,
            "what he says as the agent is the agent's"
        );
        let side: serde_json::Value = serde_json::from_slice(&made.side).unwrap();
        assert_eq!(side["beside"][0]["packets"], 500);
    }

    #[test]
    fn two_ways_of_a_leg_have_two_spans_and_a_voice_without_events_counts_for_the_whole_time() {
        let mut call = call(3, Some(4), 60);
        let part = Part::Supervisor;
        call.events = vec![
            event(5, EventKind::Began(Way::Listen), 9, part),
            event(10, EventKind::Ended(Way::Listen), 9, part),
            event(10, EventKind::Began(Way::Barge), 9, part),
            event(20, EventKind::Ended(Way::Barge), 9, part),
            event(30, EventKind::Began(Way::Barge), 9, part),
        ];
        let wanted = [10..20, 30..60].map(|span| span.start * SECOND..span.end * SECOND);
        assert_eq!(meant(&call, 9, part), wanted);
        assert_eq!(meant(&call, 9, Part::Partner), []);
        assert_eq!(heard(&call, 9, &wanted), wanted);
        let absent = explained(&call, 9, Lane::Beside(0), &wanted);
        let absent: Vec<_> = absent
            .iter()
            .map(|e| (e.span_ns.start / SECOND, e.span_ns.end / SECOND))
            .collect();
        assert_eq!(absent, [(0, 10), (20, 30), (60, 60)]);
        call.events.clear();
        assert_eq!(explained(&call, 9, Lane::Beside(0), &[]), []);
    }

    #[test]
    fn what_the_customer_had_no_stream_for_he_did_not_hear() {
        let mut call = call(3, Some(4), 60);
        let (leg, part) = (9, Part::Supervisor);
        let began = event(10, EventKind::Began(Way::Barge), leg, part);
        let ended = event(40, EventKind::Ended(Way::Barge), leg, part);
        let report = |second, kind| event(second, kind, leg, part);
        let (unheard, again) = (EventKind::Unheard, EventKind::HeardAgain);
        call.tracks = vec![track(leg, Lane::Beside(0), std::slice::from_ref(&(12..40)))];
        let mut heard_with = |reports: &[Event]| {
            call.events = [std::slice::from_ref(&began), reports, std::slice::from_ref(&ended)].concat();
            let meant = meant(&call, leg, part);
            assert_eq!(meant, std::slice::from_ref(&(10 * SECOND..40 * SECOND)));
            let spans = heard(&call, leg, &meant);
            spans
                .iter()
                .map(|span| (span.start / SECOND, span.end / SECOND))
                .collect::<Vec<_>>()
        };
        assert_eq!(heard_with(&[]), [(10, 40)]);
        assert_eq!(
            heard_with(&[report(20, unheard), report(30, again)]),
            [(10, 20), (30, 40)]
        );
        // The report came behind the plan, and before a word was said.
        assert_eq!(heard_with(&[report(11, unheard)]), []);
        assert_eq!(heard_with(&[report(11, unheard), report(20, again)]), [(20, 40)]);
        // Two such spans.
        let twice = [
            report(15, unheard),
            report(16, again),
            report(20, unheard),
            report(22, again),
        ];
        assert_eq!(heard_with(&twice), [(10, 15), (16, 20), (22, 40)]);
        // The end of the plan is told by the desk, that of the want of a stream behind it by the shard.
        call.events = vec![began.clone(), report(20, unheard), ended.clone(), report(41, again)];
        let meant = meant(&call, leg, part);
        assert_eq!(
            heard(&call, leg, &meant),
            std::slice::from_ref(&(10 * SECOND..20 * SECOND))
        );
    }
}
