// The pictures of the sound: what each answer of the server means to whoever waits for it, and who is asked when.

import { describe, expect, test } from "vitest";
import { AGAIN_S, BUSY_AGAIN_S, meaning, oneByOne, type Easel, type VoiceWave } from "../console/routes/qa/wave.ts";
import type { Failure, Reply } from "../shared/api.ts";
import type { VoiceWaveform } from "../shared/gen/VoiceWaveform.ts";
import type { WaveformPending } from "../shared/gen/WaveformPending.ts";

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

describe("pictures that are asked for one by one", () => {
  type Answer = Reply<VoiceWaveform | WaveformPending>;
  const wave: VoiceWaveform = { durationMs: 9, fromMs: 0, toMs: 9, peaks: [] };
  const drawn: Answer = { ok: true, status: 200, value: wave };
  const pending: Answer = { ok: true, status: 202, value: { percent: 40 } };

  /** Answers in turn, by URL; what was asked, waited and told, in that order. */
  function easel(answers: Record<string, Answer[]>, goneAfter = Infinity): Easel<VoiceWaveform> & { story: string[] } {
    const story: string[] = [];
    return {
      story,
      ask: async (url) => {
        story.push(`ask ${url}`);
        const answer = answers[url]?.shift();
        if (!answer) throw new Error(`${url} once too often`);
        return answer;
      },
      tell: (url: string, { at }: VoiceWave) => void story.push(`${url} ${at}`),
      wait: async (seconds) => void story.push(`wait ${seconds}`),
      gone: () => story.length >= goneAfter,
    };
  }

  test("wait for one another, and one that fails keeps nobody from the next", async () => {
    const all = easel({ a: [pending, drawn], b: [failure(500, "recording_damaged")], c: [drawn] });
    await oneByOne(["a", "b", "c"], all);
    expect(all.story).toEqual([
      "ask a",
      "a drawing",
      `wait ${AGAIN_S}`,
      "ask a",
      "a drawn",
      "ask b",
      "b failed",
      "ask c",
      "c drawn",
    ]);
  });

  test("are no longer asked for, or told of, once nobody looks", async () => {
    for (const steps of [0, 1, 3]) {
      const all = easel({ a: [pending, drawn], b: [drawn] }, steps);
      await oneByOne(["a", "b"], all);
      expect(all.story).toHaveLength(steps);
    }
  });
});
