//! A sender with a clock, a network and an encoder of its own, and a player: the judges of what the master says.
//!
//! Never uses the crate's own reader: files are read by another Ogg reader and by libopus.

use opus::{Application, Bitrate, Channels, Encoder, MSDecoder};
use recording::master::{Assembly, DURATION_MS_MAX, Master};
use recording::peaks::{self, Drawing};
use recording::{Flags, Lane, Packet, Track};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const FRAME: usize = 960;
/// Where the tests' recordings begin on the node's clock.
pub(crate) const START: u64 = 7_000 * SECOND;

/// Encodes mono sound in frames of `frame` samples.
pub(crate) fn encode(pcm: &[i16], frame: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Audio).unwrap();
    encoder.set_bitrate(Bitrate::Bits(48_000)).unwrap();
    encoder.set_complexity(2).unwrap();
    pcm.chunks_exact(frame)
        .map(|chunk| encoder.encode_vec(chunk, 1_275).unwrap())
        .collect()
}

/// A sum of two tones.
pub(crate) fn tones(low: f32, high: f32, seconds: f32) -> Vec<i16> {
    let tau = std::f32::consts::TAU;
    (0..(seconds * 48_000.0) as usize)
        .map(|n| {
            let t = n as f32 / 48_000.0;
            (6_000.0 * (tau * low * t).sin() + 4_000.0 * (tau * high * t).sin()) as i16
        })
        .collect()
}

/// Silence with a click of 5 ms at the given samples.
pub(crate) fn clicks(at: &[usize], seconds: usize) -> Vec<i16> {
    let mut pcm = vec![0i16; seconds * 48_000];
    for &at in at {
        for (n, sample) in pcm[at..at + 240].iter_mut().enumerate() {
            *sample = if n / 12 % 2 == 0 { 24_000 } else { -24_000 };
        }
    }
    pcm
}

/// One leg's sender and its network.
pub(crate) struct Sender {
    pub(crate) lane: Lane,
    /// Millionths by which its sound clock is fast.
    pub(crate) ppm: f64,
    /// Samples per packet.
    pub(crate) frame: usize,
    pub(crate) first_ts: u32,
    pub(crate) first_seq: u32,
    /// When its first sample was taken.
    pub(crate) begins_ns: u64,
    /// Least time on the way.
    pub(crate) delay_ns: u64,
}

impl Sender {
    pub(crate) fn new(lane: Lane) -> Self {
        let delay_ns = 20_000_000;
        Self {
            lane,
            ppm: 0.0,
            frame: FRAME,
            first_ts: 1_000,
            first_seq: 500,
            begins_ns: START,
            delay_ns,
        }
    }

    /// When a sample is taken, in nanoseconds of the node's clock.
    pub(crate) fn taken_ns(&self, sample: usize) -> u64 {
        self.begins_ns + (sample as f64 / 48_000.0 / (1.0 + self.ppm * 1e-6) * 1e9) as u64
    }

    /// Sends; `network` says when the packet of an index that left at a time arrives, if ever.
    pub(crate) fn send(&self, encoded: &[Vec<u8>], network: impl Fn(usize, u64) -> Option<u64>) -> Vec<Packet> {
        let mut packets: Vec<Packet> = Vec::new();
        for (i, payload) in encoded.iter().enumerate() {
            let leaves = self.taken_ns(i * self.frame) + self.delay_ns;
            let Some(arrival_ns) = network(i, leaves) else { continue };
            packets.push(Packet {
                ext_seq: self.first_seq + i as u32,
                rtp_ts: self.first_ts.wrapping_add((i * self.frame) as u32),
                arrival_ns,
                flags: Flags::default(),
                level: if payload.len() > 20 { 100 } else { 10 },
                payload: payload.clone().into(),
            });
        }
        packets.sort_by_key(|p| p.arrival_ns);
        packets
    }

    pub(crate) fn track(&self, packets: Vec<Packet>) -> Track {
        Track {
            leg: match self.lane {
                Lane::Customer => 1,
                Lane::Agent => 2,
                Lane::Beside(number) => 3 + u128::from(number),
            },
            lane: self.lane,
            packets,
        }
    }
}

/// Jitter of up to `most` nanoseconds that is the same every time.
pub(crate) fn jitter(i: usize, most: u64) -> u64 {
    ((i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % most
}

/// The peaks of a master, its files read in pieces as a store gives them.
pub(crate) fn drawn(master: &Master) -> Vec<u8> {
    let draw = |file: &Vec<u8>| {
        let mut drawing = Drawing::new(DURATION_MS_MAX);
        for piece in file.chunks(1_000) {
            drawing.take(piece).unwrap();
        }
        drawing.finish().unwrap()
    };
    let second = master.second_file.as_ref().map(draw);
    let first = draw(&master.audio);
    assert_eq!(
        (first.duration_ms, first.is_one_side()),
        (master.duration_ms, second.is_some())
    );
    peaks::file(first, second)
}

/// The assembly of the given tracks over `ms`.
pub(crate) fn assembly(tracks: &[Track], ms: u64) -> Assembly<'_> {
    Assembly {
        tracks,
        start_ns: START,
        end_ns: START + ms * 1_000_000,
        customer_left: true,
        serial: 99,
        tags: &[("LAYOUT", "customer left, agent right")],
        explained: &[],
    }
}

/// The packets of an Ogg file without its headers, and its last granule.
pub(crate) fn packets_of(file: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let mut reader = ogg::PacketReader::new(std::io::Cursor::new(file));
    let all: Vec<ogg::Packet> = std::iter::from_fn(|| reader.read_packet().expect("a sound Ogg file")).collect();
    let last = all.last().expect("packets");
    assert!(last.last_in_stream(), "the file ends with its end mark");
    assert!(all[0].data.starts_with(b"OpusHead") && all[1].data.starts_with(b"OpusTags"));
    let mut granule = 0;
    for packet in &all[2..] {
        assert!(packet.absgp_page() >= granule, "granules never fall");
        granule = packet.absgp_page();
    }
    (all[2..].iter().map(|p| p.data.clone()).collect(), granule)
}

/// Decodes a file of `channels` as a player does: pre-skip dropped, end trimmed.
pub(crate) fn play(file: &[u8], channels: usize) -> Vec<Vec<i16>> {
    let (packets, granule) = packets_of(file);
    let mapping: Vec<u8> = (0..channels as u8).collect();
    let mut decoder = MSDecoder::new(48_000, channels as u8, 0, &mapping).unwrap();
    let mut lanes = vec![Vec::new(); channels];
    let mut pcm = vec![0i16; 5_760 * channels];
    for packet in packets {
        let n = decoder
            .decode(&packet, &mut pcm, false)
            .expect("a packet that libopus takes");
        for (c, lane) in lanes.iter_mut().enumerate() {
            lane.extend(pcm[..n * channels].iter().skip(c).step_by(channels));
        }
    }
    for lane in &mut lanes {
        assert!(lane.len() as u64 >= granule, "the trimmed end lies inside");
        lane.truncate(granule as usize);
        lane.drain(..312);
    }
    lanes
}

/// Left and right of a two-channel master; its length was checked against the recording's.
pub(crate) fn play_both(master: &Master) -> [Vec<i16>; 2] {
    let lanes: [Vec<i16>; 2] = play(&master.audio, 2).try_into().unwrap();
    assert_eq!(
        lanes[0].len() as u64 / 48,
        master.duration_ms,
        "the file lasts as long as the recording"
    );
    lanes
}

/// Correlation of two signals, -1 to 1.
pub(crate) fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let dot = |x: &[i16], y: &[i16]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1.0)
}

/// Where clicks begin, in samples.
pub(crate) fn heard(pcm: &[i16]) -> Vec<usize> {
    let mut out: Vec<usize> = Vec::new();
    for (n, &sample) in pcm.iter().enumerate() {
        if sample.unsigned_abs() > 8_000 && out.last().is_none_or(|&last| n - last > 24_000) {
            out.push(n);
        }
    }
    out
}

/// Checks that every click sounds within 20 ms of the moment it reached the server. `late` is what a test adds itself.
pub(crate) fn on_time(pcm: &[i16], sender: &Sender, at: &[usize], late: impl Fn(usize) -> u64) -> Vec<i64> {
    let heard = heard(pcm);
    assert_eq!(heard.len(), at.len(), "clicks heard at {heard:?}");
    let errors = heard.iter().zip(at).map(|(&heard, &at)| {
        let truth = sender.taken_ns(at) + sender.delay_ns + late(at) - START;
        heard as i64 * 125 / 6 - truth as i64 / 1_000
    });
    let errors: Vec<i64> = errors.collect();
    assert!(
        errors.iter().all(|e| e.abs() <= 20_000),
        "errors in microseconds: {errors:?}"
    );
    errors
}
