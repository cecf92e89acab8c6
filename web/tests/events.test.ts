// The words of a call's history: every event that the server writes has them, in both languages.

import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { eventDetail, eventIcon, eventIsBad, eventText, KINDS } from "../console/events.ts";
import { setLanguage } from "../console/words.ts";
import { offset } from "../shared/format.ts";
import type { CallEvent } from "../shared/gen/CallEvent.ts";
import en from "../shared/i18n/en.json";
import sw from "../shared/i18n/sw.json";

const source = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** Files of a crate, without their own tests. */
const crate = (folder: string): string[] =>
  readdirSync(new URL(`../../${folder}`, import.meta.url), { recursive: true })
    .map((name) => `${folder}/${String(name)}`)
    .filter((path) => path.endsWith(".rs"))
    .map((path) => source(path).split("#[cfg(test)]")[0] ?? "");

/** Named alike in the server's source, but no entries of a call's history. */
const OTHERS = [
  // Told to browsers only.
  /^call\.(changed|consulting|transferred|wrap_up)$/,
  /^offer\.ended$/,
  // The idempotency key of a request.
  /^call\.start$/,
  // Permissions.
  /^call\.(barge|monitor|takeover|whisper)$/,
  /^recording\.(pause|play)$/,
];

/** The kinds of events that the desk writes, read from its source. */
function written(): string[] {
  const text = [...crate("crates/desk/src"), ...crate("crates/call-model/src")].join("\n");
  const names = text.matchAll(/"((?:agent|call|leg|offer|quality|recording|wrapup)\.[a-z_]+)"/g);
  const kinds = new Set([...names].map(([, name]) => name!));
  return [...kinds].filter((kind) => !OTHERS.some((other) => other.test(kind))).sort();
}

/** The words of a Rust enum's `word` function. */
const words = (path: string, from: string): string[] => {
  const text = source(path);
  const body = text.slice(text.indexOf(from)).split("\n    }\n")[0] ?? "";
  return [...body.matchAll(/=> "([a-z_]+)"/g)].map(([, word]) => word!);
};

const event = (kind: string, data: Record<string, unknown> = {}, actor = "system:media"): CallEvent => ({
  seq: 1n,
  kind,
  at: "2026-11-24T10:00:00Z",
  actor,
  data,
});

describe("events of a call", () => {
  // Choosing a language marks the page with it.
  beforeAll(() => void vi.stubGlobal("document", { documentElement: { lang: "" } }));

  test("are those that the server writes", () => {
    expect([...KINDS].sort()).toEqual(written());
  });

  test.each(["en", "sw"] as const)("have words in %s", async (language) => {
    await setLanguage(language);
    for (const kind of KINDS) {
      expect(eventText({ kind }), kind).not.toContain(".");
      expect(eventIcon(kind).d, kind).not.toBe("");
    }
    await setLanguage("en");
  });

  test("that are newer than the pages are spelled out", () => {
    expect(eventText({ kind: "recording.access_revoked" })).toBe("Recording access revoked");
    expect(eventText({ kind: "" })).toBe("Something happened");
    expect(eventIcon("recording.access_revoked").d).not.toBe("");
  });

  test("say whose line it was and what the trouble was", () => {
    expect(eventDetail(event("quality.raised", { part: "customer", flag: "high_loss" }))).toBe("Customer, high loss");
    expect(eventDetail(event("leg.down", { part: "agent", cause: "ice_timeout" }))).toBe(
      "Agent, network did not connect",
    );
    expect(eventDetail(event("offer.rescinded", { agent: "Joyce Atieno", reason: "won_by_other" }))).toBe(
      "Joyce Atieno, taken by another agent",
    );
    expect(eventDetail(event("call.muted", { part: "customer", own: true }, "customer"))).toBe(
      "Customer, by own choice",
    );
    expect(eventDetail(event("recording.degraded", { packets: 12 }))).toBe("12 packets");
    expect(eventDetail(event("call.consult_ended", { to: "Brian Otieno", reason: "rejected" }))).toBe(
      "Brian Otieno, colleague declined",
    );
    const absent = { part: "supervisor", mode: null, supervisor: "Esther Wanjiru", reason: "never_came" };
    expect(eventDetail(event("call.supervision_ended", absent))).toBe("Esther Wanjiru, never connected");
    const announced = (heardBy: string[], mode: string): string =>
      eventDetail(event("call.supervision_announced", { part: "supervisor", mode, heardBy }));
    expect(announced(["agent"], "monitor")).toBe("listens, heard by Agent");
    expect(announced(["customer", "agent"], "barge")).toBe("joined, heard by Customer, Agent");
    const missed = event("leg.voices_missed", { part: "customer", unheard: ["partner", "supervisor"] });
    expect(eventDetail(missed)).toBe("Customer, did not hear Colleague, Supervisor");
    expect(eventIsBad(missed)).toBe(true);
  });

  test("name the member of staff who did it, and neither the customer nor a part of the server", () => {
    expect(eventDetail(event("call.accepted", {}, "staff:Joyce Atieno"))).toBe("Joyce Atieno");
    expect(eventDetail(event("call.initiated", {}, "customer"))).toBe("");
    expect(eventDetail(event("call.queued", {}, "system:desk"))).toBe("");
  });

  test("earn colour only when something went wrong", () => {
    expect(eventIsBad(event("leg.down", { cause: "lost" }))).toBe(true);
    expect(eventIsBad(event("leg.down", { cause: "hangup" }))).toBe(false);
    expect(eventIsBad(event("quality.raised"))).toBe(true);
    expect(eventIsBad(event("call.completed"))).toBe(false);
  });

  test("stand before or after the answer, and what is less than a second before it stands at it", () => {
    expect([-136_000, -999, 0, 318_400].map(offset)).toEqual(["−2:16", "0:00", "0:00", "5:18"]);
  });

  test("have words for every cause and flag of the server, except an ordinary hang-up", () => {
    const causes = words("crates/ports/src/media.rs", "Cause::HangUp =>").filter((word) => word !== "hangup");
    const flags = words("crates/ports/src/media.rs", "Flag::HighRtt =>");
    expect(causes.length, "causes found").toBeGreaterThan(5);
    expect(flags.length, "flags found").toBeGreaterThan(8);
    for (const cause of causes) expect(eventDetail(event("leg.down", { cause })), cause).not.toBe("");
    for (const flag of flags) expect(eventDetail(event("quality.raised", { flag })), flag).not.toBe("");
    const ends = words("crates/call-model/src/consult.rs", "Why::Cancelled =>");
    expect(ends.length, "ends of a consultation found").toBeGreaterThan(7);
    for (const reason of ends) expect(eventDetail(event("call.consult_ended", { reason })), reason).not.toBe("");
  });
});

test("both languages have the same keys", () => {
  const keys = (table: object): string[] =>
    Object.entries(table).flatMap(([part, texts]) => Object.keys(texts as object).map((key) => `${part} ${key}`));
  expect(keys(sw)).toEqual(keys(en));
});
