//! Opus packets by their outer form (RFC 6716 §3 and appendix B): frames, durations, framing, merging, filling.
//!
//! Never decodes sound and never changes a compressed frame.
//!
//! Invariant: a packet that [`parse`] accepts is accepted by any conforming decoder's framing, and whatever this
//! module writes is accepted by [`parse`].

use thiserror::Error;

/// Samples per second of every duration here: Opus counts at 48 kHz whatever it codes (RFC 7845 §4).
pub const RATE: u32 = 48_000;
/// Longest packet in samples: 120 ms (RFC 6716 §3.2.5, R5).
pub const PACKET_SAMPLES_MAX: u32 = 5_760;
/// Most frames in one packet: 120 ms of 2.5 ms each (RFC 6716 §3.2.5).
pub const FRAMES_MAX: usize = 48;
/// Longest compressed frame in bytes (RFC 6716 §3.4, R2).
pub const FRAME_BYTES_MAX: usize = 1_275;
/// Largest payload taken from the wire, in bytes: no voice packet crosses a usual MTU of 1,500 bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1_500;

/// Why a packet is no Opus packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// No byte at all (R1).
    #[error("the packet is empty")]
    Empty,
    /// More bytes than [`PAYLOAD_BYTES_MAX`].
    #[error("the packet is longer than any voice packet")]
    Oversized,
    /// A frame longer than [`FRAME_BYTES_MAX`] (R2).
    #[error("a frame is longer than 1,275 bytes")]
    FrameTooLong,
    /// Two equal frames need an even number of bytes (R3).
    #[error("two equal frames of an odd number of bytes")]
    OddLength,
    /// A length or a count points beyond the end (R4, R6, R7).
    #[error("a length points beyond the end of the packet")]
    Cut,
    /// Code 3 with no frame (R5).
    #[error("a packet of zero frames")]
    NoFrames,
    /// More than 120 ms (R5).
    #[error("more than 120 ms in one packet")]
    TooLong,
}

/// The first byte of a packet: configuration, channels, frame count code (RFC 6716 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toc(pub u8);

impl Toc {
    /// Samples of one frame at 48 kHz.
    #[must_use]
    pub const fn frame_samples(self) -> u32 {
        let config = self.0 >> 3;
        match config {
            // SILK: 10, 20, 40, 60 ms.
            0..=11 => match config & 3 {
                0 => 480,
                1 => 960,
                2 => 1_920,
                _ => 2_880,
            },
            // Hybrid: 10, 20 ms.
            12..=15 => 480 << (config & 1),
            // CELT: 2.5, 5, 10, 20 ms.
            _ => 120 << (config & 3),
        }
    }

    /// The frame count code, 0 to 3.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0 & 3
    }

    /// This configuration and channel count under another frame count code.
    #[must_use]
    pub const fn with_code(self, code: u8) -> Toc {
        Toc(self.0 & !3 | code & 3)
    }

    /// True when frames of both may share one packet: same configuration, same channels.
    #[must_use]
    pub const fn merges_with(self, other: Toc) -> bool {
        self.0 >> 2 == other.0 >> 2
    }
}

/// The outer form of one packet.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'a> {
    /// First byte.
    pub toc: Toc,
    /// The packet, whole.
    pub bytes: &'a [u8],
    frames: [(u16, u16); FRAMES_MAX],
    count: u8,
    /// Bytes of the header; a self-delimiting packet has one more length at `header`.
    header: u16,
}

impl<'a> Parsed<'a> {
    /// Samples of the whole packet at 48 kHz.
    #[must_use]
    pub fn samples(&self) -> u32 {
        self.toc.frame_samples() * u32::from(self.count)
    }

    /// The compressed frames in order; one of no bytes stands for a frame that was not sent.
    pub fn frames(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        let bytes = self.bytes;
        let taken = self.frames.get(..usize::from(self.count)).unwrap_or_default();
        taken.iter().map(move |&(at, len)| {
            bytes
                .get(usize::from(at)..usize::from(at) + usize::from(len))
                .unwrap_or_default()
        })
    }

    /// How many frames.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Appends this packet in self-delimiting framing (appendix B): the length of the last frame is said, nothing else
    /// changes, padding included.
    pub fn self_delimit(&self, out: &mut Vec<u8>) {
        let header = usize::from(self.header);
        let (head, rest) = self.bytes.split_at(header.min(self.bytes.len()));
        let last = usize::from(self.count)
            .checked_sub(1)
            .and_then(|i| self.frames.get(i))
            .map_or(0, |f| f.1);
        out.extend_from_slice(head);
        put_length(usize::from(last), out);
        out.extend_from_slice(rest);
    }
}

/// Appends a frame length (RFC 6716 §3.2.1); `len` is at most [`FRAME_BYTES_MAX`].
fn put_length(len: usize, out: &mut Vec<u8>) {
    if len < 252 {
        out.push(len as u8);
    } else {
        let low = 252 + (len & 3);
        out.extend_from_slice(&[low as u8, ((len - low) / 4) as u8]);
    }
}

/// Reads a frame length: (length, bytes it took).
fn length(bytes: &[u8], at: usize) -> Result<(usize, usize), Malformed> {
    let first = usize::from(*bytes.get(at).ok_or(Malformed::Cut)?);
    if first < 252 {
        return Ok((first, 1));
    }
    let second = usize::from(*bytes.get(at + 1).ok_or(Malformed::Cut)?);
    Ok((second * 4 + first, 2))
}

/// What the header says before the frames begin.
struct Header {
    count: usize,
    /// Bytes up to the place where a self-delimiting packet says its last length.
    len: usize,
    padding: usize,
    /// Lengths said one by one, all but the last; empty for frames of equal length.
    said: Vec<usize>,
    variable: bool,
}

fn header(bytes: &[u8], toc: Toc) -> Result<Header, Malformed> {
    let plain = |count| Header {
        count,
        len: 1,
        padding: 0,
        said: Vec::new(),
        variable: false,
    };
    match toc.code() {
        0 => Ok(plain(1)),
        1 => Ok(plain(2)),
        2 => {
            let (first, took) = length(bytes, 1)?;
            Ok(Header {
                count: 2,
                len: 1 + took,
                padding: 0,
                said: vec![first],
                variable: true,
            })
        }
        _ => many_header(bytes, toc),
    }
}

fn many_header(bytes: &[u8], toc: Toc) -> Result<Header, Malformed> {
    let flags = *bytes.get(1).ok_or(Malformed::Cut)?;
    let count = usize::from(flags & 0x3f);
    if count == 0 {
        return Err(Malformed::NoFrames);
    }
    if count > FRAMES_MAX || toc.frame_samples() * count as u32 > PACKET_SAMPLES_MAX {
        return Err(Malformed::TooLong);
    }
    let mut len = 2;
    let mut padding = 0;
    if flags & 0x40 != 0 {
        loop {
            let byte = *bytes.get(len).ok_or(Malformed::Cut)?;
            len += 1;
            padding += if byte == 255 { 254 } else { usize::from(byte) };
            if byte != 255 {
                break;
            }
        }
    }
    let variable = flags & 0x80 != 0;
    let mut said = Vec::new();
    if variable {
        for _ in 1..count {
            let (one, took) = length(bytes, len)?;
            len += took;
            said.push(one);
        }
    }
    Ok(Header {
        count,
        len,
        padding,
        said,
        variable,
    })
}

/// Reads the outer form of a packet as RTP carries it.
///
/// # Errors
/// The rule that it breaks, by name.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(Malformed::Oversized);
    }
    parse_made(bytes)
}

/// As [`parse`], for packets that were merged here and may be longer than one from the wire.
///
/// # Errors
/// The rule that it breaks, by name.
#[inline]
pub fn parse_made(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    if bytes.len() > usize::from(u16::MAX) {
        return Err(Malformed::Oversized);
    }
    let toc = Toc(*bytes.first().ok_or(Malformed::Empty)?);
    if toc.code() != 0 {
        return parse_many(bytes, toc);
    }
    // One frame, which is all there is behind the first byte: nearly every packet of a call.
    let last = bytes.len() - 1;
    if last > FRAME_BYTES_MAX {
        return Err(Malformed::FrameTooLong);
    }
    let mut frames = [(0, 0); FRAMES_MAX];
    frames[0] = (1, last as u16);
    Ok(Parsed {
        toc,
        bytes,
        frames,
        count: 1,
        header: 1,
    })
}

fn parse_many(bytes: &[u8], toc: Toc) -> Result<Parsed<'_>, Malformed> {
    let head = header(bytes, toc)?;
    let body = bytes.len().checked_sub(head.len + head.padding).ok_or(Malformed::Cut)?;
    let last = if head.variable {
        body.checked_sub(head.said.iter().sum()).ok_or(Malformed::Cut)?
    } else if body % head.count == 0 {
        body / head.count
    } else if toc.code() == 1 {
        return Err(Malformed::OddLength);
    } else {
        return Err(Malformed::Cut);
    };
    if last > FRAME_BYTES_MAX || head.said.iter().any(|&one| one > FRAME_BYTES_MAX) {
        return Err(Malformed::FrameTooLong);
    }
    let mut frames = [(0, 0); FRAMES_MAX];
    let mut at = head.len;
    for (i, slot) in frames.iter_mut().take(head.count).enumerate() {
        let len = head.said.get(i).copied().unwrap_or(last);
        *slot = (at as u16, len as u16);
        at += len;
    }
    Ok(Parsed {
        toc,
        bytes,
        frames,
        count: head.count as u8,
        header: head.len as u16,
    })
}

/// Takes the first packet off a multistream packet: (that packet in the framing of RTP, the rest).
///
/// # Errors
/// The rule that it breaks, by name.
pub fn split_self_delimited(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), Malformed> {
    let toc = Toc(*bytes.first().ok_or(Malformed::Empty)?);
    let head = header(bytes, toc)?;
    let (last, took) = length(bytes, head.len)?;
    let frames = if head.variable {
        head.said.iter().sum::<usize>() + last
    } else {
        last * head.count
    };
    let end = head.len + took + frames + head.padding;
    let mut packet = bytes.get(..head.len).ok_or(Malformed::Cut)?.to_vec();
    packet.extend_from_slice(bytes.get(head.len + took..end).ok_or(Malformed::Cut)?);
    Ok((packet, bytes.get(end..).unwrap_or_default()))
}

/// One packet (code 3) of the given frames, all under `toc`'s configuration; a frame of no bytes stands for one that
/// was not sent. `None` when that would break RFC 6716 (no frame, or more than 120 ms).
#[must_use]
pub fn merge(toc: Toc, frames: &[&[u8]]) -> Option<Vec<u8>> {
    let samples = toc.frame_samples().checked_mul(u32::try_from(frames.len()).ok()?)?;
    if frames.is_empty() || samples > PACKET_SAMPLES_MAX || frames.iter().any(|f| f.len() > FRAME_BYTES_MAX) {
        return None;
    }
    let (last, before) = frames.split_last()?;
    let variable = before.iter().any(|f| f.len() != last.len());
    let bytes: usize = frames.iter().map(|f| f.len()).sum();
    let mut out = Vec::with_capacity(2 + 2 * frames.len() + bytes);
    out.push(toc.with_code(3).0);
    out.push(frames.len() as u8 | if variable { 0x80 } else { 0 });
    if variable {
        before.iter().for_each(|f| put_length(f.len(), &mut out));
    }
    frames.iter().for_each(|f| out.extend_from_slice(f));
    Some(out)
}

/// A packet without sound data that lasts `samples`: the decoder conceals or goes on with its comfort noise. `None`
/// when frames of `toc` cannot last exactly that.
#[must_use]
pub fn concealed(toc: Toc, samples: u32) -> Option<Vec<u8>> {
    let frame = toc.frame_samples();
    let count = samples / frame;
    if samples == 0 || !samples.is_multiple_of(frame) || samples > PACKET_SAMPLES_MAX {
        return None;
    }
    Some(match count {
        1 => vec![toc.with_code(0).0],
        2 => vec![toc.with_code(1).0],
        _ => vec![toc.with_code(3).0, count as u8],
    })
}

/// A packet of exact digital silence that lasts `samples`; `None` when that is no multiple of 2.5 ms up to 120 ms.
#[must_use]
pub fn silence(samples: u32) -> Option<Vec<u8>> {
    /// CELT, full band, mono: 20, 10, 5 and 2.5 ms.
    const FRAMES: [(u32, u8); 4] = [(960, 0xf8), (480, 0xf0), (240, 0xe8), (120, 0xe0)];
    /// A CELT frame that says it is silent.
    const SILENT: &[u8] = &[0xff, 0xfe];
    let &(frame, toc) = FRAMES
        .iter()
        .find(|(frame, _)| samples != 0 && samples.is_multiple_of(*frame))?;
    match samples / frame {
        1 => Some(vec![toc, 0xff, 0xfe]),
        many => merge(
            Toc(toc),
            &[SILENT; FRAMES_MAX][..usize::try_from(many).ok().filter(|&n| n <= FRAMES_MAX)?],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(bytes: &[u8]) -> Result<u32, Malformed> {
        parse(bytes).map(|p| p.samples())
    }

    #[test]
    fn every_configuration_has_the_duration_that_libopus_gives_it() {
        for config in 0..32u8 {
            let toc = config << 3;
            let packet = [toc, 0xff, 0xfe];
            let theirs = opus::packet::get_samples_per_frame(&packet, RATE).unwrap();
            assert_eq!(samples(&packet), Ok(u32::try_from(theirs).unwrap()), "config {config}");
        }
    }

    #[test]
    fn malformed_packets_are_refused_by_name() {
        assert_eq!(samples(&[]), Err(Malformed::Empty));
        assert_eq!(samples(&[0xf9, 1]), Err(Malformed::OddLength));
        assert_eq!(samples(&[0xfa]), Err(Malformed::Cut));
        assert_eq!(samples(&[0xfa, 5, 1, 2]), Err(Malformed::Cut));
        assert_eq!(samples(&[0xfb, 0]), Err(Malformed::NoFrames));
        assert_eq!(samples(&[0xfb, 7]), Err(Malformed::TooLong));
        assert_eq!(samples(&[0xfb, 6]), Ok(PACKET_SAMPLES_MAX));
        assert_eq!(samples(&[0xfb, 0x42, 200, 1, 1]), Err(Malformed::Cut));
        assert_eq!(samples(&[0xfb, 2, 1, 2, 3]), Err(Malformed::Cut));
    }

    #[test]
    fn a_frame_is_taken_up_to_its_longest_and_no_further() {
        let frame = |n: usize| [vec![0xf8], vec![7; n]].concat();
        assert_eq!(samples(&frame(FRAME_BYTES_MAX)), Ok(960));
        assert_eq!(samples(&frame(FRAME_BYTES_MAX + 1)), Err(Malformed::FrameTooLong));
        let pair = |n: usize| [vec![0xf9], vec![7; n - 1]].concat();
        assert_eq!(samples(&pair(PAYLOAD_BYTES_MAX - 1)), Ok(1_920));
        assert_eq!(samples(&pair(PAYLOAD_BYTES_MAX + 1)), Err(Malformed::Oversized));
    }

    #[test]
    fn framing_of_every_code_goes_there_and_back() {
        let long = [vec![0xfa, 252, 25], vec![3; 352], vec![4; 500]].concat();
        let packets: Vec<Vec<u8>> = vec![
            vec![0xf8],
            vec![0xf8, 1, 2, 3],
            vec![0xf9, 1, 2],
            vec![0xfa, 1, 9, 8, 7],
            long,
            vec![0xfb, 3, 1, 2, 3, 4, 5, 6],
            vec![0xfb, 0x83, 1, 2, 1, 2, 2, 3, 3, 3],
            vec![0xfb, 0xc2, 2, 1, 1, 9, 9, 9, 0, 0],
        ];
        for packet in packets {
            let parsed = parse(&packet).unwrap();
            let mut framed = Vec::new();
            parsed.self_delimit(&mut framed);
            framed.extend_from_slice(&[0xf8, 42]);
            let (back, rest) = split_self_delimited(&framed).unwrap();
            assert_eq!((back, rest), (packet, &[0xf8u8, 42][..]));
        }
    }

    #[test]
    fn merging_keeps_the_frames_and_adds_their_time() {
        let a = parse(&[0x79, 1, 2]).unwrap();
        let b = parse(&[0x78, 3, 4, 5]).unwrap();
        assert!(a.toc.merges_with(b.toc) && !a.toc.merges_with(Toc(0x7c)) && !a.toc.merges_with(Toc(0x80)));
        let frames: Vec<&[u8]> = a.frames().chain(b.frames()).collect();
        let merged = merge(a.toc, &frames).unwrap();
        let back = parse(&merged).unwrap();
        assert_eq!(back.samples(), a.samples() + b.samples());
        assert_eq!(back.frames().collect::<Vec<_>>(), frames);
        assert_eq!(merge(Toc(0x78), &[&[][..]; 7]), None);
        assert_eq!(merge(Toc(0x78), &[]), None);
    }

    #[test]
    fn filling_lasts_what_was_asked_and_silence_is_silent() {
        for ms10 in [25, 50, 75, 100, 200, 300, 400, 600, 800, 1000, 1200] {
            let want = ms10 * RATE / 10_000;
            let packet = silence(want).unwrap();
            assert_eq!(samples(&packet), Ok(want));
            let mut decoder = opus::Decoder::new(RATE, opus::Channels::Mono).unwrap();
            let mut pcm = vec![1i16; PACKET_SAMPLES_MAX as usize];
            assert_eq!(decoder.decode(&packet, &mut pcm, false).unwrap(), want as usize);
            assert!(pcm.iter().take(want as usize).all(|&s| s == 0));
        }
        assert_eq!(
            (silence(0), silence(121), silence(PACKET_SAMPLES_MAX + 960)),
            (None, None, None)
        );
        for toc in [0x78u8, 0x0b, 0x18, 0xe4] {
            for count in 1..=3u32 {
                let want = Toc(toc).frame_samples() * count;
                let made = concealed(Toc(toc), want);
                assert_eq!(
                    made.as_deref().map(samples),
                    (want <= PACKET_SAMPLES_MAX).then_some(Ok(want))
                );
            }
        }
        assert_eq!(concealed(Toc(0x78), 480), None);
    }
}
