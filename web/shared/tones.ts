// The few sounds we make, as oscillators: no file, nothing to load, and the page's policy has nothing to allow.

/** Two soft notes; the frequencies are a rising fifth. */
function chime(context: AudioContext, notes: readonly number[], volume: number): void {
  notes.forEach((frequency, index) => {
    const start = context.currentTime + index * 0.18;
    const tone = context.createOscillator();
    const gain = context.createGain();
    tone.frequency.value = frequency;
    gain.gain.setValueAtTime(0, start);
    gain.gain.linearRampToValueAtTime(volume, start + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.001, start + 0.45);
    tone.connect(gain).connect(context.destination);
    tone.start(start);
    tone.stop(start + 0.5);
  });
}

/** An incoming call. */
export const ringOnce = (context: AudioContext): void => chime(context, [659, 988, 659, 988], 0.2);
/** It is the customer's turn, or a test of the speaker. */
export const turnTone = (context: AudioContext): void => chime(context, [523, 784], 0.15);
/** The call is over. */
export const endTone = (context: AudioContext): void => chime(context, [494, 330], 0.1);

/** Milliseconds between two rings. */
export const RING_EVERY_MS = 2400;

/** Rings until the result is called. */
export function ring(context: AudioContext): () => void {
  ringOnce(context);
  const id = setInterval(() => ringOnce(context), RING_EVERY_MS);
  return () => clearInterval(id);
}
