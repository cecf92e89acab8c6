// What a stored line test says in short: the worst of both sides' figures, and the first thing to change.

import type { Preflight } from "../../../shared/gen/Preflight.ts";
import type { PreflightStepResult } from "../../../shared/gen/PreflightStepResult.ts";

/** The lower score of what browser and server measured; undefined when neither did. */
export function scoreOf({ report, line }: Preflight): number | undefined {
  const scores = [report?.figures.mos, line?.mos].filter((score) => typeof score === "number");
  return scores.length > 0 ? Math.min(...scores) : undefined;
}

/** Round trip in milliseconds: what the browser measured, else what the server did. */
export function rttOf({ report, line }: Preflight): number | undefined {
  return report?.figures.rttMs ?? line?.rttMs ?? undefined;
}

/** Steps that somebody should do something about, failed ones first. */
export function troublesOf({ report }: Preflight): PreflightStepResult[] {
  const steps = report?.steps ?? [];
  return [...steps.filter(({ result }) => result === "failed"), ...steps.filter(({ result }) => result === "warn")];
}

/** The code as it is read out: two groups of three. */
export const spoken = (code: string): string => `${code.slice(0, 3)} ${code.slice(3)}`;

/** The letters of a code out of what somebody typed; undefined while it is none. */
export function codeOf(text: string): string | undefined {
  const plain = text.replace(/[\s-]/g, "").toUpperCase();
  return /^[A-HJ-NP-Z2-9]{6}$/.test(plain) ? plain : undefined;
}
