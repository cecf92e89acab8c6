// Whoever is heard beside the two sides is heard with them: their players keep together.

import { expect, test } from "vitest";
import { APART_S_MAX, catchUp, voiceOutline } from "../console/routes/qa/voices.tsx";

test("a player follows the recording once it is further away than anybody would bear, and not before", () => {
  expect(catchUp(12, 12)).toBeUndefined();
  expect(catchUp(12, 12 + APART_S_MAX * 0.99)).toBeUndefined();
  expect(catchUp(12, 12 - APART_S_MAX * 0.99)).toBeUndefined();
  expect(catchUp(12, 12 + APART_S_MAX * 1.01)).toBe(12);
  expect(catchUp(300, 0)).toBe(300);
});

/** Corners of an outline. */
const corners = (path: string): [x: number, y: number][] =>
  [...path.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);

test("a voice is drawn where it is on the axis of the recording", () => {
  const wave = { durationMs: 10_000, fromMs: 0, toMs: 10_000, peaks: [0, 0, 0, 0, -100, 120, 0, 0] };
  const whole = corners(voiceOutline(wave, 10_000));
  expect(whole.map(([x]) => x)).toEqual([0, 250, 500, 750, 750, 500, 250, 0]);
  const highest = Math.min(...whole.map(([, y]) => y));
  expect(whole.filter(([, y]) => y === highest)).toEqual([[500, highest]]);
  // Half as long as the axis, and in its last quarter.
  expect(corners(voiceOutline(wave, 20_000)).map(([x]) => x)).toEqual([0, 125, 250, 375, 375, 250, 125, 0]);
  const part = { ...wave, fromMs: 7_500 };
  expect(corners(voiceOutline(part, 10_000)).map(([x]) => x)[2]).toBe(875);
  expect(voiceOutline(wave, 0)).toBe("");
  expect(voiceOutline({ ...wave, peaks: [] }, 10_000)).toBe("");
});
