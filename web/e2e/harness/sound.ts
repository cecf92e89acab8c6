// Known sounds, and the judgement of what was heard (both by the Rust comparator `hl-sound`).
import { execFile, execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { binaries } from "./paths.ts";

export interface Verdict {
  median: number;
  silent: number;
  windows: number[];
  places: number[];
}

const program = join(binaries, "hl-sound");

/** Writes the chirp of one party. */
export function chirp(direction: "up" | "down", file: string): string {
  execFileSync(program, ["make", direction, file]);
  return file;
}

/** How much of `source` is in a channel of `heard`, the first seconds left out. */
export function compare(source: string, heard: string, channel = 0, skipSeconds = 0): Verdict {
  const text = execFileSync(program, ["compare", source, heard, String(channel), String(skipSeconds)]);
  return JSON.parse(text.toString()) as Verdict;
}

/**
 * Correlation with `source` and place in it, window by window; 0 is silence. It leaves this process free for what it
 * carries meanwhile.
 */
export async function trace(
  source: string,
  heard: string,
  channel: number,
  windowMs: number,
): Promise<{ windows: number[]; places: number[] }> {
  const { stdout } = await promisify(execFile)(program, ["trace", source, heard, String(channel), String(windowMs)]);
  return JSON.parse(stdout) as { windows: number[]; places: number[] };
}

/** Writes mono 16-bit samples as a WAV file. */
export function writeWav(file: string, samples: Int16Array, rate: number): string {
  const data = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + data.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(data.length, 40);
  writeFileSync(file, Buffer.concat([head, data]));
  return file;
}

/** Decodes both channels of a recording by a foreign decoder (libopus in ffmpeg). */
export function decode(recording: string, wav: string): string {
  execFileSync("ffmpeg", ["-v", "error", "-y", "-c:a", "libopus", "-i", recording, "-c:a", "pcm_s16le", wav]);
  return wav;
}
