// During a rolling update the pages may talk to a node of the version before: what it does not tell is as it was then.

import type { CallView } from "../shared/gen/CallView.ts";
import type { LegQuality } from "../shared/gen/LegQuality.ts";
import type { Part } from "../shared/gen/Part.ts";
import type { Shielded } from "../shared/gen/Shielded.ts";

type Older<T, K extends keyof T> = Omit<T, K> & Partial<Pick<T, K>>;

/** Nobody is muted by a server that cannot mute. */
export const wholeCall = (call: Older<CallView, "muted">): CallView => ({ ...call, muted: call.muted ?? [] });

/** No keys are kept back by a server that cannot shield them. */
export const shieldOf = (call: CallView): Shielded => call.shielded ?? "off";

/** Whether somebody else has muted the party, who may have muted himself as well. An older server does not say both. */
export const mutedByOthers = (call: Pick<CallView, "muted" | "mutedSelf" | "mutedByOthers">, part: Part): boolean =>
  (call.mutedByOthers ?? call.muted.filter((one) => !call.mutedSelf?.includes(one))).includes(part);

/** Nothing is known of who speaks, and nothing is wrong. */
export const wholeLegs = (legs: readonly Older<LegQuality, "speaking" | "flags">[]): LegQuality[] =>
  legs.map((leg) => ({ ...leg, speaking: leg.speaking ?? false, flags: leg.flags ?? [] }));
