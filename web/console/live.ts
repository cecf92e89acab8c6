// The desk outlives its page: whoever looks something up during a call still has the call.

import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import type { CallView } from "../shared/gen/CallView.ts";

/** What the agent's route leaves behind while its desk is open. */
export interface Live {
  /** A call, an offer or a wrap-up in one line, for pages other than the desk; nothing while nothing is on. */
  Bar: ComponentType;
  /** True while the agent is on a call or answers one. */
  busy(): boolean;
  /** A call became this agent's without an offer. */
  adopt(call: CallView): void;
  close(): void;
}

export const live = signal<Live | undefined>(undefined);

/** A call that is listened to: its bar stands under every page until it is left. */
export const watching = signal<Pick<Live, "Bar" | "close"> | undefined>(undefined);
