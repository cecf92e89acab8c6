//! How much of a known signal is in what was heard, second by second.
//!
//! Each second of the heard sound is searched for in the source, which is taken as a loop, by normalised
//! cross-correlation: 1 is the source itself, 0.7 and less is warped or concealed, silence is told apart.

use std::sync::Arc;

use rustfft::{Fft, FftPlanner, num_complex::Complex};

/// Both sounds are brought to this rate first: the signals lie below 3 kHz.
const RATE_HZ: usize = 8_000;

/// Root mean square below which a window counts as silence, of a full scale of 1.
const SILENCE_RMS: f64 = 0.002;

/// One second of what was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Best correlation with any place of the source, 0 to 1.
    pub correlation: f64,
    /// That place, seconds from the start of the source.
    pub place_s: f64,
    /// True when there was nothing to compare.
    pub silent: bool,
}

/// All seconds, and what one can say about them together.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// One entry per whole second.
    pub windows: Vec<Window>,
    /// Median correlation, silent windows counting as 0.
    pub median: f64,
    /// How many windows were silent.
    pub silent: usize,
}

/// Compares `heard` with `source`, both mono at their own rates; the first `skip_s` seconds of `heard` are left out.
pub fn compare(source: (&[i16], u32), heard: (&[i16], u32), skip_s: usize) -> Verdict {
    let mut windows = trace(source, heard, 1_000);
    windows.drain(..skip_s.min(windows.len()));
    let mut values: Vec<f64> = windows
        .iter()
        .map(|w| if w.silent { 0.0 } else { w.correlation })
        .collect();
    values.sort_by(f64::total_cmp);
    Verdict {
        median: values.get(values.len() / 2).copied().unwrap_or(0.0),
        silent: windows.iter().filter(|w| w.silent).count(),
        windows,
    }
}

/// The same in windows of `window_ms` milliseconds, of which none is judged: when a voice begins and ends.
pub fn trace(source: (&[i16], u32), heard: (&[i16], u32), window_ms: usize) -> Vec<Window> {
    let source = bring_down(source.0, source.1);
    let heard = bring_down(heard.0, heard.1);
    let search = Search::new(&source);
    let length = (RATE_HZ * window_ms / 1_000).clamp(1, search.length);
    heard.chunks_exact(length).map(|window| search.find(window)).collect()
}

/// Averages down (or repeats up) to [`RATE_HZ`], full scale 1.
fn bring_down(samples: &[i16], rate: u32) -> Vec<f64> {
    let step = f64::from(rate) / RATE_HZ as f64;
    let count = (samples.len() as f64 / step) as usize;
    (0..count)
        .map(|n| {
            let from = (n as f64 * step) as usize;
            let to = (((n + 1) as f64 * step) as usize).clamp(from + 1, samples.len().max(from + 1));
            let part = &samples[from.min(samples.len())..to.min(samples.len())];
            part.iter().map(|s| f64::from(*s)).sum::<f64>() / (part.len().max(1) as f64 * f64::from(i16::MAX))
        })
        .collect()
}

/// A source prepared for many searches.
struct Search {
    spectrum: Vec<Complex<f64>>,
    /// Running sum of squares over the source, twice in a row.
    energy: Vec<f64>,
    length: usize,
    forward: Arc<dyn Fft<f64>>,
    inverse: Arc<dyn Fft<f64>>,
}

impl Search {
    fn new(source: &[f64]) -> Self {
        let length = source.len().max(RATE_HZ);
        let mut spectrum: Vec<Complex<f64>> = source.iter().map(|s| Complex::new(*s, 0.0)).collect();
        spectrum.resize(length, Complex::default());
        let mut energy = vec![0.0; 2 * length + 1];
        for n in 0..2 * length {
            energy[n + 1] = energy[n] + spectrum[n % length].re.powi(2);
        }
        let mut planner = FftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        forward.process(&mut spectrum);
        Self {
            spectrum,
            energy,
            length,
            forward,
            inverse,
        }
    }

    fn find(&self, window: &[f64]) -> Window {
        let own: f64 = window.iter().map(|s| s * s).sum();
        if (own / window.len().max(1) as f64).sqrt() < SILENCE_RMS {
            return Window {
                correlation: 0.0,
                place_s: 0.0,
                silent: true,
            };
        }
        let mut field: Vec<Complex<f64>> = window.iter().map(|s| Complex::new(*s, 0.0)).collect();
        field.resize(self.length, Complex::default());
        self.forward.process(&mut field);
        for (value, source) in field.iter_mut().zip(&self.spectrum) {
            *value = source * value.conj();
        }
        self.inverse.process(&mut field);
        let mut best = Window {
            correlation: 0.0,
            place_s: 0.0,
            silent: false,
        };
        for (place, value) in field.iter().enumerate() {
            let there = self.energy[place + window.len()] - self.energy[place];
            let scale = (own * there).sqrt() * self.length as f64;
            let correlation = if scale > 0.0 { value.re.abs() / scale } else { 0.0 };
            if correlation > best.correlation {
                best = Window {
                    correlation,
                    place_s: place as f64 / RATE_HZ as f64,
                    silent: false,
                };
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::signal::{Direction, RATE, chirp};

    #[test]
    fn a_signal_is_found_in_itself_wherever_it_starts() {
        let source = chirp(Direction::Up);
        let mut late = source[30_000..].to_vec();
        late.extend_from_slice(&source[..30_000]);
        let verdict = compare((&source, RATE), (&late, RATE), 0);
        assert!(verdict.median > 0.99, "{verdict:?}");
        assert_eq!(verdict.silent, 0);
        assert!((verdict.windows[0].place_s - 0.625).abs() < 0.001);
    }

    #[test]
    fn a_voice_that_begins_late_is_found_from_there_on_and_not_before() {
        let source = chirp(Direction::Up);
        let mut heard = chirp(Direction::Down)[..96_000].to_vec();
        heard.extend_from_slice(&source[..48_000]);
        let windows = trace((&source, RATE), (&heard, RATE), 250);
        assert_eq!(windows.len(), 12);
        for (n, window) in windows.iter().enumerate() {
            assert_eq!(window.correlation > 0.8, n >= 8, "{n}: {window:?}");
        }
        assert!((windows[9].place_s - 0.25).abs() < 0.001);
    }

    #[test]
    fn the_other_signal_silence_and_noise_are_not_taken_for_it() {
        let source = chirp(Direction::Up);
        let other = compare((&source, RATE), (&chirp(Direction::Down), RATE), 0);
        assert!(other.median < 0.7, "{}", other.median);
        let silence = compare((&source, RATE), (&vec![0; 96_000], RATE), 0);
        assert_eq!((silence.median, silence.silent), (0.0, 2));
        let mut state = 7_u32;
        let noise: Vec<i16> = (0..96_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as i16
            })
            .collect();
        assert!(compare((&source, RATE), (&noise, RATE), 0).median < 0.3);
    }
}
