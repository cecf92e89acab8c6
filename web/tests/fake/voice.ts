// A voice for pages under test: a tone that rises and falls like somebody who says a few words, breathes, goes on.

import { writeFileSync } from "node:fs";
import { chance } from "./data.ts";
import { pcm } from "./wav.ts";

/** Loudness values per second. */
export const VOICE_RATE = 20;
/** The voice repeats itself after this time, seconds. */
const SECONDS = 30;
/** Loudest amplitude; 1 would be full scale. */
const LOUDEST = 0.2;

/** Amplitudes over time, 0 to `LOUDEST`. */
export function voice(seed: number): number[] {
  const next = chance(seed);
  const values: number[] = [];
  while (values.length < VOICE_RATE * SECONDS) {
    for (let syllables = 6 + Math.floor(next() * 10); syllables > 0; syllables--) {
      const loud = 0.25 + 0.75 * next();
      for (const share of [0.35, 1, 0.6, 0.15]) values.push(LOUDEST * loud * share * share);
    }
    for (let rest = 12 + Math.floor(next() * 24); rest > 0; rest--) values.push(0);
  }
  return values;
}

/** Writes a voice as a sound file for the browser's pretended microphone. */
export function writeVoice(path: string, seed: number): void {
  const rate = 16_000;
  const values = voice(seed);
  const samples = new Int16Array(Math.floor((values.length / VOICE_RATE) * rate));
  for (let n = 0; n < samples.length; n++) {
    const at = (n / rate) * VOICE_RATE;
    const before = values[Math.floor(at)] ?? 0;
    const after = values[Math.floor(at) + 1] ?? 0;
    const loud = before + (after - before) * (at % 1);
    samples[n] = Math.round(32_767 * loud * Math.sin((2 * Math.PI * 180 * n) / rate));
  }
  writeFileSync(path, pcm(samples, rate));
}
