//! Makes the tone that tells agents, or all, of a supervisor who begins to listen, whisper or join: two soft notes that rise,
//! half a second with the silence around them.
//!
//! ```text
//! cargo run --release -p recording --example announce_tone > media-server/assets/announce.opus
//! ```

use std::f64::consts::TAU;
use std::io::Write as _;

use recording::ogg::{Sides, Writer};

/// Samples per second.
const RATE: usize = 48_000;
/// Samples of a frame: 20 ms.
const FRAME: usize = 960;
/// Frames of the whole.
const FRAMES: usize = 26;
/// Bits per second, as the music: two notes need no more.
const BITRATE: i32 = 24_000;
/// Peak of a note, 1 is full scale: as loud as a quiet voice, for it sounds beside one.
const LOUDNESS: f64 = 0.12;
/// Where a note begins and how long it lasts, milliseconds, and its pitch in hertz: E5 and A5. The silence before the first
/// is for a jitter buffer that opens with it.
const NOTES: [(usize, usize, f64); 2] = [(80, 140, 659.26), (240, 200, 880.0)];
/// Milliseconds in which a note rises and falls, so that it does not click.
const EDGE: f64 = 15.0;

fn tone() -> Vec<i16> {
    let mut sound = vec![0.0; FRAMES * FRAME];
    for (begins, lasts, pitch) in NOTES {
        let (begins, length) = (begins * RATE / 1_000, lasts * RATE / 1_000);
        for at in 0..length {
            let milliseconds = |samples: usize| samples as f64 * 1_000.0 / RATE as f64;
            let edge = milliseconds(at.min(length - at)) / EDGE;
            let wave = (TAU * pitch * at as f64 / RATE as f64).sin();
            sound[begins + at] += LOUDNESS * edge.min(1.0) * wave;
        }
    }
    sound.into_iter().map(|value| (value * 32_767.0) as i16).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One mode of the codec throughout, so that nothing is lost to a change of it in half a second.
    let mut encoder = opus::Encoder::new(RATE as u32, opus::Channels::Mono, opus::Application::LowDelay)?;
    encoder.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
    let tags = [("TITLE", "A supervisor takes part"), ("ARTIST", "Helpline")];
    let mut writer = Writer::new(Sides::One, 1, &tags, 0);
    for frame in tone().chunks(FRAME) {
        let packet = encoder.encode_vec(frame, 1_000)?;
        writer.packet(FRAME as u32, |body| body.extend_from_slice(&packet));
    }
    std::io::stdout().write_all(&writer.finish(u64::MAX))?;
    Ok(())
}
