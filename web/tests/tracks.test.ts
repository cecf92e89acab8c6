// The review's geometry: what was measured when, and what is left out because it was not.

import { describe, expect, test } from "vitest";
import { nearest, samplesOf, weakSpans } from "../console/routes/qa/shape.ts";
import { spoken } from "../console/routes/qa/reading.tsx";
import type { QualityTrack } from "../shared/gen/QualityTrack.ts";

const track = (part: QualityTrack["part"], mos: number[], uplink = true, startMs = 0): QualityTrack => ({
  legId: "leg",
  part,
  uplink,
  startMs,
  mos,
  loss: mos.map((score) => (score > 4 ? 0.002 : 0.062)),
  residualLoss: mos.map(() => 0),
  jitterMs: mos.map(() => 14),
  rttMs: mos.map((_, n) => (n === 0 ? 0 : 96)),
  level: mos.map(() => 60),
});

describe("samples", () => {
  test("are what a side sent, on the axis of the recording", () => {
    const tracks = [track("customer", [4.3, 4.2], true, 5000), track("customer", [1.2], false), track("agent", [4.4])];
    expect(samplesOf(tracks, "customer").map(({ atMs, mos }) => [atMs, mos])).toEqual([
      [5000, 4.3],
      [6000, 4.2],
    ]);
  });

  test("leave a second without packets out, which is neither good nor weak", () => {
    const samples = samplesOf([track("customer", [4.3, 0, 0, 0, 4.3])], "customer");
    expect(samples.map(({ atMs }) => atMs)).toEqual([0, 4000]);
    expect(weakSpans(samples)).toEqual([]);
    expect(nearest(samples, 2500)).toBeUndefined();
    expect(nearest(samples, 4999)?.atMs).toBe(4000);
  });
});

test("a reading tells the time and every value with its unit, for both sides", () => {
  const customer = samplesOf([track("customer", [4.3, 2.5])], "customer");
  const here = { customer: nearest(customer, 1500), agent: undefined };
  expect(spoken(1500, here, { customer: "Amina Wanjiru", agent: "Joyce Atieno" })).toBe(
    "0:01. Amina Wanjiru: Quality 2.5 of 5, Loss 6.2 %, Jitter 14 ms, Delay 96 ms. Joyce Atieno: not measured",
  );
});
