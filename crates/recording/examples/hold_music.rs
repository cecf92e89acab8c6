//! Makes the music that customers on hold hear when the operator brings none of his own: sixteen seconds of soft broken
//! chords, composed here, that run into themselves.
//!
//! ```text
//! cargo run --release -p recording --example hold_music > media-server/assets/hold.opus
//! ```

use std::f64::consts::TAU;
use std::io::Write as _;

use recording::ogg::{Sides, Writer};

/// Samples per second.
const RATE: usize = 48_000;
/// Samples of a frame: 20 ms.
const FRAME: usize = 960;
/// Samples of an eighth note at 75 beats per minute.
const EIGHTH: usize = RATE * 2 / 5;
/// Bits per second: soft tones need no more.
const BITRATE: i32 = 24_000;
/// Peak of one note, 1 is full scale: below a voice, so that nobody reaches for the volume.
const LOUDNESS: f64 = 0.07;
/// Semitones above A3 (220 Hz), a bar a row: C, A minor, F, G, C, each broken over eight eighths.
const CHORDS: [[i32; 8]; 5] = [
    [3, 10, 15, 19, 22, 19, 15, 10],
    [0, 7, 12, 15, 19, 15, 12, 7],
    [-4, 3, 8, 12, 15, 12, 8, 3],
    [-2, 5, 10, 14, 17, 14, 10, 5],
    [3, 10, 15, 19, 27, 19, 15, 10],
];

/// One round; a note that outlasts the end sounds on at the beginning.
fn tune() -> Vec<f64> {
    let mut sound = vec![0.0; CHORDS.len() * 8 * EIGHTH];
    for (place, &tone) in CHORDS.iter().flatten().enumerate() {
        let pitch = 220.0 * 2f64.powf(f64::from(tone) / 12.0);
        // A struck bar: a fundamental and two overtones that die away sooner.
        for at in 0..3 * RATE {
            let time = at as f64 / RATE as f64;
            let attack = (time / 0.012).min(1.0);
            let partial = |n: f64, part: f64, decay: f64| part * (-time / decay).exp() * (TAU * pitch * n * time).sin();
            let value = partial(1.0, 1.0, 0.7) + partial(2.0, 0.3, 0.35) + partial(3.0, 0.12, 0.2);
            let length = sound.len();
            sound[(place * EIGHTH + at) % length] += LOUDNESS * attack * value;
        }
    }
    sound
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sound: Vec<i16> = tune().into_iter().map(|v| (v * 32_767.0) as i16).collect();
    assert_eq!(sound.len() % FRAME, 0, "a round is whole frames");
    let mut encoder = opus::Encoder::new(RATE as u32, opus::Channels::Mono, opus::Application::Audio)?;
    encoder.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
    let mut writer = Writer::new(Sides::One, 1, &[("TITLE", "On hold"), ("ARTIST", "Helpline")], 0);
    // The second round is kept: its first frame was encoded behind the last one, as it is played.
    for round in 0..2 {
        for frame in sound.chunks(FRAME) {
            let packet = encoder.encode_vec(frame, 1_000)?;
            if round == 1 {
                writer.packet(FRAME as u32, |body| body.extend_from_slice(&packet));
            }
        }
    }
    std::io::stdout().write_all(&writer.finish(u64::MAX))?;
    Ok(())
}
