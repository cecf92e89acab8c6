// Whether the customer hears music instead of people.

import type { CallView } from "../shared/gen/CallView.ts";

/** True while the customer is on hold, or waits for the end of a talk between colleagues; nothing is recorded then. */
export const parked = (call: Pick<CallView, "heldSince" | "consult">): boolean =>
  Boolean(call.heldSince) || (call.consult != null && call.consult.state !== "conference");
