// The picture of the sound: what each answer of the server means to whoever waits for it.

import { describe, expect, test } from "vitest";
import { AGAIN_S, BUSY_AGAIN_S, meaning } from "../console/routes/qa/wave.ts";
import type { Failure } from "../shared/api.ts";

const failure = (status: number, code: string, retryAfter?: number): Failure => ({
  ok: false,
  status,
  code,
  retryAfter,
});

describe("an answer", () => {
  test("with the picture ends the waiting, also for a recording without sound", () => {
    const wave = { durationMs: 0, fromMs: 0, toMs: 0, customer: [], agent: [] };
    expect(meaning({ ok: true, status: 200, value: wave })).toEqual({ wave: { at: "drawn", wave } });
  });

  test("that it is being drawn asks again", () => {
    expect(meaning({ ok: true, status: 202, value: { percent: 0 } })).toEqual({
      wave: { at: "drawing", percent: 0 },
      againS: AGAIN_S,
    });
  });

  test("that many wait asks again when the server says, or after a while", () => {
    const wave = { at: "drawing", percent: 0 };
    expect(meaning(failure(503, "waveform_busy", 7))).toEqual({ wave, againS: 7 });
    expect(meaning(failure(503, "waveform_busy"))).toEqual({ wave, againS: BUSY_AGAIN_S });
  });

  test("that tells of a fault is left to the reader", () => {
    for (const [status, code] of [
      [500, "recording_damaged"],
      [503, "storage"],
      [404, "recording_missing"],
      [0, "offline"],
    ] as const) {
      expect(meaning(failure(status, code))).toEqual({ wave: { at: "failed" } });
    }
  });
});
