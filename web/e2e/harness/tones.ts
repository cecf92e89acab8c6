// Sine tones, one per person, and which of them are in a sound.

/** Samples of a tone file per second, and its length: whole periods of every whole frequency, so that it loops. */
const RATE = 48_000;
const FILE_SECONDS = 4;
/** Amplitude of a tone, full scale is 1: several together stay below it. */
const AMPLITUDE = 0.15;
/** Length of a window of judgement, seconds: it tells tones apart that are some hertz from one another. */
const WINDOW_SECONDS = 1;
/** Hertz beside a tone that are looked at too: a page's clock is not the server's. */
const SPREAD_HZ = [-2, -1, 0, 1, 2];

/** A tone as the microphone of a browser plays it. */
export function tone(hertz: number): { samples: Int16Array; rate: number } {
  const samples = Int16Array.from({ length: RATE * FILE_SECONDS }, (_, n) =>
    Math.round(32_767 * AMPLITUDE * Math.sin((2 * Math.PI * hertz * n) / RATE)),
  );
  return { samples, rate: RATE };
}

/** How loud a tone is in each whole second of a sound, as a share of what its speaker sends. */
export function loudness(samples: Int16Array, rate: number, hertz: number): number[] {
  return windows(samples, rate).map((window) => {
    const near = SPREAD_HZ.map((off) => amplitude(window, rate, hertz + off));
    return Math.max(...near) / AMPLITUDE;
  });
}

/** How loud each whole second of a sound is, whatever is in it: root mean square, full scale is 1. */
export function level(samples: Int16Array, rate: number): number[] {
  return windows(samples, rate).map((window) => {
    const squares = window.reduce((sum, sample) => sum + (sample / 32_768) ** 2, 0);
    return Math.sqrt(squares / window.length);
  });
}

/** The whole windows of a sound. */
function windows(samples: Int16Array, rate: number): Int16Array[] {
  const size = Math.floor(rate * WINDOW_SECONDS);
  return Array.from({ length: Math.floor(samples.length / size) }, (_, n) =>
    samples.subarray(n * size, (n + 1) * size),
  );
}

/** The amplitude of one frequency under a Hann window, whose side lobes hide no neighbour. */
function amplitude(samples: Int16Array, rate: number, hertz: number): number {
  let real = 0;
  let imaginary = 0;
  for (let n = 0; n < samples.length; n++) {
    const weight = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / samples.length);
    const value = (weight * (samples[n] ?? 0)) / 32_768;
    const angle = (2 * Math.PI * hertz * n) / rate;
    real += value * Math.cos(angle);
    imaginary -= value * Math.sin(angle);
  }
  // The mean of the window is one half, and a sine is half of its amplitude on either side.
  return (4 * Math.hypot(real, imaginary)) / samples.length;
}
