// The desk outlives its page: whoever looks something up during a call still has the call.

import { signal } from "@preact/signals";
import type { ComponentType } from "preact";

/** What the agent's route leaves behind while its desk is open. */
export interface Live {
  /** A call, an offer or a wrap-up in one line, for pages other than the desk; nothing while nothing is on. */
  Bar: ComponentType;
  close(): void;
}

export const live = signal<Live | undefined>(undefined);
