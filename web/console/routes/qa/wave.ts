// The picture of a recording's sound. The server draws it when somebody first asks, which may take longer than an
// answer: it is asked for until it is there. The sound plays meanwhile.

import type { Reply } from "../../../shared/api.ts";
import type { Waveform } from "../../../shared/gen/Waveform.ts";
import type { WaveformPending } from "../../../shared/gen/WaveformPending.ts";

/** Seconds between an answer that there is more to draw and the next question; the server itself waits before each. */
export const AGAIN_S = 1;
/** Seconds until the next question when many others wait, unless the server says. */
export const BUSY_AGAIN_S = 10;

export type Wave =
  | { at: "none" }
  /** `percent`: how much of the sound was looked at, 0 to 99. */
  | { at: "drawing"; percent: number }
  | { at: "failed" }
  | { at: "drawn"; wave: Waveform };

/** What an answer means, and seconds until the next question when there has to be one. */
export function meaning(reply: Reply<Waveform | WaveformPending>): { wave: Wave; againS?: number } {
  if (reply.ok) {
    return "percent" in reply.value
      ? { wave: { at: "drawing", percent: reply.value.percent }, againS: AGAIN_S }
      : { wave: { at: "drawn", wave: reply.value } };
  }
  if (reply.code === "waveform_busy") {
    return { wave: { at: "drawing", percent: 0 }, againS: reply.retryAfter ?? BUSY_AGAIN_S };
  }
  return { wave: { at: "failed" } };
}
