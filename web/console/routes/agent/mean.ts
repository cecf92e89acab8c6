// The mean of a leg's seconds.

import type { LegQuality } from "../../../shared/gen/LegQuality.ts";

/** The last of `rows` with the means of all; undefined when there is none. */
export function meanOf(rows: (LegQuality | undefined)[]): LegQuality | undefined {
  const last = rows.at(-1);
  if (!last) return undefined;
  const mean = (pick: (leg: LegQuality) => number | null | undefined): number => {
    const values = rows.map((leg) => leg && pick(leg)).filter((value) => typeof value === "number");
    return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const rttMs = last.rttMs == null ? {} : { rttMs: mean((leg) => leg.rttMs) };
  return {
    ...last,
    ...rttMs,
    mos: mean((leg) => leg.mos),
    loss: mean((leg) => leg.loss),
    jitterMs: mean((leg) => leg.jitterMs),
  };
}
