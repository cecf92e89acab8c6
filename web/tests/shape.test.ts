// The ten-second table of a call's quality.

import { expect, test } from "vitest";
import { rowsOf, type Sample } from "../console/routes/qa/shape.ts";

const sample = (atMs: number, mos: number): Sample => ({ atMs, mos, loss: 0, jitterMs: 0, rttMs: undefined });

test("what was measured just before the answer is of the first row", () => {
  const rows = rowsOf([sample(-400, 4), sample(600, 4.4), sample(9_999, 4.4), sample(10_000, 3)]);
  expect(rows.map(({ fromMs }) => fromMs)).toEqual([0, 10_000]);
  expect(rows[0]?.mos).toBeCloseTo((4 + 4.4 + 4.4) / 3);
});
