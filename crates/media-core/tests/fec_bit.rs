//! The LBRR bit that the engine reads from a packet, against what libopus says of the same packet.

#![expect(unsafe_code, reason = "libopus has no safe door to this question")]

use media_core::opus::{has_lbrr, mends_the_one_before};
use opus::{Application, Bitrate, Channels, Encoder, Repacketizer};

const RATE: u32 = 48_000;
/// Samples of a millisecond.
const MS: usize = 48;
/// Largest packet that is made here, bytes.
const PACKET_BYTES: usize = 4_000;

/// What libopus says; `None` for a packet that it refuses.
fn theirs(packet: &[u8]) -> Option<bool> {
    let len = i32::try_from(packet.len()).expect("packets are short");
    // SAFETY: the pointer and the length are those of one slice, of at least one byte, and nothing is kept.
    let said = unsafe { opusic_sys::opus_packet_has_lbrr(packet.as_ptr(), len) };
    (said >= 0).then_some(said == 1)
}

/// A small generator of our own, so that every run has the same sound and the same damage.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % limit
    }
}

/// Something like speech: harmonics of a voice that glides, in syllables, with a breath between; interleaved.
fn voice(ms: usize, channels: usize) -> Vec<i16> {
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let mut phase = 0.0f64;
    let mut pcm = Vec::new();
    for n in 0..ms * MS {
        let t = n as f64 / f64::from(RATE);
        phase += (120.0 + 40.0 * (2.0 * t).sin()) / f64::from(RATE);
        let tone: f64 = (1..30)
            .map(|k| (std::f64::consts::TAU * phase * f64::from(k)).sin() / f64::from(k))
            .sum();
        let loud = (0.4 + (4.0 * t * std::f64::consts::TAU).sin()).max(0.0);
        let noise = chance.below(2_000) as f64 / 1_000.0 - 1.0;
        let left = 6_000.0 * loud * tone + 300.0 * noise;
        pcm.push(left as i16);
        if channels == 2 {
            pcm.push((0.3 * left + 900.0 * loud * noise) as i16);
        }
    }
    pcm
}

/// Milliseconds of voice, and as much silence behind it.
const LONG: usize = 2_400;
/// The same, where there are many encoders.
const SHORT: usize = 480;

/// One encoder's packets of `ms` milliseconds each, of `length` milliseconds of voice and of silence.
fn packets(length: usize, channels: Channels, bits: i32, fec: bool, loss: i32, ms: usize) -> Vec<Vec<u8>> {
    let count = channels as usize;
    let mut encoder = Encoder::new(RATE, channels, Application::Voip).expect("libopus has encoders");
    encoder.set_bitrate(Bitrate::Bits(bits)).expect("a usual rate");
    encoder.set_inband_fec(fec).expect("a usual switch");
    encoder.set_packet_loss_perc(loss).expect("a share");
    encoder.set_dtx(true).expect("a usual switch");
    let pcm = voice(length, count);
    let silence = vec![0; length * MS * count];
    let frames = pcm
        .chunks_exact(ms * MS * count)
        .chain(silence.chunks_exact(ms * MS * count));
    frames
        .map(|frame| encoder.encode_vec(frame, PACKET_BYTES).expect("a whole frame"))
        .collect()
}

/// How many packets there are, and how many have LBRR; ours and theirs agree on each.
fn agreed(packets: &[Vec<u8>]) -> (usize, usize) {
    let with = packets.iter().filter(|packet| {
        let ours = has_lbrr(packet);
        assert_eq!(Some(ours), theirs(packet), "{packet:02x?}");
        ours
    });
    (packets.len(), with.count())
}

#[test]
fn the_bit_is_what_libopus_says_for_every_shape_of_packet() {
    for channels in [Channels::Mono, Channels::Stereo] {
        // Narrow band to hybrid, and so much that the encoder takes CELT alone.
        for bits in [10_000, 24_000, 32_000, 128_000] {
            for ms in [10, 20, 40, 60, 80, 120] {
                for loss in [0, 20] {
                    let what = format!("{channels:?}, {bits} bit/s, {ms} ms, {loss} % loss");
                    let (_, without) = agreed(&packets(SHORT, channels, bits, false, loss, ms));
                    assert_eq!(without, 0, "FEC is off: {what}");
                    let (all, with) = agreed(&packets(SHORT, channels, bits, true, loss, ms));
                    assert!(loss > 0 || with == 0, "nothing is lost: {what}: {with} of {all}");
                }
            }
        }
    }
}

#[test]
fn a_browsers_packets_mend_one_another_once_loss_is_told() {
    // 32 kbit/s, mono, 20 ms, as our answer asks for; half of it is silence with DTX.
    let told = packets(LONG, Channels::Mono, 32_000, true, 20, 20);
    let mending = told.iter().filter(|packet| mends_the_one_before(packet)).count();
    assert!(mending > 60, "{mending} of {}", told.len());
    let untold = packets(LONG, Channels::Mono, 32_000, true, 0, 20);
    assert_eq!(untold.iter().filter(|packet| mends_the_one_before(packet)).count(), 0);
}

#[test]
fn what_the_bit_promises_the_decoder_has() {
    let all = packets(LONG, Channels::Mono, 24_000, true, 20, 20);
    let (mut better, mut judged) = (0, 0);
    for lost in (20..110).step_by(3).filter(|&lost| has_lbrr(&all[lost + 1])) {
        let decoded = |last: &[u8], fec| {
            let mut decoder = opus::Decoder::new(RATE, Channels::Mono).expect("libopus has decoders");
            let mut pcm = vec![0; 20 * MS];
            for packet in &all[..lost] {
                decoder.decode(packet, &mut pcm, false).expect("our own packet");
            }
            decoder.decode(last, &mut pcm, fec).expect("our own packet, or none");
            pcm
        };
        let whole = decoded(&all[lost], false);
        let mended = decoded(&all[lost + 1], true);
        let concealed = decoded(&[], false);
        let error = |other: &[i16]| -> i64 {
            let pairs = whole.iter().zip(other);
            pairs.map(|(a, b)| (i64::from(*a) - i64::from(*b)).pow(2)).sum()
        };
        judged += 1;
        better += usize::from(error(&mended) < error(&concealed));
    }
    assert!(judged >= 8 && better * 4 >= judged * 3, "{better} of {judged}");
}

#[test]
fn the_first_frame_is_found_in_packets_of_several() {
    let mut repacketizer = Repacketizer::new().expect("memory");
    let singles = packets(LONG, Channels::Mono, 24_000, true, 20, 20);
    let (mut joined, mut codes) = (Vec::new(), [0; 4]);
    for count in [2, 3, 5] {
        for several in singles.chunks_exact(count) {
            let mut out = vec![0; PACKET_BYTES];
            let several: Vec<&[u8]> = several.iter().map(Vec::as_slice).collect();
            // Packets of two kinds are not joined.
            let Ok(len) = repacketizer.combine(&several, &mut out) else {
                continue;
            };
            out.truncate(len);
            codes[usize::from(out[0] & 3)] += 1;
            assert!(!mends_the_one_before(&out), "a frame mends no packet of {count}");
            joined.push(out.clone());
            out.resize(len + 300, 0);
            opus::packet::pad(&mut out, len).expect("there is room");
            joined.push(out);
        }
    }
    let (all, with) = agreed(&joined);
    assert!(codes[2] > 20 && codes[3] > 50, "{codes:?}");
    assert!(with > 40 && with < all, "{with} of {all}");
}

#[test]
fn damaged_packets_are_read_as_libopus_reads_them_or_refused() {
    let mut chance = Chance(0xFEED_5EED);
    let whole: Vec<Vec<u8>> = [10, 20, 60, 120]
        .into_iter()
        .flat_map(|ms| packets(LONG, Channels::Stereo, 24_000, true, 20, ms))
        .filter(|packet| !packet.is_empty())
        .collect();
    let mut read = 0;
    for turn in 0..200_000 {
        let mut packet = whole[turn % whole.len()].clone();
        packet.truncate(1 + chance.below(packet.len() as u64) as usize);
        for _ in 0..chance.below(4) {
            let place = chance.below(packet.len().min(6) as u64) as usize;
            packet[place] = chance.below(256) as u8;
        }
        let ours = has_lbrr(&packet);
        if let Some(theirs) = theirs(&packet) {
            read += 1;
            assert_eq!(ours, theirs, "{packet:02x?}");
        }
    }
    assert!(read > 100_000, "{read}");
}
