//! What an Opus packet shows without being decoded: whether it holds the sound of the packet before once more (in-band
//! FEC, "LBRR").
//!
//! Never decodes, never allocates, never panics on any input.

/// Longest packet (RFC 6716 §3.4, R5) in samples at 48 kHz: 120 ms.
const PACKET_SAMPLES_MAX: usize = 5_760;
/// The first configuration without a SILK layer (RFC 6716 §3.1, table 2), and so without FEC.
const FIRST_CELT_CONFIG: u8 = 16;
/// The first configuration with both layers.
const FIRST_HYBRID_CONFIG: u8 = 12;

/// True if the first frame of `packet` carries LBRR frames, which a decoder that misses the packet before can play in
/// its place. `packet`: one whole RTP payload, padding removed.
///
/// The SILK layer begins with a VAD bit for each of its frames of 20 ms and one LBRR bit, in stereo the same once more
/// for the side channel. They are the first symbols and each is as likely as not, so the range coder leaves them as
/// they are, in the upper bits of the first byte.
///
/// Source: RFC 6716 §3.1, §3.2 (framing), §4.2.3, §4.2.4.
#[inline]
#[must_use]
pub fn has_lbrr(packet: &[u8]) -> bool {
    let Some((&toc, body)) = packet.split_first() else {
        return false;
    };
    if toc >> 3 >= FIRST_CELT_CONFIG {
        return false;
    }
    // Nearly every packet of a call has one frame, which is all there is behind the first byte.
    let first = if toc & 3 == 0 {
        body.first().copied()
    } else {
        first_of_several(toc, body)
    };
    first.is_some_and(|first| says_lbrr(toc, first))
}

/// True if a decoder that misses the packet before this one can play it from this one. FEC mends one frame, and a sender
/// keeps to one number of frames, so with several in a packet most of the lost one stays lost.
#[inline]
#[must_use]
pub fn mends_the_one_before(packet: &[u8]) -> bool {
    let one = match packet {
        [toc, flags, ..] if toc & 3 == 3 => flags & 0x3F == 1,
        [toc, ..] => toc & 3 == 0,
        [] => false,
    };
    one && has_lbrr(packet)
}

/// The header bits of a SILK layer whose first byte is `first`.
const fn says_lbrr(toc: u8, first: u8) -> bool {
    // SILK frames of 20 ms in a frame of the packet: 10 and 20 ms have one, 40 ms two, 60 ms three; hybrid ones have one.
    let config = toc >> 3;
    let frames = match (config < FIRST_HYBRID_CONFIG, config & 3) {
        (true, 2) => 2,
        (true, 3) => 3,
        (_, _) => 1,
    };
    let stereo = toc & 4 != 0;
    let mid = first >> (7 - frames) & 1 == 1;
    mid || stereo && first >> (6 - 2 * frames) & 1 == 1
}

/// The first byte of the first frame of a packet with a frame count code of 1 to 3; `None` if that frame is empty or the
/// packet malformed. `body`: what is behind the first byte.
fn first_of_several(toc: u8, body: &[u8]) -> Option<u8> {
    match toc & 3 {
        // Two frames of one length.
        1 => body.first().copied().filter(|_| body.len().is_multiple_of(2)),
        // Two frames, the length of the first one said.
        2 => {
            let (len, took) = length(body)?;
            let frame = body.get(took..)?.get(..len)?;
            frame.first().copied()
        }
        _ => first_of_many(toc, body),
    }
}

/// The same of code 3: a count, perhaps padding, perhaps the lengths of all frames but the last.
fn first_of_many(toc: u8, body: &[u8]) -> Option<u8> {
    let (&flags, mut rest) = body.split_first()?;
    let count = usize::from(flags & 0x3F);
    if count == 0 || count * frame_samples(toc) > PACKET_SAMPLES_MAX {
        return None;
    }
    let mut padding = 0;
    if flags & 0x40 != 0 {
        loop {
            let (&byte, behind) = rest.split_first()?;
            rest = behind;
            // 255 is 254 bytes of padding and another byte that says how much.
            padding += if byte == 255 { 254 } else { usize::from(byte) };
            if byte != 255 {
                break;
            }
        }
    }
    rest = rest.get(..rest.len().checked_sub(padding)?)?;
    if flags & 0x80 == 0 {
        return rest.first().copied().filter(|_| rest.len().is_multiple_of(count));
    }
    let (mut first, mut said) = (None, 0);
    for _ in 1..count {
        let (len, took) = length(rest)?;
        rest = rest.get(took..)?;
        first = first.or(Some(len));
        said += len;
    }
    // With one frame no length is said: it is the rest.
    let first = first.unwrap_or(rest.len());
    let frame = rest.get(..said.max(first))?.get(..first)?;
    frame.first().copied()
}

/// Samples of a frame at 48 kHz, of configurations with a SILK layer.
const fn frame_samples(toc: u8) -> usize {
    let config = toc >> 3;
    match (config < FIRST_HYBRID_CONFIG, config & 3) {
        (true, 0) => 480,
        (true, 1) => 960,
        (true, 2) => 1_920,
        (true, _) => 2_880,
        (false, shape) => 480 << (shape & 1),
    }
}

/// A frame's length (RFC 6716 §3.2.1), and how many bytes say it.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes {
        [first, ..] if first < 252 => Some((usize::from(first), 1)),
        [first, second, ..] => Some((usize::from(second) * 4 + usize::from(first), 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first byte of a packet.
    const fn toc(config: u8, stereo: bool, code: u8) -> u8 {
        config << 3 | (stereo as u8) << 2 | code
    }

    #[test]
    fn the_bit_lies_behind_one_vad_bit_for_each_twenty_milliseconds() {
        // Narrow, medium and wide band of 10, 20, 40 and 60 ms; hybrid of 10 and 20 ms.
        for (config, place) in (0..12)
            .zip([6, 6, 5, 4].into_iter().cycle())
            .chain((12..16).zip([6; 4]))
        {
            for bit in 0..8 {
                let found = has_lbrr(&[toc(config, false, 0), 1 << bit, 0, 0]);
                assert_eq!(found, bit == place, "configuration {config}, bit {bit}");
            }
        }
    }

    #[test]
    fn in_stereo_the_side_channel_has_bits_of_its_own() {
        for (config, places) in [(8, [6, 4]), (9, [6, 4]), (10, [5, 2]), (11, [4, 0]), (15, [6, 4])] {
            for bit in 0..8 {
                let found = has_lbrr(&[toc(config, true, 0), 1 << bit]);
                assert_eq!(found, places.contains(&bit), "configuration {config}, bit {bit}");
            }
        }
    }

    #[test]
    fn packets_without_a_silk_layer_or_without_sound_have_none() {
        for config in 16..32 {
            assert!(
                !has_lbrr(&[toc(config, false, 0), 0xFF, 0xFF]),
                "configuration {config}"
            );
        }
        // Discontinuous transmission: the first byte alone.
        assert!(!has_lbrr(&[toc(9, false, 0)]));
        assert!(!has_lbrr(&[]));
    }

    #[test]
    fn the_first_frame_is_found_behind_every_frame_count() {
        const YES: u8 = 0x40;
        let wide = |code| toc(9, false, code);
        let long = [&[wide(2), 252, 1, YES][..], &[0; 255 + 3]].concat();
        let with: [&[u8]; 9] = [
            &[wide(1), YES, 0, 0, 0],
            &[wide(2), 2, YES, 0, 0],
            &long,
            &[wide(3), 2, YES, 0, 0, 0],
            &[wide(3), 1, YES, 0],
            &[wide(3), 0x42, 2, YES, 0, 0xFF, 0xFF],
            &[wide(3), 0x83, 1, 2, YES, 0, 0, 0],
            &[wide(3), 0xC2, 1, 1, YES, 0, 0xFF],
            &[wide(3), 0x81, YES],
        ];
        for packet in with {
            assert!(has_lbrr(packet), "{packet:02x?}");
        }
        let without: [&[u8]; 12] = [
            &[wide(1), YES, 0, 0],
            &[wide(1)],
            &[wide(2), 0, YES],
            &[wide(2), 3, YES, 0],
            &[wide(2), 252],
            &[wide(3)],
            &[wide(3), 0, YES],
            &[wide(3), 7, YES],
            &[wide(3), 2, YES],
            &[wide(3), 0x41, 9, YES],
            &[wide(3), 0x83, 0, 2, YES, 0],
            &[wide(3), 0x83, 2, 9, YES, 0],
        ];
        for packet in without {
            assert!(!has_lbrr(packet), "{packet:02x?}");
        }
    }

    #[test]
    fn only_one_frame_mends_all_of_a_packet() {
        assert!(mends_the_one_before(&[toc(9, false, 0), 0x40]));
        assert!(mends_the_one_before(&[toc(9, false, 3), 1, 0x40]));
        assert!(!mends_the_one_before(&[toc(9, false, 3), 2, 0x40, 0]));
        assert!(!mends_the_one_before(&[toc(9, false, 1), 0x40, 0]));
        assert!(!mends_the_one_before(&[toc(9, false, 0), 0x3F]));
        assert!(!mends_the_one_before(&[]));
    }
}
