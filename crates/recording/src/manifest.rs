//! The manifest of a recording: what was stored, its digests, and what is missing and why; for tools that are not ours.
//!
//! Never holds a name, an address or a packet. Serialised once: those bytes are what is stored.
//!
//! `events` is what happened, in order, each with `at_ms` from the start, `kind` and `value`; with `leg` and `part` where it is
//! about one participant; and where somebody wanted it with `role`, the word of his role (`customer`, `agent`, `team_lead`,
//! `supervisor`, `admin`, `super_admin`, `service`, `system`), and `reason`, the word that he gave or a stable one. What
//! media saw happen (`leg_joined`, `leg_left`, `dropped`, `unheard`, `heard_again`, and an end by `leg_left`) has neither.
//! Fields come to the form and none goes or changes its meaning: a reader passes over what it does not know, and manifests
//! of before, without `role` and `reason`, stay what they are.
//!
//! Invariant: equal input gives equal bytes, so a repeated attempt finds its own manifest again.

use std::ops::Range;

use serde::Serialize;

use crate::master::{Beside, Cause, Hole, LaneSide, Layout, Master};
use crate::spool::{By, EventKind, Part, RecordedCall, Way};

/// Name and version of this form.
pub const FORMAT: &str = "helpline-manifest-1";

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Object {
    /// What it is: `audio`, `audio_agent`, `beside_1` and so on, `side`. What is made anew at any time, as peaks, is no part
    /// of a recording.
    pub name: String,
    /// Its key below the store's root.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hexadecimal.
    pub sha256: String,
}

#[derive(Serialize)]
struct Leg {
    leg: String,
    part: &'static str,
    packets: usize,
}

#[derive(Serialize)]
struct Side {
    /// SHA-256 over (length u16 big endian, payload) of every packet taken, in order.
    packets_sha256: String,
    packets: u64,
    removed: usize,
    coverage: f32,
    concealed_ms: u64,
    silence_ms: u64,
    rejected: u64,
    holes: Vec<Hole>,
}

/// A voice beside the two sides: `object` is the name of its file among the objects.
#[derive(Serialize)]
struct Voice {
    object: String,
    leg: String,
    part: &'static str,
    /// When the customer was to hear it and had a stream for it.
    heard: Vec<Stretch>,
    #[serde(flatten)]
    side: Side,
}

#[derive(Serialize)]
struct Stretch {
    at_ms: u64,
    ms: u64,
}

#[derive(Serialize)]
struct Happened {
    at_ms: u64,
    kind: &'static str,
    value: u64,
    /// Whom it is about, and what he was then.
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'static str>,
    /// Who wanted it, by his role and never by name; nothing for what media saw happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// Why: the word that he gave, or a stable one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The manifest; see [`bytes()`].
#[derive(Serialize)]
struct Manifest<'a> {
    format: &'static str,
    recording: String,
    call: String,
    node: &'a str,
    node_epoch: u64,
    version: &'static str,
    began_unix_ms: u64,
    duration_ms: u64,
    reason: &'a str,
    degraded: bool,
    dropped_packets: u64,
    missing_blocks: u64,
    codec: &'static str,
    layout: Layout,
    left: &'static str,
    note: Option<&'a str>,
    /// The objects lie as they are, without sealing; this file has no signature.
    sealed: bool,
    objects: &'a [Object],
    legs: Vec<Leg>,
    customer: Side,
    agent: Side,
    /// Who was heard beside them, each in a file of his own on the same time.
    beside: Vec<Voice>,
    events: Vec<Happened>,
}

/// 128 bits in the usual form of a UUID.
#[must_use]
pub fn uuid(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits.map(|d| char::from(DIGITS[usize::from(d)])).collect()
}

/// The name of the object with this number among the files beside the master.
#[must_use]
pub fn beside_name(number: usize) -> String {
    format!("beside_{}", number + 1)
}

/// A voice beside the two sides, for the manifest.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Whose.
    pub leg: u128,
    /// What he was.
    pub part: Part,
    /// When the customer was to hear him and had a stream for it, milliseconds from the start.
    pub heard_ms: &'a [Range<u64>],
    /// His file.
    pub file: &'a Beside,
}

/// Writes the manifest of a stored master and the files beside it. `node` is the name of the node that recorded it.
#[must_use]
pub fn bytes(
    call: &RecordedCall,
    master: &Master,
    beside: &[Heard<'_>],
    objects: &[Object],
    node: &str,
    reason: &str,
) -> Vec<u8> {
    let began_ns = call.wall_ns_at_zero.saturating_add(call.start_ns);
    let manifest = Manifest {
        format: FORMAT,
        recording: uuid(call.recording.unwrap_or(0)),
        call: uuid(call.call),
        node,
        node_epoch: call.node_epoch,
        version: env!("CARGO_PKG_VERSION"),
        began_unix_ms: began_ns / 1_000_000,
        duration_ms: master.duration_ms,
        reason,
        degraded: call.degraded(),
        dropped_packets: call.dropped_packets,
        missing_blocks: call.missing_blocks,
        codec: "opus",
        layout: master.layout,
        left: if call.customer_left { "customer" } else { "agent" },
        note: master.side.reason.as_deref(),
        sealed: false,
        objects,
        legs: call.legs.iter().map(|&(leg, part)| one_leg(call, leg, part)).collect(),
        customer: of_master(master, 0),
        agent: of_master(master, 1),
        beside: beside.iter().enumerate().map(|(n, one)| voice(n, one)).collect(),
        events: call.events.iter().map(|e| happened(call, e)).collect(),
    };
    serde_json::to_vec_pretty(&manifest).expect("plain values always serialise")
}

fn one_leg(call: &RecordedCall, leg: u128, part: Part) -> Leg {
    let packets = call
        .tracks
        .iter()
        .filter(|t| t.leg == leg)
        .map(|t| t.packets.len())
        .sum();
    Leg {
        leg: uuid(leg),
        part: part.word(),
        packets,
    }
}

fn of_master(master: &Master, lane: usize) -> Side {
    side(
        &master.side.lanes[lane],
        &master.packets_sha256[lane],
        master.coverage[lane],
    )
}

fn voice(number: usize, heard: &Heard<'_>) -> Voice {
    let stretch = |span: &Range<u64>| Stretch {
        at_ms: span.start,
        ms: span.end.saturating_sub(span.start),
    };
    Voice {
        object: beside_name(number),
        leg: uuid(heard.leg),
        part: heard.part.word(),
        heard: heard.heard_ms.iter().map(stretch).collect(),
        side: side(&heard.file.side, &heard.file.packets_sha256, heard.file.coverage),
    }
}

fn side(lane_side: &LaneSide, packets_sha256: &[u8; 32], coverage: f32) -> Side {
    let rejects = &lane_side.rejects;
    // Silences that the sender chose are many and say nothing to a reader; the side data hold them all.
    let told = |hole: &&Hole| hole.cause != Cause::Dtx;
    Side {
        packets_sha256: hex(packets_sha256),
        packets: lane_side.packets,
        removed: lane_side.removed.len(),
        coverage,
        concealed_ms: lane_side.concealed_ms,
        silence_ms: lane_side.silence_ms,
        rejected: rejects.malformed + rejects.timestamps + rejects.overlapping + rejects.outside,
        holes: lane_side.holes.iter().filter(told).copied().collect(),
    }
}

fn happened(call: &RecordedCall, event: &crate::spool::Event) -> Happened {
    let kind = match event.kind {
        EventKind::LegJoined => "leg_joined",
        EventKind::LegLeft => "leg_left",
        EventKind::Dropped => "dropped",
        EventKind::Stopped => "stopped",
        EventKind::Paused => "paused",
        EventKind::Resumed => "resumed",
        EventKind::Held => "held",
        EventKind::HoldEnded => "hold_ended",
        EventKind::Muted => "muted",
        EventKind::MuteEnded => "mute_ended",
        EventKind::Began(Way::Consult) => "consult_began",
        EventKind::Ended(Way::Consult) => "consult_ended",
        EventKind::Began(Way::Conference) => "conference_began",
        EventKind::Ended(Way::Conference) => "conference_ended",
        EventKind::Began(Way::Listen) => "listen_began",
        EventKind::Ended(Way::Listen) => "listen_ended",
        EventKind::Began(Way::Whisper) => "whisper_began",
        EventKind::Ended(Way::Whisper) => "whisper_ended",
        EventKind::Began(Way::Barge) => "barge_began",
        EventKind::Ended(Way::Barge) => "barge_ended",
        EventKind::TookOver => "took_over",
        EventKind::Unheard => "unheard",
        EventKind::HeardAgain => "heard_again",
        EventKind::Other(_) => "other",
    };
    Happened {
        at_ms: event.at_ns.saturating_sub(call.start_ns) / 1_000_000,
        kind,
        value: event.value,
        leg: (event.leg != 0).then(|| uuid(event.leg)),
        part: (event.leg != 0).then(|| event.part.word()),
        role: event.by.as_ref().map(|by| by.role().to_owned()),
        reason: event.by.as_ref().and_then(By::reason).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::{Assembly, assemble};
    use crate::spool::Event;

    #[test]
    fn a_manifest_says_what_lies_where_and_is_the_same_every_time() {
        let event = Event {
            at_ns: 7_000_000_000,
            kind: EventKind::Paused,
            value: 3,
            leg: 0,
            part: Part::Customer,
            by: None,
        };
        let joined = Event {
            at_ns: 8_000_000_000,
            kind: EventKind::Began(Way::Conference),
            value: 0,
            leg: 8,
            part: Part::Partner,
            by: Some(By::new("agent", Some("loans"))),
        };
        let call = RecordedCall {
            call: 5,
            recording: Some(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            required: true,
            customer_left: true,
            start_ns: 5_000_000_000,
            end: None,
            last_ns: 9_000_000_000,
            node_epoch: 4,
            wall_ns_at_zero: 1_000_000_000_000,
            legs: vec![(9, Part::Agent), (8, Part::Partner)],
            beside: vec![(8, Part::Partner)],
            tracks: Vec::new(),
            quality: Vec::new(),
            events: vec![event, joined],
            dropped_packets: 2,
            missing_blocks: 0,
        };
        let assembly = Assembly {
            tracks: &call.tracks,
            start_ns: call.start_ns,
            end_ns: call.last_ns,
            customer_left: true,
            serial: 1,
            tags: &[],
            explained: &[],
        };
        let master = assemble(&assembly);
        let file = crate::master::beside(&assembly, 0, &[]);
        let span = 3_000..4_000;
        let beside = [Heard {
            leg: 8,
            part: Part::Partner,
            heard_ms: std::slice::from_ref(&span),
            file: &file,
        }];
        let objects = [Object {
            name: "audio".into(),
            key: "k".into(),
            size: 3,
            sha256: hex(&[0xab, 0x01]),
        }];
        let write = || bytes(&call, &master, &beside, &objects, "node-1", "hangup");
        let written = write();
        assert_eq!(written, write());
        let read: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(read["recording"], "01234567-89ab-cdef-0011-223344556677");
        assert_eq!(
            (&read["duration_ms"], &read["began_unix_ms"]),
            (&4_000.into(), &1_005_000.into())
        );
        assert_eq!((&read["layout"], &read["degraded"]), (&"empty".into(), &true.into()));
        assert_eq!(read["objects"][0]["sha256"], "ab01");
        assert_eq!(
            read["events"][0],
            serde_json::json!({"at_ms": 2_000, "kind": "paused", "value": 3})
        );
        assert_eq!(read["legs"][0]["part"], "agent");
        let told = serde_json::json!({"at_ms": 3_000, "kind": "conference_began", "value": 0, "leg": uuid(8), "part": "partner", "role": "agent", "reason": "loans"});
        assert_eq!(read["events"][1], told);
        let voice = &read["beside"][0];
        assert_eq!(
            (&voice["object"], &voice["leg"], &voice["part"]),
            (&"beside_1".into(), &uuid(8).into(), &"partner".into())
        );
        assert_eq!(voice["heard"], serde_json::json!([{"at_ms": 3_000, "ms": 1_000}]));
        assert_eq!((&voice["packets"], &voice["coverage"]), (&0.into(), &0.0.into()));
    }
}
