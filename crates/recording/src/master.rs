//! The master of a call: both sides on one time line, in a file that any player knows (design: one Ogg Opus file,
//! left and right uncoupled).
//!
//! Never decodes and never re-encodes: a packet goes in as it came.
//!
//! Invariant: the file lasts exactly as long as the recording did, whatever the packets claim.

mod beside;

use std::ops::Range;

use ring::digest;
use serde::{Deserialize, Serialize};

pub use crate::align::Cause;
use crate::align::{self, Unit};
use crate::clock::{self, Rejects, Run};
use crate::course::{self, Laid, Placed, SHORT_GAP};
use crate::manifest::hex;
use crate::ogg::{PRE_SKIP, Sides, Writer};
use crate::opus_packet::{self, RATE, Toc};
use crate::packet::{Lane, Track};
pub use beside::{Beside, beside};

/// Longest recording: a day. A longer one is cut there, and the side data say so.
pub const DURATION_MS_MAX: u64 = 24 * 3_600_000;
/// Tag under which every file says who is heard on which side.
pub const LAYOUT_TAG: &str = "HELPLINE_LAYOUT";
/// Tag of the file of somebody who was heard beside the two sides, instead: what he is to the call.
pub const PART_TAG: &str = "HELPLINE_PART";
/// Slot of a recording without packets: 20 ms, as nearly every sender uses.
const EMPTY_SLOT: u32 = 960;
/// How often the exact offset of a side is noted while nothing else happens: ten seconds in samples.
const OFFSET_EVERY: u64 = 480_000;
/// Shortest hole at the end that counts as absence and not as the last packets on their way: one second in samples.
const TAIL: u64 = 48_000;

/// A span of one side whose silence has a known cause: pause, hold, mute, absence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Which side.
    pub lane: Lane,
    /// Nanoseconds of the node's clock.
    pub span_ns: Range<u64>,
    /// Why.
    pub cause: Cause,
}

/// What a master is made of.
#[derive(Clone, Copy, Debug)]
pub struct Assembly<'a> {
    /// Every leg's packets in the order of arrival; several legs of one side follow each other.
    pub tracks: &'a [Track],
    /// When the recording began, nanoseconds of the node's clock.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Whether the customer is heard left.
    pub customer_left: bool,
    /// Serial number of the Ogg stream.
    pub serial: u32,
    /// Tags of the file, which adds [`LAYOUT_TAG`]; no names of persons.
    pub tags: &'a [(&'a str, &'a str)],
    /// Silences that are known from the call's events.
    pub explained: &'a [Explained],
}

/// How the sides lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One file, left and right.
    TwoChannel,
    /// One mono file a side: the sides could not share a packet length.
    Split,
    /// Nobody sent a packet; the file is silent.
    Empty,
}

/// A piece of one side without packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Milliseconds from the start.
    pub at_ms: u64,
    /// Milliseconds.
    pub ms: u64,
    /// Why.
    pub cause: Cause,
    /// The call's events say so; else it is concluded from the packets.
    pub known: bool,
}

/// Exact place of one side's packets at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offset {
    /// Milliseconds from the start.
    pub at_ms: u64,
    /// Microseconds by which the file plays later than it was; negative: earlier.
    pub late_us: i64,
}

/// A packet that was taken out to follow the clock, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The milliseconds from the start for which it stood.
    pub at_ms: u64,
    /// Its sequence number.
    pub ext_seq: u32,
    /// Its bytes, hexadecimal.
    pub payload: String,
}

/// What happened to one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneSide {
    /// Packets that stand in the file.
    pub packets: u64,
    /// Packets that were not taken.
    pub rejects: Rejects,
    /// Slots added to follow the clock.
    pub inserted: u64,
    /// Milliseconds filled by concealment: holes of at most 200 ms.
    pub concealed_ms: u64,
    /// Milliseconds filled by silence.
    pub silence_ms: u64,
    /// Pieces without packets.
    pub holes: Vec<Hole>,
    /// Exact offsets.
    pub offsets: Vec<Offset>,
    /// Packets taken out.
    pub removed: Vec<Removed>,
}

/// What the file cannot say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideData {
    /// Why the recording is empty or cut, if it is.
    pub reason: Option<String>,
    /// Samples of one slot at 48 kHz.
    pub slot_samples: u32,
    /// Customer, agent.
    pub lanes: [LaneSide; 2],
    /// The files beside the master, by their numbers.
    pub beside: Vec<LaneSide>,
}

/// A finished recording.
#[derive(Clone, Debug)]
pub struct Master {
    /// The Ogg Opus file; with [`Layout::Split`] the customer's.
    pub audio: Vec<u8>,
    /// How the sides lie.
    pub layout: Layout,
    /// With [`Layout::Split`] the agent's file.
    pub second_file: Option<Vec<u8>>,
    /// Milliseconds from start to end.
    pub duration_ms: u64,
    /// Share of the time that packets or explained silence cover: customer, agent.
    pub coverage: [f32; 2],
    /// What the file cannot say.
    pub side: SideData,
    /// SHA-256 over (length u16 big endian, payload) of the packets taken, in their order, those removed included:
    /// customer, agent.
    pub packets_sha256: [[u8; 32]; 2],
}

/// One side before it is laid.
struct Side<'a> {
    runs: Vec<Run<'a>>,
    rejects: Rejects,
}

impl<'a> Side<'a> {
    fn of(input: &Assembly<'a>, lane: Lane) -> Self {
        let mut side = Side {
            runs: Vec::new(),
            rejects: Rejects::default(),
        };
        for track in input.tracks.iter().filter(|t| t.lane == lane) {
            let (runs, rejects) = clock::runs(&track.packets, input.start_ns);
            side.runs.extend(runs);
            side.rejects.add(&rejects);
        }
        side
    }

    fn lengths(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|run| run.packets.iter().map(|p| p.samples))
    }

    fn sha256(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        for packet in self.runs.iter().flat_map(|run| &run.packets) {
            let payload = &packet.packet.payload;
            context.update(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
            context.update(payload);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        out
    }
}

/// How long the files of a recording are.
struct Length {
    /// From the start to the end, milliseconds.
    asked_ms: u64,
    /// The same, cut at the longest recording.
    duration_ms: u64,
    /// That in samples.
    samples: u64,
}

impl Length {
    fn of(input: &Assembly<'_>) -> Length {
        let asked_ns = input.end_ns.saturating_sub(input.start_ns);
        let asked_ms = asked_ns / 1_000_000;
        let samples = if asked_ms > DURATION_MS_MAX {
            DURATION_MS_MAX * u64::from(RATE / 1_000)
        } else {
            clock::samples(i64::try_from(asked_ns).unwrap_or(i64::MAX)).unsigned_abs()
        };
        Length {
            asked_ms,
            duration_ms: asked_ms.min(DURATION_MS_MAX),
            samples,
        }
    }
}

/// Slots of a file of so many samples, those that players drop at its start included.
fn slots_of(samples: u64, grid: u32) -> u64 {
    (samples + u64::from(PRE_SKIP)).div_ceil(u64::from(grid))
}

/// Makes the master of a call. Never fails: what cannot be used is counted, and a call without packets gives silence.
#[must_use]
pub fn assemble(input: &Assembly<'_>) -> Master {
    let Length {
        asked_ms,
        duration_ms,
        samples,
    } = Length::of(input);
    let sides = [Side::of(input, Lane::Customer), Side::of(input, Lane::Agent)];
    let packets_sha256 = [sides[0].sha256(), sides[1].sha256()];
    let longest = sides.iter().flat_map(Side::lengths).max();
    let slot = longest.unwrap_or(EMPTY_SLOT);
    let units = [align::merged(&sides[0].runs, slot), align::merged(&sides[1].runs, slot)];
    let (layout, grids, units) = match units {
        [Ok(customer), Ok(agent)] => {
            let layout = if longest.is_some() {
                Layout::TwoChannel
            } else {
                Layout::Empty
            };
            (layout, [slot; 2], [customer, agent])
        }
        _ => (
            Layout::Split,
            [grid_of(&sides[0]), grid_of(&sides[1])],
            [align::singles(&sides[0].runs), align::singles(&sides[1].runs)],
        ),
    };
    let count = |grid: u32| slots_of(samples, grid);
    let laid = course::lay(units, grids, grids.map(count));
    let fillers = [
        fillers(&laid[0], grids[0], count(grids[0])),
        fillers(&laid[1], grids[1], count(grids[1])),
    ];
    let (audio, second_file) = write(input, layout, samples, grids, &laid, &fillers);
    let mut side = SideData {
        reason: None,
        slot_samples: slot,
        lanes: Default::default(),
        beside: Vec::new(),
    };
    let mut coverage = [0.0; 2];
    for (i, lane) in [Lane::Customer, Lane::Agent].into_iter().enumerate() {
        side.lanes[i] = describe(&sides[i], &laid[i], &fillers[i], grids[i], samples);
        explain(&mut side.lanes[i].holes, input, lane);
        coverage[i] = covered(&side.lanes[i], duration_ms);
    }
    side.reason = if asked_ms > DURATION_MS_MAX {
        Some("cut at the longest recording".to_owned())
    } else if layout == Layout::Empty {
        let of_sides = |t: &&Track| matches!(t.lane, Lane::Customer | Lane::Agent);
        let came = input.tracks.iter().filter(of_sides).any(|t| !t.packets.is_empty());
        Some(if came { "no packet could be used" } else { "no packets" }.to_owned())
    } else {
        None
    };
    Master {
        audio,
        layout,
        second_file,
        duration_ms,
        coverage,
        side,
        packets_sha256,
    }
}

/// The grid on which packets of every length of a side fit: their greatest common divisor.
fn grid_of(side: &Side<'_>) -> u32 {
    let gcd = |mut a: u32, mut b: u32| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    side.lengths()
        .reduce(gcd)
        .filter(|&grid| grid > 0)
        .unwrap_or(EMPTY_SLOT)
}

/// What stands in a stretch of slots without a packet.
struct Filler {
    slots: Range<u64>,
    cause: Cause,
    /// The configuration that the decoder is asked to conceal with; silence without.
    toc: Option<Toc>,
}

fn fillers(laid: &Laid<'_>, grid: u32, slots: u64) -> Vec<Filler> {
    let mut out = Vec::new();
    let mut end = 0;
    let mut toc: Option<Toc> = None;
    let mut gap = |from: u64, until: u64, cause: Cause, toc: Option<Toc>| {
        if from < until {
            let short = (until - from).saturating_mul(u64::from(grid)) <= SHORT_GAP.unsigned_abs();
            let toc = toc.filter(|&toc| short && opus_packet::concealed(toc, grid).is_some());
            out.push(Filler {
                slots: from..until,
                cause,
                toc,
            });
        }
    };
    for placed in &laid.placed {
        gap(end, placed.slot, placed.gap, toc);
        end = placed.slot + u64::from(placed.unit.samples.div_ceil(grid));
        toc = Some(placed.unit.toc);
    }
    let tail = (slots - end.min(slots)) * u64::from(grid);
    gap(
        end,
        slots,
        if tail >= TAIL || toc.is_none() {
            Cause::Absent
        } else {
            Cause::Dtx
        },
        toc,
    );
    out
}

/// Hands out a side slot by slot.
struct Feed<'l, 'a> {
    placed: std::iter::Peekable<std::slice::Iter<'l, Placed<'a>>>,
    fillers: std::iter::Peekable<std::slice::Iter<'l, Filler>>,
    grid: u32,
    silence: Vec<u8>,
    made: Vec<u8>,
}

impl<'l, 'a> Feed<'l, 'a> {
    fn new(laid: &'l Laid<'a>, fillers: &'l [Filler], grid: u32) -> Self {
        let silence = opus_packet::silence(grid).expect("a grid is a multiple of 2.5 ms, at most 120 ms");
        Self {
            placed: laid.placed.iter().peekable(),
            fillers: fillers.iter().peekable(),
            grid,
            silence,
            made: vec![],
        }
    }

    /// The packet that begins at `slot`, and how many samples it lasts; to be asked for every slot at which one ends.
    fn at(&mut self, slot: u64) -> (&[u8], u32) {
        if let Some(placed) = self.placed.next_if(|p| p.slot == slot) {
            return (&placed.unit.bytes, placed.unit.samples);
        }
        while self.fillers.next_if(|f| f.slots.end <= slot).is_some() {}
        let toc = self
            .fillers
            .peek()
            .filter(|f| f.slots.contains(&slot))
            .and_then(|f| f.toc);
        match toc.and_then(|toc| opus_packet::concealed(toc, self.grid)) {
            Some(made) => {
                self.made = made;
                (&self.made, self.grid)
            }
            None => (&self.silence, self.grid),
        }
    }
}

fn write(
    input: &Assembly<'_>,
    layout: Layout,
    samples: u64,
    grids: [u32; 2],
    laid: &[Laid<'_>; 2],
    fillers: &[Vec<Filler>; 2],
) -> (Vec<u8>, Option<Vec<u8>>) {
    let layout_words = if input.customer_left {
        "customer left, agent right"
    } else {
        "agent left, customer right"
    };
    let tags = [input.tags, &[(LAYOUT_TAG, layout_words)]].concat();
    let mut feeds = [
        Feed::new(&laid[0], &fillers[0], grids[0]),
        Feed::new(&laid[1], &fillers[1], grids[1]),
    ];
    let bytes = |l: &Laid<'_>| l.placed.iter().map(|p| p.unit.bytes.len() + 4).sum::<usize>();
    let room = bytes(&laid[0]) + bytes(&laid[1]) + samples as usize / 960 * 8 + 4_096;
    let end = samples + u64::from(PRE_SKIP);
    if layout == Layout::Split {
        let mut files = feeds
            .into_iter()
            .map(|feed| write_one(input.serial, &tags, feed, samples, room / 2));
        return (files.next().unwrap_or_default(), files.next());
    }
    if !input.customer_left {
        feeds.reverse();
    }
    let [left, right] = &mut feeds;
    let mut writer = Writer::new(Sides::Two, input.serial, &tags, room);
    for slot in 0..end.div_ceil(u64::from(grids[0])) {
        writer.packet(grids[0], |body| {
            let packet = opus_packet::parse_made(left.at(slot).0).expect("units and fillers are packets that parse");
            packet.self_delimit(body);
            body.extend_from_slice(right.at(slot).0);
        });
    }
    (writer.finish(samples), None)
}

/// A file of one side alone.
fn write_one(serial: u32, tags: &[(&str, &str)], mut feed: Feed<'_, '_>, samples: u64, room: usize) -> Vec<u8> {
    let mut writer = Writer::new(Sides::One, serial, tags, room);
    while writer.samples() < samples + u64::from(PRE_SKIP) {
        let (packet, lasts) = feed.at(writer.samples() / u64::from(feed.grid));
        writer.packet(lasts, |body| body.extend_from_slice(packet));
    }
    writer.finish(samples)
}

fn ms(samples: u64) -> u64 {
    samples / u64::from(RATE / 1_000)
}

fn describe(side: &Side<'_>, laid: &Laid<'_>, fillers: &[Filler], grid: u32, samples: u64) -> LaneSide {
    let mut out = LaneSide {
        rejects: side.rejects,
        inserted: laid.inserted,
        ..LaneSide::default()
    };
    out.rejects.outside += laid.outside;
    out.packets = laid.placed.iter().map(|p| p.unit.packets.len() as u64).sum();
    let grid = u64::from(grid);
    for filler in fillers {
        let (from, until) = (filler.slots.start * grid, (filler.slots.end * grid).min(samples));
        if from >= until {
            continue;
        }
        let lasts = ms(until) - ms(from);
        *(if filler.toc.is_some() {
            &mut out.concealed_ms
        } else {
            &mut out.silence_ms
        }) += lasts;
        out.holes.push(Hole {
            at_ms: ms(from),
            ms: lasts,
            cause: filler.cause,
            known: false,
        });
    }
    let mut noted: Option<(u64, i64)> = None;
    for placed in &laid.placed {
        let at = placed.slot * grid;
        // A slot more or less moves the error by more than a millisecond; a clock does so in ten seconds at most.
        if noted.is_none_or(|(then, error)| at - then >= OFFSET_EVERY || (placed.error - error).abs() > 48) {
            noted = Some((at, placed.error));
            out.offsets.push(Offset {
                at_ms: ms(at),
                late_us: placed.error.saturating_mul(125) / 6,
            });
        }
    }
    out.removed = laid.removed.iter().flat_map(|unit| removed(side, unit)).collect();
    out
}

fn removed(side: &Side<'_>, unit: &Unit<'_>) -> Vec<Removed> {
    let packets = side
        .runs
        .get(unit.run)
        .and_then(|run| run.packets.get(unit.packets.clone()))
        .unwrap_or_default();
    let each = packets.iter().map(|p| Removed {
        at_ms: u64::try_from(p.at / 1_000_000).unwrap_or(0),
        ext_seq: p.packet.ext_seq,
        payload: hex(&p.packet.payload),
    });
    each.collect()
}

/// Gives holes the cause that the call's events know: the one that covers most of the hole, if at least half.
fn explain(holes: &mut [Hole], input: &Assembly<'_>, lane: Lane) {
    for hole in holes {
        let (from, until) = (hole.at_ms, hole.at_ms + hole.ms);
        let overlap = |e: &Explained| {
            let at = |ns: u64| ns.saturating_sub(input.start_ns) / 1_000_000;
            at(e.span_ns.end)
                .min(until)
                .saturating_sub(at(e.span_ns.start).max(from))
        };
        let best = input
            .explained
            .iter()
            .filter(|e| e.lane == lane)
            .max_by_key(|e| overlap(e));
        if let Some(best) = best.filter(|e| overlap(e) > 0 && overlap(e) * 2 >= hole.ms) {
            (hole.cause, hole.known) = (best.cause, true);
        }
    }
}

/// Share of the time that is covered. A side that never sent anything covers nothing.
fn covered(lane: &LaneSide, duration_ms: u64) -> f32 {
    if lane.packets == 0 || duration_ms == 0 {
        return 0.0;
    }
    let explained = |hole: &Hole| match hole.cause {
        Cause::Dtx | Cause::Mute | Cause::Hold | Cause::Pause => true,
        // Before its first packet a leg had not come; after its last one nothing says that it was meant to go.
        Cause::Absent => hole.known || hole.at_ms == 0,
        Cause::Network | Cause::CaptureStall | Cause::Disconnect | Cause::Corrupt | Cause::Server => false,
    };
    let missing: u64 = lane
        .holes
        .iter()
        .filter(|hole| !explained(hole))
        .map(|hole| hole.ms)
        .sum();
    1.0 - missing.min(duration_ms) as f32 / duration_ms as f32
}
