//! Reads an Ogg Opus file whole, for the music of customers on hold: its packets as they are (RFC 3533, RFC 7845).
//!
//! Never decodes and never judges how long a packet lasts.
//!
//! Invariant: what is handed out is the whole of one logical stream of one Opus encoder.

use std::io::Cursor;

use ::ogg::PacketReader;

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No Ogg file, or a page of it is broken.
    #[error("it is no Ogg file, or a page of it is broken")]
    Ogg,
    /// It does not begin with the header of an Opus stream.
    #[error("it holds no Opus stream")]
    Opus,
    /// Neither mono nor stereo of one encoder (mapping family 0).
    #[error("it is neither mono nor stereo")]
    Channels,
    /// More than one stream, beside or behind one another.
    #[error("it holds more than one stream")]
    Streams,
}

/// The packets of the sound, in order.
///
/// # Errors
/// [`Unreadable`].
pub fn packets(file: &[u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    let mut reader = PacketReader::new(Cursor::new(file));
    let mut next = || reader.read_packet().map_err(|_| Unreadable::Ogg);
    let head = next()?.ok_or(Unreadable::Ogg)?;
    let [channels, family] = match head.data.strip_prefix(b"OpusHead\x01") {
        Some(&[channels, _, _, _, _, _, _, _, _, family, ..]) => [channels, family],
        Some(_) | None => return Err(Unreadable::Opus),
    };
    if family != 0 || !(1..=2).contains(&channels) {
        return Err(Unreadable::Channels);
    }
    let tags = next()?.ok_or(Unreadable::Opus)?;
    if !tags.data.starts_with(b"OpusTags") {
        return Err(Unreadable::Opus);
    }
    // A file without an end is taken all the same: what is there is whole pages of sound.
    let (mut packets, mut ended) = (Vec::new(), tags.last_in_stream());
    while let Some(packet) = next()? {
        if ended || packet.stream_serial() != head.stream_serial() {
            return Err(Unreadable::Streams);
        }
        ended = packet.last_in_stream();
        packets.push(packet.data);
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ogg::{Sides, Writer};

    fn file(sides: Sides, serial: u32) -> Vec<u8> {
        let mut writer = Writer::new(sides, serial, &[("TITLE", "x")], 0);
        for n in 0..120u8 {
            writer.packet(960, |body| body.extend([31 << 3, n]));
        }
        writer.finish(u64::MAX)
    }

    #[test]
    fn the_packets_come_back_as_they_were_written() {
        let packets = packets(&file(Sides::One, 7)).unwrap();
        assert_eq!(packets.len(), 120);
        assert!(
            packets
                .iter()
                .enumerate()
                .all(|(n, packet)| packet == &[31 << 3, n as u8])
        );
    }

    #[test]
    fn what_cannot_be_played_is_refused_by_name() {
        assert_eq!(packets(b""), Err(Unreadable::Ogg));
        assert_eq!(packets(b"RIFF....WAVEfmt "), Err(Unreadable::Ogg));
        let sound = file(Sides::One, 7);
        let mut broken = sound.clone();
        broken[100] ^= 1;
        assert_eq!(packets(&broken), Err(Unreadable::Ogg));
        assert_eq!(packets(&file(Sides::Two, 7)), Err(Unreadable::Channels), "two encoders");
        let two = [sound.clone(), file(Sides::One, 8)].concat();
        assert_eq!(packets(&two), Err(Unreadable::Streams));
        assert_eq!(packets(&sound[..47]), Err(Unreadable::Opus), "a head and no more");
    }
}
