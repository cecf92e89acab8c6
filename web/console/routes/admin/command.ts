// What may be done to a call of others, and by whom; the server decides it again. Pure but for the one request.

import type { Api } from "../../../shared/api.ts";
import type { CallView } from "../../../shared/gen/CallView.ts";
import type { HangUp } from "../../../shared/gen/HangUp.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import { hasSound } from "./rows.ts";

export type Command = "hold" | "resume" | "hangup";

/**
 * The commands that `staffId` may give about `call`. None about his own: the desk has those. None either where he is
 * asked or takes part as a colleague, for there hanging up means that he leaves.
 */
export function commandsFor(
  call: Pick<LiveCall, "status" | "agentId" | "heldSince" | "consult">,
  staffId: string | undefined,
  may: (permission: string) => boolean,
): Command[] {
  if (call.agentId === staffId || call.consult?.staffId === staffId) return [];
  // While colleagues talk apart the customer hears music anyway.
  const apart = call.consult != null && call.consult.state !== "conference";
  const holds = may("contact.reassign") && hasSound(call) && !apart;
  return [
    ...(holds ? ([call.heldSince ? "resume" : "hold"] as const) : []),
    ...(may("call.takeover") ? (["hangup"] as const) : []),
  ];
}

/** Gives a command; false when the server refused. Twice is once, and a call that is over is what was wanted. */
export async function give(api: Api, callId: string, command: Command, reason = ""): Promise<boolean> {
  const body: HangUp = reason.trim() ? { reason: reason.trim() } : {};
  const reply = await api.post<CallView>(`/api/support/call/${callId}/${command}`, body);
  return reply.ok;
}
