//! Writes Ogg Opus (RFC 3533, RFC 7845): pages of a second, granules without jumps, the end trimmed to the sample.
//!
//! Never reads a file and never looks into a packet.
//!
//! Invariant: every byte that left [`Writer`] belongs to a whole page with its checksum, so a file cut anywhere is
//! valid up to its last whole page.

use crate::opus_packet::RATE;

/// Samples that a decoder drops at the start: libopus' look-ahead at 48 kHz, 6.5 ms (RFC 7845 §4.2).
pub const PRE_SKIP: u16 = 312;
/// Samples after which a page is closed: one second, so a cut costs at most that (RFC 7845 §3 asks for no more).
pub const PAGE_SAMPLES: u64 = RATE as u64;
/// Most lacing values of one page (RFC 3533 §6).
const SEGMENTS_MAX: usize = 255;
/// Bytes of a page's header before its lacing values (RFC 3533 §6).
const HEADER_BYTES: usize = 27;
/// Granule of a page on which no packet ends (RFC 3533 §6).
const NO_GRANULE: u64 = u64::MAX;
/// Name of the writing program in the tags.
const VENDOR: &str = concat!("Helpline ", env!("CARGO_PKG_VERSION"));

/// How many sides the file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    /// Mapping family 0, one stream.
    One,
    /// Mapping family 1: two streams, none coupled, left then right.
    Two,
}

impl Sides {
    fn opus_head(self) -> Vec<u8> {
        let channels = match self {
            Sides::One => 1,
            Sides::Two => 2,
        };
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend_from_slice(&PRE_SKIP.to_le_bytes());
        head.extend_from_slice(&RATE.to_le_bytes());
        head.extend_from_slice(&0i16.to_le_bytes());
        match self {
            Sides::One => head.push(0),
            // Family 1, 2 streams, 0 coupled, mapping [0, 1].
            Sides::Two => head.extend_from_slice(&[1, 2, 0, 0, 1]),
        }
        head
    }
}

fn opus_tags(tags: &[(&str, &str)]) -> Vec<u8> {
    let mut out = b"OpusTags".to_vec();
    let put = |text: &[&str], out: &mut Vec<u8>| {
        let len: usize = text.iter().map(|t| t.len()).sum();
        out.extend_from_slice(&u32::try_from(len).unwrap_or(0).to_le_bytes());
        text.iter().for_each(|t| out.extend_from_slice(t.as_bytes()));
    };
    put(&[VENDOR], &mut out);
    out.extend_from_slice(&u32::try_from(tags.len()).unwrap_or(0).to_le_bytes());
    tags.iter().for_each(|(key, value)| put(&[key, "=", value], &mut out));
    out
}

/// Writes one logical stream into memory.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    serial: u32,
    sequence: u32,
    /// Samples of all packets so far.
    samples: u64,
    /// The granule of the page under way: samples at the end of the last packet that ended on it.
    granule: u64,
    /// Samples on the page under way.
    page_samples: u64,
    lacing: Vec<u8>,
    body: Vec<u8>,
    /// The page under way begins in the middle of a packet.
    continued: bool,
}

impl Writer {
    /// Begins a file: both headers stand on pages of their own (RFC 7845 §3). `capacity` is a guess of the file's bytes.
    #[must_use]
    pub fn new(sides: Sides, serial: u32, tags: &[(&str, &str)], capacity: usize) -> Self {
        let mut writer = Self {
            out: Vec::with_capacity(capacity),
            serial,
            sequence: 0,
            samples: 0,
            granule: NO_GRANULE,
            page_samples: 0,
            lacing: Vec::with_capacity(SEGMENTS_MAX),
            body: Vec::new(),
            continued: false,
        };
        for head in [sides.opus_head(), opus_tags(tags)] {
            writer.packet(0, |body| body.extend_from_slice(&head));
            writer.flush(false);
        }
        writer
    }

    /// Appends one packet of `samples` at 48 kHz; `write` appends its bytes.
    pub fn packet(&mut self, samples: u32, write: impl FnOnce(&mut Vec<u8>)) {
        if self.page_samples >= PAGE_SAMPLES {
            self.flush(false);
        }
        let from = self.body.len();
        write(&mut self.body);
        let mut left = self.body.len() - from;
        if self.lacing.len() + left / 255 + 1 > SEGMENTS_MAX && from > 0 {
            // Better a shorter page than a packet that two pages share.
            let packet = self.body.split_off(from);
            self.flush(false);
            self.body = packet;
        }
        while left >= 255 {
            self.lace(255);
            left -= 255;
        }
        self.lace(left as u8);
        self.samples += u64::from(samples);
        self.page_samples += u64::from(samples);
        self.granule = self.samples;
    }

    /// Adds one lacing value; a packet too long for one page goes on on the next.
    fn lace(&mut self, value: u8) {
        if self.lacing.len() == SEGMENTS_MAX {
            let here: usize = self.lacing.iter().map(|&v| usize::from(v)).sum();
            let rest = self.body.split_off(here);
            self.flush(false);
            self.body = rest;
            self.continued = true;
        }
        self.lacing.push(value);
    }

    /// Closes the page under way.
    fn flush(&mut self, last: bool) {
        let start = self.out.len();
        let flags = u8::from(self.continued) | u8::from(self.sequence == 0) << 1 | u8::from(last) << 2;
        self.out.extend_from_slice(b"OggS\0");
        self.out.push(flags);
        self.out.extend_from_slice(&self.granule.to_le_bytes());
        self.out.extend_from_slice(&self.serial.to_le_bytes());
        self.out.extend_from_slice(&self.sequence.to_le_bytes());
        self.out.extend_from_slice(&[0; 4]);
        self.out.push(self.lacing.len() as u8);
        debug_assert_eq!(self.out.len() - start, HEADER_BYTES);
        self.out.extend_from_slice(&self.lacing);
        self.out.extend_from_slice(&self.body);
        let crc = crc(self.out.get(start..).unwrap_or_default());
        if let Some(field) = self.out.get_mut(start + 22..start + 26) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        self.sequence += 1;
        self.granule = NO_GRANULE;
        self.page_samples = 0;
        self.lacing.clear();
        self.body.clear();
        self.continued = false;
    }

    /// Samples written so far, the dropped start included.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Ends the file. `samples` of sound are played (after the pre-skip); what the packets hold beyond is trimmed off
    /// by the last page's granule (RFC 7845 §4.4).
    #[must_use]
    pub fn finish(mut self, samples: u64) -> Vec<u8> {
        let end = samples.saturating_add(u64::from(PRE_SKIP));
        let page_start = self.samples - self.page_samples;
        self.granule = end.clamp(page_start, self.samples);
        self.flush(true);
        self.out
    }
}

/// Ogg's CRC-32 in eight tables: polynomial 0x04c11db7, not reflected, starting from 0 (RFC 3533 §6).
const CRC: [[u32; 256]; 8] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut value = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000_0000 != 0 {
                value << 1 ^ 0x04c1_1db7
            } else {
                value << 1
            };
            bit += 1;
        }
        tables[0][i] = value;
        i += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[t - 1][i];
            tables[t][i] = before << 8 ^ tables[0][(before >> 24) as usize];
            i += 1;
        }
        t += 1;
    }
    tables
}

/// Checksum of a page whose own checksum field is zero.
#[must_use]
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut crc = 0u32;
    for chunk in eights {
        let [a, b, c, d] = crc.to_be_bytes();
        let at = |table: usize, byte: u8| CRC[table][usize::from(byte)];
        crc = at(7, a ^ chunk[0])
            ^ at(6, b ^ chunk[1])
            ^ at(5, c ^ chunk[2])
            ^ at(4, d ^ chunk[3])
            ^ at(3, chunk[4])
            ^ at(2, chunk[5])
            ^ at(1, chunk[6])
            ^ at(0, chunk[7]);
    }
    rest.iter().fold(crc, |crc, &byte| {
        crc << 8 ^ CRC[0][usize::from((crc >> 24) as u8 ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::ogg::PacketReader;
    use std::io::Cursor;

    fn read(file: &[u8]) -> Vec<::ogg::Packet> {
        let mut reader = PacketReader::new(Cursor::new(file));
        std::iter::from_fn(|| reader.read_packet().unwrap()).collect()
    }

    #[test]
    fn another_reader_finds_headers_packets_and_the_trimmed_end() {
        let mut writer = Writer::new(Sides::Two, 7, &[("CALL", "x")], 0);
        for i in 0..120u8 {
            writer.packet(960, |body| body.extend(std::iter::repeat_n(i, usize::from(i) * 3)));
        }
        let file = writer.finish(100_000);
        let packets = read(&file);
        assert_eq!(packets.len(), 122);
        assert!(packets[0].first_in_stream() && packets[0].data.starts_with(b"OpusHead"));
        assert_eq!(&packets[0].data[18..], &[1, 2, 0, 0, 1]);
        assert!(packets[1].data.ends_with(b"CALL=x"));
        for (i, packet) in packets[2..].iter().enumerate() {
            assert_eq!(packet.data, vec![i as u8; i * 3]);
        }
        let pages: Vec<u64> = packets[2..]
            .iter()
            .filter(|p| p.last_in_page())
            .map(|p| p.absgp_page())
            .collect();
        assert_eq!(
            pages,
            [48_000, 96_000, 100_312],
            "a page a second, from 0, the end trimmed"
        );
        assert!(packets.last().unwrap().last_in_stream());
    }

    #[test]
    fn packets_longer_than_a_page_come_back_whole() {
        let sizes = [0usize, 254, 255, 256, 510, 64_770, 65_025, 65_026, 200_000, 3];
        let mut writer = Writer::new(Sides::One, 1, &[], 0);
        for (i, &size) in sizes.iter().enumerate() {
            writer.packet(960, |body| body.extend((0..size).map(|b| (b + i) as u8)));
        }
        let file = writer.finish(u64::MAX);
        let packets = read(&file);
        assert_eq!(packets[2..].iter().map(|p| p.data.len()).collect::<Vec<_>>(), sizes);
        for (i, packet) in packets[2..].iter().enumerate() {
            assert!(packet.data.iter().enumerate().all(|(b, &v)| v == (b + i) as u8));
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_slow_way() {
        let slow = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0u32, |c, &b| c << 8 ^ CRC[0][usize::from((c >> 24) as u8 ^ b)])
        };
        let bytes: Vec<u8> = (0..1_000u32).map(|i| (i * i) as u8).collect();
        for len in [0, 1, 7, 8, 9, 63, 64, 1_000] {
            assert_eq!(crc(&bytes[..len]), slow(&bytes[..len]));
        }
    }
}
