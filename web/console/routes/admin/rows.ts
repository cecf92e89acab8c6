// What a row of the live calls says, and which rows in which order. Pure.

import type { LegQuality } from "../../../shared/gen/LegQuality.ts";
import type { LiveCall } from "../../../shared/gen/LiveCall.ts";
import type { Part } from "../../../shared/gen/Part.ts";
import { FLAGS } from "../../alerts.ts";

export const STATES = ["talking", "held", "consult", "conference", "connecting", "ringing", "waiting"] as const;
export type State = (typeof STATES)[number];

/** What goes on in a call, in one word. */
export function stateOf(call: Pick<LiveCall, "status" | "heldSince" | "consult">): State {
  switch (call.status) {
    case "initiated":
    case "queued":
      return "waiting";
    case "ringing":
      return "ringing";
    case "connecting":
      return "connecting";
    case "answered":
    case "completed":
    case "abandoned":
    case "failed":
      if (call.consult) return call.consult.state === "conference" ? "conference" : "consult";
      return call.heldSince ? "held" : "talking";
  }
}

/** Only a call in which people talk can be listened to. */
export const hasSound = (call: Pick<LiveCall, "status">): boolean => call.status === "answered";

/** From when the time in the row counts: since the answer, and before it since the customer waits. */
export const startOf = (call: LiveCall): number => Date.parse(call.answeredAt ?? call.enqueuedAt ?? call.createdAt);

/** The leg of a part that is up. */
export const legOf = (call: Pick<LiveCall, "legs">, part: Part): LegQuality | undefined =>
  call.legs.find((leg) => leg.part === part && leg.up);

/** Legs whose sound a supervisor cares for: his own is not among them. */
export const voices = (call: Pick<LiveCall, "legs">): LegQuality[] =>
  call.legs.filter((leg) => leg.up && leg.part !== "supervisor");

/** The worst score of what is sent in a call, and of what is heard over both ways; undefined while nothing was measured. */
export function worstOf(call: Pick<LiveCall, "legs">): number | undefined {
  const scores = voices(call).flatMap((leg) => [leg.mos, leg.mosEndToEnd ?? leg.mos]);
  return scores.length > 0 ? Math.min(...scores) : undefined;
}

export type Flag = (typeof FLAGS)[number];

/** The flags of a call that have words, each once, in the order of their gravity. */
export const flagsOf = (call: Pick<LiveCall, "legs">): Flag[] =>
  FLAGS.filter((flag) => voices(call).some((leg) => leg.flags.includes(flag)));

export interface Filter {
  words: string;
  queue: string;
  state: State | "trouble" | "";
  order: "longest" | "worst";
}

/** A score above the best, so that what is not measured stands last. */
const UNMEASURED = 9;

/** The rows that a filter lets through, in its order; equal ones keep the server's, so that nothing jumps. */
export function shown(calls: readonly LiveCall[], { words, queue, state, order }: Filter): LiveCall[] {
  const wish = words.trim().toLowerCase();
  const named = (call: LiveCall): boolean =>
    [call.customerName, call.agentName ?? ""].some((name) => name.toLowerCase().includes(wish));
  const fits = (call: LiveCall): boolean =>
    !state || (state === "trouble" ? flagsOf(call).length > 0 : stateOf(call) === state);
  const rows = calls.filter((call) => named(call) && (!queue || call.queue === queue) && fits(call));
  return order === "longest"
    ? rows.sort((a, b) => startOf(a) - startOf(b))
    : rows.sort((a, b) => (worstOf(a) ?? UNMEASURED) - (worstOf(b) ?? UNMEASURED));
}
