// Speech for a microphone in a loop, and the score of what became of it. Made and scored by foreign programs.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./paths.ts";

/** What is said: two voices, two languages, some six seconds each. */
const SPOKEN = [
  ["en-us+f3", "The payment of twelve hundred shillings was received on Tuesday, and the balance has been corrected."],
  ["sw", "Asante kwa kupiga simu. Malipo yako yalipokelewa siku ya Jumanne, na salio limesahihishwa."],
] as const;
/** Silence around each clip, seconds: more than `heard.py` takes with it. */
const PAUSE_S = 0.4;
/** Active speech level: -26 dB of full scale, as ITU-T P.830 has its material. */
const LEVEL_DB = -26;
const python = join(root, "target/speech/bin/python");

export interface Speech {
  /** All clips in a row, 48 kHz. */
  loop: string;
  /** Each clip at the scored rate. */
  clips: string[];
  /** Length of the loop, seconds. */
  seconds: number;
}

/** One clip that was heard whole. */
export interface Heard {
  clip: number;
  /** Second of the file. */
  at: number;
  pesq: number;
}

/** What is missing here for scores, if anything. */
export function missing(): string | undefined {
  return existsSync(python) ? undefined : "pesq in target/speech (cargo xtask test --long makes it)";
}

const sox = (...words: (string | number)[]): string =>
  execFileSync("sox", ["-V1", "-D", ...words.map(String)], { stdio: ["ignore", "pipe", "inherit"] }).toString();

/** Writes the clips into `folder`. */
export function speech(folder: string): Speech {
  const clips: string[] = [];
  const parts: string[] = [];
  for (const [number, [voice, text]] of SPOKEN.entries()) {
    const raw = join(folder, `raw-${number}.wav`);
    const part = join(folder, `part-${number}.wav`);
    const clip = join(folder, `clip-${number}.wav`);
    execFileSync("espeak-ng", ["-v", voice, "-s", "150", "-w", raw, text]);
    const stats = execFileSync("sh", ["-c", 'sox "$1" -n stats 2>&1', "sh", raw]).toString();
    const level = Number(/RMS lev dB\s+(\S+)/.exec(stats)?.[1]);
    const format = ["-c", 1, "-b", 16];
    sox(raw, "-r", 48_000, ...format, part, "gain", LEVEL_DB - level, "pad", PAUSE_S, PAUSE_S);
    sox(part, "-r", 16_000, clip, "trim", PAUSE_S, `-${PAUSE_S}`);
    clips.push(clip);
    parts.push(part);
  }
  const loop = join(folder, "loop.wav");
  sox(...parts, loop);
  return { loop, clips, seconds: Number(execFileSync("soxi", ["-D", loop]).toString()) };
}

/** Scores every clip that was heard whole in a channel (1 or 2) of a file, from and to these seconds. */
export function score(file: string, channel: number, speech: Speech, from = 0, to = 1e6): Heard[] {
  const mono = file.replace(/\.\w+$/, `-${channel}-16.wav`);
  sox(file, "-r", 16_000, "-b", 16, mono, "remix", channel);
  const words = [join(root, "xtask/heard.py"), mono, String(from), String(to), ...speech.clips];
  const text = execFileSync(python, words).toString().trim();
  return text.split("\n").flatMap((line) => {
    const [clip, at, pesq] = line.split(" ").map(Number);
    return pesq === undefined ? [] : [{ clip: clip!, at: at!, pesq }];
  });
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
