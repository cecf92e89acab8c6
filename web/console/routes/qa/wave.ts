// The pictures of a recording's sound and of the voices beside it. The server draws each when somebody first asks, which may
// take longer than an answer: it is asked for until it is there. The sound plays meanwhile.

import type { Reply } from "../../../shared/api.ts";
import type { VoiceWaveform } from "../../../shared/gen/VoiceWaveform.ts";
import type { Waveform } from "../../../shared/gen/Waveform.ts";
import type { WaveformPending } from "../../../shared/gen/WaveformPending.ts";

/** Seconds between an answer that there is more to draw and the next question; the server itself waits before each. */
export const AGAIN_S = 1;
/** Seconds until the next question when many others wait, unless the server says. */
export const BUSY_AGAIN_S = 10;

export type Drawn = Waveform | VoiceWaveform;

export type Picture<T extends Drawn> =
  | { at: "none" }
  /** `percent`: how much of the sound was looked at, 0 to 99. */
  | { at: "drawing"; percent: number }
  | { at: "failed" }
  | { at: "drawn"; wave: T };

export type Wave = Picture<Waveform>;
export type VoiceWave = Picture<VoiceWaveform>;

const isPending = (value: Drawn | WaveformPending): value is WaveformPending => "percent" in value;

/** What an answer means, and seconds until the next question when there has to be one. */
export function meaning<T extends Drawn>(reply: Reply<T | WaveformPending>): { wave: Picture<T>; againS?: number } {
  if (reply.ok) {
    return isPending(reply.value)
      ? { wave: { at: "drawing", percent: reply.value.percent }, againS: AGAIN_S }
      : { wave: { at: "drawn", wave: reply.value } };
  }
  if (reply.code === "waveform_busy") {
    return { wave: { at: "drawing", percent: 0 }, againS: reply.retryAfter ?? BUSY_AGAIN_S };
  }
  return { wave: { at: "failed" } };
}

/** How the pictures are asked for, and where they go. */
export interface Easel<T extends Drawn> {
  ask: (url: string) => Promise<Reply<T | WaveformPending>>;
  tell: (url: string, wave: Picture<T>) => void;
  wait: (seconds: number) => Promise<void>;
  /** True when nobody looks any more. */
  gone: () => boolean;
}

/** Asks for one picture until it is there or cannot be, then for the next: one page never fills the server's queue. */
export async function oneByOne<T extends Drawn>(urls: readonly string[], easel: Easel<T>): Promise<void> {
  for (const url of urls) {
    for (let again: number | undefined = 0; again !== undefined;) {
      if (again > 0) await easel.wait(again);
      if (easel.gone()) return;
      const reply = await easel.ask(url);
      if (easel.gone()) return;
      const { wave, againS } = meaning(reply);
      easel.tell(url, wave);
      again = againS;
    }
  }
}
