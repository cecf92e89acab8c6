// Events of a call in words: the agent's story and the review's list say the same.

import {
  alert,
  check,
  clock,
  headset,
  lock,
  micOff,
  offline,
  pause,
  phone,
  play,
  record,
  refresh,
  shield,
  signal,
  user,
} from "../shared/design/icons.ts";
import type { CallEvent } from "../shared/gen/CallEvent.ts";
import { t, type Key } from "./words.ts";

/** Every event that the server writes into a call's history, and its icon. A test compares it with the server's source. */
const ICONS = {
  "agent.rona": user,
  "call.abandoned": phone,
  "call.accepted": headset,
  "call.answered": phone,
  "call.completed": phone,
  "call.consult_answered": headset,
  "call.consult_ended": headset,
  "call.consult_merged": headset,
  "call.consult_started": headset,
  "call.failed": alert,
  "call.held": pause,
  "call.initiated": phone,
  "call.muted": micOff,
  "call.offered": headset,
  "call.owner_changed": user,
  "call.queued": clock,
  "call.requeued": refresh,
  "call.resumed": play,
  "call.ringing": headset,
  "call.shielded": lock,
  "call.supervision_announced": shield,
  "call.supervision_began": shield,
  "call.supervision_changed": shield,
  "call.supervision_ended": shield,
  "call.taken_over": shield,
  "call.unmuted": play,
  "call.unshielded": lock,
  "leg.away": offline,
  "leg.back": refresh,
  "leg.down": signal,
  "leg.dtmf": phone,
  "leg.migrated": refresh,
  "leg.path": signal,
  "leg.up": signal,
  "leg.uplink_resumed": play,
  "leg.uplink_stalled": micOff,
  "leg.voices_back": play,
  "leg.voices_missed": micOff,
  "offer.failed": offline,
  "offer.rejected": headset,
  "offer.rescinded": headset,
  "offer.timeout": headset,
  "quality.cleared": signal,
  "quality.raised": signal,
  "recording.degraded": record,
  "recording.ended": record,
  "recording.stored": shield,
  "recording.unavailable": record,
  "wrapup.ended": check,
} as const;

type Kind = keyof typeof ICONS;
export const KINDS = Object.keys(ICONS) as Kind[];

const known = (kind: string): Kind | undefined => KINDS.find((one) => one === kind);

export interface EventIcon {
  d: string;
  /** The receiver lies down: somebody has hung up. */
  turned: boolean;
}

export function eventIcon(kind: string): EventIcon {
  const own = known(kind);
  return { d: own ? ICONS[own] : clock, turned: kind === "call.completed" || kind === "call.abandoned" };
}

/** What happened. An event of a newer server than these pages has no words: its name is shown as a sentence. */
export function eventText(event: Pick<CallEvent, "kind">): string {
  const own = known(event.kind);
  return own ? t(`event.${own}`) : spelled(event.kind);
}

/** `recording.access_revoked` as "Recording access revoked". */
function spelled(kind: string): string {
  const text = kind.replace(/[._]+/g, " ").trim();
  return text ? text.charAt(0).toUpperCase() + text.slice(1) : t("event.unknown");
}

/** Facts of an event that have words, in the order in which they are said. */
const FACTS = {
  flag: [
    "clipping", "dead_air", "dead_microphone", "high_jitter", "high_loss", "high_rtt", "loss_burst", "low_mos", "one_way",
  ], // prettier-ignore
  cause: [
    "drain", "dtls_failed", "dtls_timeout", "fingerprint", "ice_timeout", "kicked", "limit", "lost", "panic", "replaced",
  ], // prettier-ignore
  reason: [
    "agent_lost", "call_ended", "cancelled", "customer_left", "never_came", "partner_left", "partner_lost", "rejected",
    "role_withdrawn", "taken_over", "timeout", "won_by_other",
  ], // prettier-ignore
  mode: ["barge", "monitor", "whisper"],
  path: ["direct", "turn-tcp", "turn-tls", "turn-udp"],
} as const;

const PARTIES = new Map<unknown, Key>([
  ["agent", "agent"],
  ["customer", "customer"],
  ["partner", "colleague"],
  ["supervisor", "role.supervisor"],
]);

/** Participants by what they are to the call; empty for none and for what is no list. */
const parties = (told: unknown): string =>
  (Array.isArray(told) ? told : [])
    .flatMap((part) => {
      const word = PARTIES.get(part);
      return word ? [t(word)] : [];
    })
    .join(", ");

/** What is worth knowing beside the name: whose line, which trouble, why. Empty when the name says it all. */
export function eventDetail(event: CallEvent): string {
  const { data } = event;
  const words = [data["part"] === "customer" || data["part"] === "agent" ? t(data["part"]) : ""];
  for (const name of [data["agent"], data["to"], data["supervisor"]]) if (typeof name === "string") words.push(name);
  for (const [fact, texts] of Object.entries(FACTS)) {
    const found = texts.find((one) => one === data[fact]);
    if (found) words.push(t(`event.${fact}.${found}` as Key));
  }
  if (data["own"] === true) words.push(t("event.own"));
  const heardBy = parties(data["heardBy"]);
  if (heardBy) words.push(t("event.heard", { who: heardBy }));
  const unheard = parties(data["unheard"]);
  if (unheard) words.push(t("event.unheard", { who: unheard }));
  if (typeof data["packets"] === "number") words.push(t("event.packets", { n: data["packets"] }));
  return words.filter(Boolean).join(", ") || actor(event);
}

/** Who did it, where it was staff; the customer's own events name him already, and the system is not named. */
const actor = (event: CallEvent): string =>
  event.actor.startsWith("staff:") ? event.actor.slice("staff:".length) : "";

/** Causes of a closed line that somebody wanted. */
const WANTED = ["hangup", "replaced", "drain"];
const BAD: readonly string[] = [
  "call.failed",
  "call.requeued",
  "leg.away",
  "leg.uplink_stalled",
  "leg.voices_missed",
  "offer.failed",
  "quality.raised",
  "recording.degraded",
  "recording.unavailable",
];

/** Trouble, which earns colour. */
export const eventIsBad = ({ kind, data }: Pick<CallEvent, "kind" | "data">): boolean =>
  BAD.includes(kind) || (kind === "leg.down" && typeof data["cause"] === "string" && !WANTED.includes(data["cause"]));
