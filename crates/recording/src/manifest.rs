//! The manifest of a recording: what was stored, its digests, and what is missing and why; for tools that are not ours.
//!
//! Never holds a name, an address or a packet. Serialised once: those bytes are what is stored.
//!
//! Invariant: equal input gives equal bytes, so a repeated attempt finds its own manifest again.

use serde::Serialize;

use crate::master::{Cause, Hole, Layout, Master};
use crate::spool::{EventKind, Part, RecordedCall};

/// Name and version of this form.
pub const FORMAT: &str = "helpline-manifest-1";

/// One stored object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Object {
    /// What it is: `audio`, `audio_agent`, `side`. What is made anew at any time, as peaks, is no part of a recording.
    pub name: &'static str,
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

#[derive(Serialize)]
struct Happened {
    at_ms: u64,
    kind: &'static str,
    value: u64,
}

/// The manifest; see [`bytes`].
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

/// Writes the manifest of a stored master. `node` is the name of the node that recorded it.
#[must_use]
pub fn bytes(call: &RecordedCall, master: &Master, objects: &[Object], node: &str, reason: &str) -> Vec<u8> {
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
        customer: side(master, 0),
        agent: side(master, 1),
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
    let part = match part {
        Part::Customer => "customer",
        Part::Agent => "agent",
        Part::Partner => "partner",
        Part::Supervisor => "supervisor",
        Part::Preflight => "preflight",
    };
    Leg {
        leg: uuid(leg),
        part,
        packets,
    }
}

fn side(master: &Master, lane: usize) -> Side {
    let lane_side = &master.side.lanes[lane];
    let rejects = &lane_side.rejects;
    // Silences that the sender chose are many and say nothing to a reader; the side data hold them all.
    let told = |hole: &&Hole| hole.cause != Cause::Dtx;
    Side {
        packets_sha256: hex(&master.packets_sha256[lane]),
        packets: lane_side.packets,
        removed: lane_side.removed.len(),
        coverage: master.coverage[lane],
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
        EventKind::Other(_) => "other",
    };
    Happened {
        at_ms: event.at_ns.saturating_sub(call.start_ns) / 1_000_000,
        kind,
        value: event.value,
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
            legs: vec![(9, Part::Agent)],
            tracks: Vec::new(),
            quality: Vec::new(),
            events: vec![event],
            dropped_packets: 2,
            missing_blocks: 0,
        };
        let master = assemble(&Assembly {
            tracks: &call.tracks,
            start_ns: call.start_ns,
            end_ns: call.last_ns,
            customer_left: true,
            serial: 1,
            tags: &[],
            explained: &[],
        });
        let objects = [Object {
            name: "audio",
            key: "k".into(),
            size: 3,
            sha256: hex(&[0xab, 0x01]),
        }];
        let written = bytes(&call, &master, &objects, "node-1", "hangup");
        assert_eq!(written, bytes(&call, &master, &objects, "node-1", "hangup"));
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
    }
}
