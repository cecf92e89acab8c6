// What is wrong with a call's sound, and what the person at the desk can do about it. The server raises the flags; here
// they become at most a few sentences, the gravest first.

import type { LegQuality } from "../shared/gen/LegQuality.ts";
import type { Part } from "../shared/gen/Part.ts";

/** Sentences shown at a time; a wall of them is read by nobody. */
export const ALERTS_MAX = 2;

/** Flags that say the same to a person. */
const GROUPS = {
  one_way: ["one_way"],
  dead_mic: ["dead_microphone"],
  clipping: ["clipping"],
  network: ["high_loss", "loss_burst", "high_jitter", "low_mos"],
  delay: ["high_rtt"],
} as const;
export type Trouble = keyof typeof GROUPS;
export const TROUBLES = Object.keys(GROUPS) as Trouble[];

/** Every flag that has words. */
export const FLAGS = [...Object.values(GROUPS).flat(), "dead_air"] as const;

/** Troubles that are none while somebody is muted or on hold: silence is what was asked for. */
const OF_SILENCE: readonly Trouble[] = ["one_way", "dead_mic"];

export type Alert = `alert.${"self" | "customer" | "colleague"}.${Trouble}` | "alert.dead_air";

export interface Looker {
  /** What the person who reads is to the call. */
  part: Part;
  muted: readonly Part[];
  /** The customer hears music. */
  parked: boolean;
}

const who = (part: Part, own: Part): "self" | "customer" | "colleague" =>
  part === own ? "self" : part === "customer" ? "customer" : "colleague";

/** Troubles of one leg, the gravest first. */
export const troublesOf = (leg: Pick<LegQuality, "flags">): Trouble[] =>
  TROUBLES.filter((name) => leg.flags.some((flag) => (GROUPS[name] as readonly string[]).includes(flag)));

/** Sentences for what the legs' flags say, the gravest first; a supervisor's own line is nobody's trouble. */
export function alertsOf(legs: readonly LegQuality[], { part, muted, parked }: Looker): Alert[] {
  const found: Alert[] = [];
  const shown = legs.filter((leg) => leg.up && (leg.part === part || leg.part !== "supervisor"));
  for (const trouble of TROUBLES) {
    for (const leg of shown) {
      const silent = muted.includes(leg.part) || (parked && leg.part === "customer");
      if (silent && OF_SILENCE.includes(trouble)) continue;
      if (troublesOf(leg).includes(trouble)) found.push(`alert.${who(leg.part, part)}.${trouble}`);
    }
  }
  const nobodySpeaks = shown.some((leg) => leg.flags.includes("dead_air"));
  if (nobodySpeaks && !parked && muted.length === 0) found.push("alert.dead_air");
  return found.slice(0, ALERTS_MAX);
}
