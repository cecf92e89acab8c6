// Events of a call in words: the agent's story and the review's list say the same.

import { alert, clock, headset, home, micOff, offline, phone, record, refresh, user } from "../shared/design/icons.ts";
import type { CallEvent } from "../shared/gen/CallEvent.ts";
import { t, type Key } from "./words.ts";

const ICONS: Record<string, string> = {
  "call.initiated": phone,
  "call.queued": clock,
  "call.offered": headset,
  "call.ringing": headset,
  "call.accepted": phone,
  "call.answered": phone,
  "call.requeued": refresh,
  "call.completed": home,
  "call.abandoned": user,
  "call.failed": alert,
  "recording.started": record,
  "recording.stopped": record,
  "leg.lost": offline,
  "leg.muted": micOff,
};

const TEXTS = [
  "call.initiated",
  "call.queued",
  "call.offered",
  "call.ringing",
  "call.accepted",
  "call.answered",
  "call.requeued",
  "call.completed",
  "call.abandoned",
  "call.failed",
  "offer.rejected",
  "offer.timeout",
  "offer.rescinded",
  "offer.failed",
  "agent.rona",
  "recording.started",
  "recording.stopped",
  "recording.stored",
] as const;

export const eventIcon = (kind: string): string => ICONS[kind] ?? (kind.startsWith("offer.") ? headset : clock);

/** What happened; an event without words of its own shows its name. */
export function eventText(event: CallEvent): string {
  const known = TEXTS.find((one) => one === event.kind);
  return known ? t(`event.${known}` as Key) : event.kind;
}

/** Who did it, where it was a person; the system is not named. */
export function eventActor(event: CallEvent): string {
  if (event.actor.startsWith("staff:")) return event.actor.slice("staff:".length);
  return event.actor === "customer" ? t("customer") : "";
}

export const eventIsBad = (kind: string): boolean =>
  kind === "call.failed" || kind === "leg.lost" || kind === "offer.failed" || kind === "call.requeued";
