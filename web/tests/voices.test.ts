// Whoever is heard beside the two sides is heard with them: their players keep together.

import { expect, test } from "vitest";
import { APART_S_MAX, catchUp } from "../console/routes/qa/voices.tsx";

test("a player follows the recording once it is further away than anybody would bear, and not before", () => {
  expect(catchUp(12, 12)).toBeUndefined();
  expect(catchUp(12, 12 + APART_S_MAX * 0.99)).toBeUndefined();
  expect(catchUp(12, 12 - APART_S_MAX * 0.99)).toBeUndefined();
  expect(catchUp(12, 12 + APART_S_MAX * 1.01)).toBe(12);
  expect(catchUp(300, 0)).toBe(300);
});
