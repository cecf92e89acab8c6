//! Puts the blocks of one or many segments together to whole calls.
//!
//! Never reorders packets: they stand as they arrived. A block that was written twice counts once.
//!
//! Invariant: the result does not depend on how the blocks of a call are spread over segments.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Body, DamageKind, End, Event, EventKind, HeaderFault, Part, Reader, SegmentHeader, Start, Tag};
use crate::packet::{BESIDE_MAX, Lane, Packet, Track};
use crate::quality_track::Row;

/// Consecutive seconds of one direction of one leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QualityRun {
    /// Which leg.
    pub leg: u128,
    /// What it is.
    pub part: Part,
    /// True: what the leg sent.
    pub uplink: bool,
    /// End of the first second, monotonic nanoseconds.
    pub first_second_ns: u64,
    /// A row per second; a second that nobody counted is an empty row.
    pub rows: Vec<Row>,
}

/// Everything that the spool holds of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    /// Which call.
    pub call: u128,
    /// Which recording; `None` when only quality was kept.
    pub recording: Option<u128>,
    /// True when the call must not go on unrecorded.
    pub required: bool,
    /// True when the customer is the left channel.
    pub customer_left: bool,
    /// When the room went live, monotonic nanoseconds; the oldest thing known when no START is left.
    pub start_ns: u64,
    /// How it ended; `None` when the spool does not say.
    pub end: Option<End>,
    /// The newest moment that any block tells of, monotonic nanoseconds.
    pub last_ns: u64,
    /// The node's epoch, whose clock all times are of.
    pub node_epoch: u64,
    /// Unix time in nanoseconds at monotonic 0.
    pub wall_ns_at_zero: u64,
    /// Every leg, in the order it was first named.
    pub legs: Vec<(u128, Part)>,
    /// Who was heard beside the two sides and as what, by the number of his file.
    pub beside: Vec<(u128, Part)>,
    /// Packets per leg and part that sent any, in the order of `legs`.
    pub tracks: Vec<Track>,
    /// Seconds per leg and direction.
    pub quality: Vec<QualityRun>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Packets that were lost on the way to the disk.
    pub dropped_packets: u64,
    /// Blocks that are missing between the first and the last one.
    pub missing_blocks: u64,
}

impl RecordedCall {
    /// True when packets are known to be missing by our own fault.
    #[must_use]
    pub const fn degraded(&self) -> bool {
        self.dropped_packets > 0 || self.missing_blocks > 0
    }

    /// When taking packets ended: the order to stop, else the end, else the newest thing known.
    #[must_use]
    pub fn audio_end_ns(&self) -> u64 {
        let stopped = self
            .events
            .iter()
            .find(|event| event.kind == EventKind::Stopped)
            .map(|event| event.at_ns);
        let ended = self.end.as_ref().map(|end| end.at_ns);
        stopped.or(ended).unwrap_or(self.last_ns).max(self.start_ns)
    }
}

/// Owned content of a block.
#[derive(Debug)]
enum Piece {
    Start(Start),
    Audio(Vec<Packet>),
    Event(Event),
    Quality {
        uplink: bool,
        first_second_ns: u64,
        rows: Vec<Row>,
    },
    End(End),
}

#[derive(Debug)]
struct Pieces {
    header: SegmentHeader,
    by_counter: BTreeMap<u32, (Tag, Piece)>,
}

/// Gathers blocks; a call of one node epoch is one call.
#[derive(Debug, Default)]
pub struct Calls {
    calls: BTreeMap<(u64, u128), Pieces>,
    corrupt_bytes: u64,
}

impl Calls {
    /// Adds all blocks of a segment, which stays as long as a packet of it does.
    ///
    /// # Errors
    /// [`HeaderFault`]; nothing was added.
    pub fn add_segment(&mut self, segment: &Bytes) -> Result<(), HeaderFault> {
        let (header, reader) = Reader::segment(segment)?;
        self.add(&header, segment, reader);
        Ok(())
    }

    /// Adds blocks that were cut out of the segment with this header; they stay as long as a packet of them does.
    pub fn add_blocks(&mut self, header: &SegmentHeader, blocks: &Bytes) {
        self.add(header, blocks, Reader::blocks(blocks));
    }

    /// Bytes in the middle of what was added that could not be read.
    #[must_use]
    pub const fn corrupt_bytes(&self) -> u64 {
        self.corrupt_bytes
    }

    fn add(&mut self, header: &SegmentHeader, from: &Bytes, mut reader: Reader<'_>) {
        for block in reader.by_ref() {
            let pieces = self
                .calls
                .entry((header.node_epoch, block.tag.call))
                .or_insert_with(|| Pieces {
                    header: header.clone(),
                    by_counter: BTreeMap::new(),
                });
            pieces
                .by_counter
                .entry(block.tag.counter)
                .or_insert_with(|| (block.tag, piece(&block.body, from)));
        }
        let corrupt = reader
            .damage()
            .iter()
            .filter(|damage| damage.kind == DamageKind::Corrupt);
        self.corrupt_bytes += corrupt.map(|damage| damage.bytes as u64).sum::<u64>();
    }

    /// The calls, by epoch and id.
    #[must_use]
    pub fn finish(self) -> Vec<RecordedCall> {
        self.calls
            .into_iter()
            .map(|((_, call), pieces)| whole(call, pieces))
            .collect()
    }
}

/// All calls of these segments; one whose header is bad is passed over.
pub fn collect<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Vec<RecordedCall> {
    let mut calls = Calls::default();
    for segment in segments {
        if calls.add_segment(&Bytes::copy_from_slice(segment)).is_err() {
            continue;
        }
    }
    calls.finish()
}

/// The content of a block that was read from `from`, of which its packets keep slices.
fn piece(body: &Body<'_>, from: &Bytes) -> Piece {
    match body {
        Body::Start(start) => Piece::Start(start.clone()),
        Body::Audio(audio) => Piece::Audio(
            audio
                .packets()
                .map(|packet| Packet {
                    ext_seq: packet.ext_seq,
                    rtp_ts: packet.rtp_ts,
                    arrival_ns: packet.arrival_ns,
                    flags: packet.flags,
                    level: packet.level,
                    payload: from.slice_ref(packet.payload),
                })
                .collect(),
        ),
        Body::Event(event) => Piece::Event(event.clone()),
        Body::Quality(quality) => Piece::Quality {
            uplink: quality.uplink,
            first_second_ns: quality.first_second_ns,
            rows: quality.rows().collect(),
        },
        Body::End(end) => Piece::End(end.clone()),
    }
}

fn whole(call: u128, pieces: Pieces) -> RecordedCall {
    let blocks = pieces.by_counter;
    let span = blocks.last_key_value().map_or(0, |(last, _)| u64::from(*last) + 1);
    let mut out = RecordedCall {
        call,
        recording: None,
        required: false,
        customer_left: true,
        start_ns: 0,
        end: None,
        last_ns: 0,
        node_epoch: pieces.header.node_epoch,
        wall_ns_at_zero: pieces.header.wall_ns_at_zero,
        legs: Vec::new(),
        beside: Vec::new(),
        tracks: Vec::new(),
        quality: Vec::new(),
        events: Vec::new(),
        dropped_packets: 0,
        missing_blocks: span - blocks.len() as u64,
    };
    let sent = sent(blocks.values());
    let mut oldest = u64::MAX;
    let mut started = false;
    for (tag, piece) in blocks.into_values() {
        let (from, to) = span_of(&piece);
        oldest = oldest.min(from);
        out.last_ns = out.last_ns.max(to);
        started |= matches!(piece, Piece::Start(_));
        add_piece(&mut out, tag, piece, &sent);
    }
    if !started && oldest != u64::MAX {
        out.start_ns = oldest;
    }
    let order: Vec<u128> = out.legs.iter().map(|(leg, _)| *leg).collect();
    let place = |leg: u128| order.iter().position(|other| *other == leg);
    out.tracks.sort_by_key(|track| (place(track.leg), track.lane));
    out.quality
        .sort_by_key(|run| (place(run.leg), !run.uplink, run.first_second_ns));
    out
}

/// How many packets there are of each leg that sent any.
fn sent<'a>(blocks: impl Iterator<Item = &'a (Tag, Piece)>) -> Vec<(u128, usize)> {
    let mut legs: Vec<(u128, usize)> = Vec::new();
    for (tag, piece) in blocks {
        let Piece::Audio(packets) = piece else { continue };
        match legs.iter_mut().find(|(leg, _)| *leg == tag.leg) {
            Some((_, count)) => *count += packets.len(),
            None => legs.push((tag.leg, packets.len())),
        }
    }
    legs
}

/// Oldest and newest moment that a piece tells of.
fn span_of(piece: &Piece) -> (u64, u64) {
    match piece {
        Piece::Start(start) => (start.start_ns, start.start_ns),
        Piece::Audio(packets) => packets.iter().fold((u64::MAX, 0), |(from, to), packet| {
            (from.min(packet.arrival_ns), to.max(packet.arrival_ns))
        }),
        Piece::Event(event) => (event.at_ns, event.at_ns),
        Piece::Quality {
            first_second_ns, rows, ..
        } => {
            let last = (rows.len() as u64).saturating_sub(1).saturating_mul(SECOND_NS);
            (
                first_second_ns.saturating_sub(SECOND_NS),
                first_second_ns.saturating_add(last),
            )
        }
        Piece::End(end) => (end.at_ns, end.at_ns),
    }
}

fn add_piece(out: &mut RecordedCall, tag: Tag, piece: Piece, sent: &[(u128, usize)]) {
    // What a leg is stands in the newest START; a block of sound may tell of what it was before. Whoever has become the
    // agent stays it.
    if tag.leg != 0 && (tag.part == Part::Agent || !out.legs.iter().any(|(leg, _)| *leg == tag.leg)) {
        name_leg(&mut out.legs, tag.leg, tag.part);
    }
    match piece {
        Piece::Start(start) => {
            out.recording = start.recording.or(out.recording);
            out.required = start.required;
            out.customer_left = start.customer_left;
            out.start_ns = start.start_ns;
            for (leg, part) in start.legs {
                name_leg(&mut out.legs, leg, part);
            }
        }
        Piece::Audio(packets) => add_packets(out, tag, packets, sent),
        Piece::Event(event) => {
            if event.kind == EventKind::Dropped {
                out.dropped_packets = out.dropped_packets.saturating_add(event.value);
            }
            out.events.push(event);
        }
        Piece::Quality {
            uplink,
            first_second_ns,
            rows,
        } => add_rows(&mut out.quality, tag, uplink, first_second_ns, rows),
        Piece::End(end) => out.end = out.end.take().or(Some(end)),
    }
}

/// Adds packets to the track of their leg and part. What finds no file any more is lost, and counted.
///
/// A track has room for all that its leg has sent from the start: an hour has so many packets that a track which grows is
/// copied many times over.
fn add_packets(out: &mut RecordedCall, tag: Tag, packets: Vec<Packet>, sent: &[(u128, usize)]) {
    let Some(lane) = tag.part.side().or_else(|| beside(out, tag)) else {
        out.dropped_packets = out.dropped_packets.saturating_add(packets.len() as u64);
        return;
    };
    let mut tracks = out.tracks.iter_mut();
    match tracks.find(|track| track.leg == tag.leg && track.lane == lane) {
        Some(track) => track.packets.extend(packets),
        None => {
            let all = sent.iter().find(|(leg, _)| *leg == tag.leg);
            let mut own = Vec::with_capacity(all.map_or(0, |(_, count)| *count));
            own.extend(packets);
            out.tracks.push(Track {
                leg: tag.leg,
                lane,
                packets: own,
            });
        }
    }
}

/// The file of somebody who is heard beside the two sides; a new one while there is one.
fn beside(out: &mut RecordedCall, tag: Tag) -> Option<Lane> {
    let who = (tag.leg, tag.part);
    let known = out.beside.iter().position(|other| *other == who);
    let number = match known {
        Some(number) => number,
        None if out.beside.len() < BESIDE_MAX => {
            out.beside.push(who);
            out.beside.len() - 1
        }
        None => return None,
    };
    u8::try_from(number).ok().map(Lane::Beside)
}

/// Notes a leg. What it was last counts: a colleague may have become the agent.
fn name_leg(legs: &mut Vec<(u128, Part)>, leg: u128, part: Part) {
    match legs.iter_mut().find(|(other, _)| *other == leg) {
        Some((_, known)) => *known = part,
        None => legs.push((leg, part)),
    }
}

const SECOND_NS: u64 = 1_000_000_000;
/// Longest stretch without rows that is filled with empty ones, in seconds: a reconnecting leg keeps its place for
/// less. Behind a longer one a new run begins.
const FILL_SECONDS_MAX: u64 = 120;

fn add_rows(runs: &mut Vec<QualityRun>, tag: Tag, uplink: bool, first_second_ns: u64, rows: Vec<Row>) {
    let run = runs
        .iter_mut()
        .rev()
        .find(|run| run.leg == tag.leg && run.uplink == uplink);
    if let Some(run) = run {
        let due = run.first_second_ns.saturating_add(run.rows.len() as u64 * SECOND_NS);
        let behind = first_second_ns.saturating_add(SECOND_NS / 2).saturating_sub(due) / SECOND_NS;
        if first_second_ns.saturating_add(SECOND_NS) > due && behind <= FILL_SECONDS_MAX {
            run.rows.extend(std::iter::repeat_n(Row::default(), behind as usize));
            run.rows.extend(rows);
            run.part = tag.part;
            return;
        }
    }
    runs.push(QualityRun {
        leg: tag.leg,
        part: tag.part,
        uplink,
        first_second_ns,
        rows,
    });
}
