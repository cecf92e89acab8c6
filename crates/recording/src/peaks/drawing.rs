//! Draws the peaks of a master, or of a voice beside it, from its bytes as they come, in one pass of libopus.
//!
//! Never holds more of the file than a page that is not yet whole, and no sound but that of one packet.
//!
//! Invariant: what is drawn is a whole file of this crate, from its first page to its last, checked page by page; of
//! anything else nothing is.

use ::ogg::reading::{BasePacketReader, PageParser};
use opus::MSDecoder;
use thiserror::Error;

use super::{Extent, STEP_MS};
use crate::master::{LAYOUT_TAG, PART_TAG};
use crate::opus_packet::{self, PACKET_SAMPLES_MAX, RATE};

/// Rate of decoding: a picture needs no more than the band of a telephone, and it is the cheapest.
const DECODE_RATE: u32 = 8_000;
/// Samples of one step at that rate.
const STEP_SAMPLES: usize = (DECODE_RATE as u64 * STEP_MS / 1_000) as usize;
/// Bytes of a page's header before its lacing values, the last of which is their number (RFC 3533 §6).
const PAGE_HEADER_BYTES: usize = 27;

/// Why nothing can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DrawingFault {
    /// No Ogg Opus file of ours.
    #[error("this is no master")]
    Foreign,
    /// The file ends before its last page.
    #[error("the master ends early")]
    Cut,
    /// A page is not as it was written.
    #[error("the master is damaged")]
    Damaged,
    /// Longer than the limit that was given.
    #[error("the master is longer than anything that was recorded")]
    TooLong,
    /// libopus gives no decoder.
    #[error("there is no decoder")]
    Decoder,
}

/// The peaks of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Milliseconds of sound.
    pub duration_ms: u64,
    pub(super) heard: Heard,
    /// Peaks of each channel, one pair per step.
    pub(super) lanes: Vec<Vec<(i8, i8)>>,
}

/// Who is heard in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Customer and agent, or one of them alone.
    Sides { customer_left: bool },
    /// Somebody beside them.
    Voice,
}

impl Drawn {
    /// True when the file holds one side, and the other lies in a file of its own.
    #[must_use]
    pub fn is_one_side(&self) -> bool {
        self.lanes.len() == 1
    }
}

/// A file that is being drawn: [`Drawing::take`] its bytes in order, then [`Drawing::finish`].
pub struct Drawing {
    duration_ms_max: u64,
    /// Bytes of a page that is not yet whole.
    held: Vec<u8>,
    pages: BasePacketReader,
    stage: Stage,
}

/// What the next packet is.
enum Stage {
    Head,
    Tags(Head),
    Sound(Box<Sound>),
}

/// What `OpusHead` says (RFC 7845 §5.1).
#[derive(Clone, Copy)]
struct Head {
    channels: u8,
    /// Samples at 48 kHz that are not played.
    pre_skip: u16,
}

/// A file behind its headers.
struct Sound {
    head: Head,
    heard: Heard,
    decoder: MSDecoder,
    pcm: Vec<i16>,
    /// Samples at the decoding rate that are still to be left out.
    skip: usize,
    extents: Vec<Extent>,
    /// Samples in `extents`.
    filled: usize,
    lanes: Vec<Vec<(i8, i8)>>,
    /// Granule of the last page, once it came.
    end: Option<u64>,
}

impl Drawing {
    /// Nothing is drawn yet. A file that lasts longer than `duration_ms_max` is refused.
    #[must_use]
    pub fn new(duration_ms_max: u64) -> Drawing {
        Drawing {
            duration_ms_max,
            held: Vec::new(),
            pages: BasePacketReader::new(),
            stage: Stage::Head,
        }
    }

    /// Takes the next bytes of the file, as many as there are. A packet that libopus refuses counts as silence.
    ///
    /// # Errors
    /// `Foreign`, `Damaged`, `TooLong`, `Decoder`; the drawing is of no use then.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), DrawingFault> {
        self.held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(len) = page_bytes(&self.held[at..])? {
            let page = page(&self.held[at..at + len])?;
            at += len;
            self.pages.push_page(page).map_err(|_| DrawingFault::Damaged)?;
            while let Some(packet) = self.pages.read_packet() {
                self.packet(&packet)?;
            }
        }
        self.held.drain(..at);
        Ok(())
    }

    /// True once it is known that the file holds one side.
    #[must_use]
    pub fn is_one_side(&self) -> bool {
        match &self.stage {
            Stage::Head => false,
            Stage::Tags(head) => head.channels == 1,
            Stage::Sound(sound) => sound.head.channels == 1,
        }
    }

    fn packet(&mut self, packet: &::ogg::Packet) -> Result<(), DrawingFault> {
        match &mut self.stage {
            Stage::Head => self.stage = Stage::Tags(head(&packet.data)?),
            Stage::Tags(head) => self.stage = Stage::Sound(Box::new(Sound::new(*head, &packet.data)?)),
            Stage::Sound(sound) => {
                if sound.end.is_some() {
                    return Err(DrawingFault::Damaged);
                }
                sound.decode(&packet.data);
                if sound.drawn_ms() > self.duration_ms_max.saturating_add(PACKET_MS_MAX) {
                    return Err(DrawingFault::TooLong);
                }
                sound.end = packet.last_in_stream().then(|| packet.absgp_page());
            }
        }
        Ok(())
    }

    /// The file is at its end.
    ///
    /// # Errors
    /// `Cut`, `TooLong`.
    pub fn finish(self) -> Result<Drawn, DrawingFault> {
        let Stage::Sound(sound) = self.stage else {
            return Err(DrawingFault::Cut);
        };
        let end = sound.end.filter(|_| self.held.is_empty()).ok_or(DrawingFault::Cut)?;
        let duration_ms = end.saturating_sub(u64::from(sound.head.pre_skip)) / u64::from(RATE / 1_000);
        if duration_ms > self.duration_ms_max {
            return Err(DrawingFault::TooLong);
        }
        Ok(sound.drawn(duration_ms))
    }
}

/// The longest packet, milliseconds: by so much a file may hold more than it plays.
const PACKET_MS_MAX: u64 = (PACKET_SAMPLES_MAX / (RATE / 1_000)) as u64;

impl Sound {
    fn new(head: Head, tags: &[u8]) -> Result<Sound, DrawingFault> {
        let channels = usize::from(head.channels);
        let heard = heard(tags).filter(|heard| channels == 1 || *heard != Heard::Voice);
        let heard = heard.ok_or(DrawingFault::Foreign)?;
        let mapping: &[u8] = if channels == 1 { &[0] } else { &[0, 1] };
        let decoder = MSDecoder::new(DECODE_RATE, head.channels, 0, mapping).map_err(|_| DrawingFault::Decoder)?;
        Ok(Sound {
            head,
            heard,
            decoder,
            pcm: vec![0; (PACKET_SAMPLES_MAX / (RATE / DECODE_RATE)) as usize * channels],
            skip: usize::from(head.pre_skip) / (RATE / DECODE_RATE) as usize,
            extents: vec![Extent::NONE; channels],
            filled: 0,
            lanes: vec![Vec::new(); channels],
            end: None,
        })
    }

    fn decode(&mut self, packet: &[u8]) {
        let channels = self.lanes.len();
        let samples = self.decoder.decode(packet, &mut self.pcm, false).unwrap_or_else(|_| {
            self.pcm.fill(0);
            lasts(packet, channels)
        });
        for frame in self.pcm.chunks_exact(channels).take(samples).skip(self.skip) {
            for (&sample, extent) in frame.iter().zip(&mut self.extents) {
                extent.take(sample.to_be_bytes()[0] as i8);
            }
            self.filled += 1;
            if self.filled == STEP_SAMPLES {
                close(&mut self.lanes, &mut self.extents);
                self.filled = 0;
            }
        }
        self.skip = self.skip.saturating_sub(samples);
    }

    fn drawn_ms(&self) -> u64 {
        self.lanes.first().map_or(0, |lane| lane.len() as u64 * STEP_MS)
    }

    /// The peaks, exactly as many as `duration_ms` has steps: the last may be short, and the decoder gives what the end
    /// trim cuts off.
    fn drawn(mut self, duration_ms: u64) -> Drawn {
        close(&mut self.lanes, &mut self.extents);
        let steps = usize::try_from(duration_ms.div_ceil(STEP_MS)).unwrap_or(usize::MAX);
        self.lanes.iter_mut().for_each(|lane| lane.resize(steps, (0, 0)));
        Drawn {
            duration_ms,
            heard: self.heard,
            lanes: self.lanes,
        }
    }
}

/// Ends a step of every channel.
fn close(lanes: &mut [Vec<(i8, i8)>], extents: &mut [Extent]) {
    for (lane, extent) in lanes.iter_mut().zip(extents) {
        lane.push(extent.pair());
        *extent = Extent::NONE;
    }
}

/// Bytes of the page that `bytes` begin with; `None` while it is not whole.
fn page_bytes(bytes: &[u8]) -> Result<Option<usize>, DrawingFault> {
    let Some(header) = bytes.get(..PAGE_HEADER_BYTES) else {
        return Ok(None);
    };
    if !header.starts_with(b"OggS") {
        return Err(DrawingFault::Damaged);
    }
    let end = PAGE_HEADER_BYTES + usize::from(header[PAGE_HEADER_BYTES - 1]);
    let Some(lacing) = bytes.get(PAGE_HEADER_BYTES..end) else {
        return Ok(None);
    };
    let whole = end + lacing.iter().map(|&value| usize::from(value)).sum::<usize>();
    Ok((bytes.len() >= whole).then_some(whole))
}

/// One whole page, its check sum compared.
fn page(bytes: &[u8]) -> Result<::ogg::reading::OggPage, DrawingFault> {
    let (header, rest) = bytes.split_first_chunk().ok_or(DrawingFault::Damaged)?;
    let (mut parser, segments) = PageParser::new(*header).map_err(|_| DrawingFault::Damaged)?;
    let (lacing, body) = rest.split_at_checked(segments).ok_or(DrawingFault::Damaged)?;
    parser.parse_segments(lacing.to_vec());
    parser
        .parse_packet_data(body.to_vec())
        .map_err(|_| DrawingFault::Damaged)
}

/// `OpusHead` of a file that this crate writes: one channel, or two that are not coupled.
fn head(packet: &[u8]) -> Result<Head, DrawingFault> {
    let channels = match packet {
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', 1, 1, .., 0] if packet.len() == 19 => 1,
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', 1, 2, .., 1, 2, 0, 0, 1] if packet.len() == 23 => 2,
        _ => return Err(DrawingFault::Foreign),
    };
    Ok(Head {
        channels,
        pre_skip: u16::from_le_bytes([packet[10], packet[11]]),
    })
}

/// Who is heard where, by `OpusTags` (RFC 7845 §5.2); `None` when they say nothing of it.
fn heard(tags: &[u8]) -> Option<Heard> {
    let text = |at: &mut &[u8]| {
        let (len, rest) = at.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        *at = rest;
        Some(text.to_vec())
    };
    let mut at = tags.strip_prefix(b"OpusTags")?;
    text(&mut at)?;
    let (count, rest) = at.split_first_chunk()?;
    at = rest;
    for _ in 0..u32::from_le_bytes(*count) {
        let tag = text(&mut at)?;
        let said = |name: &str| tag.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
        if let Some(layout) = said(LAYOUT_TAG) {
            let customer_left = layout.starts_with(b"customer left");
            return Some(Heard::Sides { customer_left });
        }
        if said(PART_TAG).is_some() {
            return Some(Heard::Voice);
        }
    }
    None
}

/// Samples at the decoding rate of a packet that was refused.
fn lasts(packet: &[u8], channels: usize) -> usize {
    let first = if channels == 1 {
        Ok(packet.to_vec())
    } else {
        opus_packet::split_self_delimited(packet).map(|s| s.0)
    };
    let samples = first
        .and_then(|bytes| opus_packet::parse_made(&bytes).map(|p| p.samples()))
        .unwrap_or(0);
    (samples / (RATE / DECODE_RATE)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::{Assembly, assemble, beside};

    /// A silent master that lasts `ms`.
    fn silent(ms: u64, customer_left: bool) -> Vec<u8> {
        let made = assemble(&Assembly {
            tracks: &[],
            start_ns: 0,
            end_ns: ms * 1_000_000,
            customer_left,
            serial: 1,
            tags: &[("HELPLINE_CALL", "7")],
            explained: &[],
        });
        made.audio
    }

    fn draw(file: &[u8], piece: usize, ms_max: u64) -> Result<Drawn, DrawingFault> {
        let mut drawing = Drawing::new(ms_max);
        file.chunks(piece).try_for_each(|bytes| drawing.take(bytes))?;
        drawing.finish()
    }

    #[test]
    fn the_pieces_in_which_a_file_comes_make_no_difference() {
        for (ms, left) in [(0, true), (1, false), (2_345, true)] {
            let file = silent(ms, left);
            let whole = draw(&file, usize::MAX, ms).unwrap();
            assert_eq!(
                (whole.duration_ms, whole.heard, whole.is_one_side()),
                (ms, Heard::Sides { customer_left: left }, false)
            );
            assert_eq!(whole.lanes, vec![vec![(0, 0); ms.div_ceil(10) as usize]; 2]);
            for piece in [1, 26, 27, 28, 1_000] {
                assert_eq!(draw(&file, piece, ms), Ok(whole.clone()));
            }
        }
    }

    #[test]
    fn a_file_that_was_cut_anywhere_or_goes_on_is_refused() {
        let file = silent(2_500, true);
        for len in 0..file.len() {
            assert_eq!(draw(&file[..len], 4_096, 9_000), Err(DrawingFault::Cut), "{len} bytes");
        }
        let more = [file.as_slice(), b"Ogg"].concat();
        assert_eq!(draw(&more, 4_096, 9_000), Err(DrawingFault::Cut));
        let twice = [file.as_slice(), &file].concat();
        assert_eq!(draw(&twice, 4_096, 9_000), Err(DrawingFault::Damaged));
    }

    #[test]
    fn a_changed_byte_is_found() {
        let file = silent(2_500, true);
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 0x40;
            assert!(draw(&other, 4_096, 9_000).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_file_is_drawn_up_to_its_limit() {
        let file = silent(2_000, true);
        assert_eq!(draw(&file, 64, 2_000).unwrap().duration_ms, 2_000);
        assert_eq!(draw(&file, 64, 1_999), Err(DrawingFault::TooLong));
        let long = silent(60_000, true);
        let mut drawing = Drawing::new(2_000);
        let fault = long.chunks(64).find_map(|bytes| drawing.take(bytes).err());
        assert_eq!(fault, Some(DrawingFault::TooLong), "before its end");
    }

    #[test]
    fn a_voice_beside_the_sides_is_known_by_its_tag_and_has_one_channel() {
        let assembly = Assembly {
            tracks: &[],
            start_ns: 0,
            end_ns: 2_345_000_000,
            customer_left: true,
            serial: 1,
            tags: &[("HELPLINE_CALL", "7"), (PART_TAG, "partner")],
            explained: &[],
        };
        let voice = draw(&beside(&assembly, 0, &[]).audio, 100, 9_000).unwrap();
        assert_eq!((voice.duration_ms, voice.heard), (2_345, Heard::Voice));
        assert_eq!(voice.lanes, [vec![(0, 0); 235]]);
        let untold = Assembly { tags: &[], ..assembly };
        let fault = draw(&beside(&untold, 0, &[]).audio, 100, 9_000);
        assert_eq!(fault, Err(DrawingFault::Foreign), "nobody said whose it is");
    }

    #[test]
    fn what_is_no_master_of_ours_is_foreign() {
        assert!(head(b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0").is_ok());
        for other in [
            &b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"[..],
            b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0",
            b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\x01\x01\x01\0\x01",
            b"\x01vorbis",
            b"",
        ] {
            assert_eq!(head(other).err(), Some(DrawingFault::Foreign));
        }
        assert_eq!(heard(b"OpusTags\0\0\0\0\0\0\0\0"), None);
        assert_eq!(heard(b"OpusTags\xff\xff\xff\xff"), None);
        assert_eq!(heard(b"OpusTags\0\0\0\0\xff\xff\xff\xff\x01\0\0\0A"), None);
    }
}
