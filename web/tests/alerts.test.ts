// From the server's flags to a sentence with advice.

import { describe, expect, test } from "vitest";
import { alertsOf, ALERTS_MAX, FLAGS, troublesOf, TROUBLES, type Looker } from "../console/alerts.ts";
import type { LegQuality } from "../shared/gen/LegQuality.ts";
import type { Part } from "../shared/gen/Part.ts";
import en from "../shared/i18n/en.json";
import { heardOf } from "./fake/data.ts";

const legs = (flags: Partial<Record<Part, string[]>>): LegQuality[] =>
  heardOf(["customer", "partner", "agent"], "agent").legs.map((leg) => ({ ...leg, flags: flags[leg.part] ?? [] }));

const agent: Looker = { part: "agent", muted: [], parked: false };

describe("alerts", () => {
  test("are none while all is well, and none for flags of a newer server", () => {
    expect(alertsOf(legs({}), agent)).toEqual([]);
    expect(alertsOf(legs({ customer: ["unheard_of"] }), agent)).toEqual([]);
  });

  test.each([
    ["one_way", "one_way"],
    ["dead_microphone", "dead_mic"],
    ["clipping", "clipping"],
    ["high_rtt", "delay"],
    ["high_loss", "network"],
    ["loss_burst", "network"],
    ["high_jitter", "network"],
    ["low_mos", "network"],
  ])("%s of the customer is said as %s", (flag, trouble) => {
    expect(alertsOf(legs({ customer: [flag] }), agent)).toEqual([`alert.customer.${trouble}`]);
  });

  test("say the same of oneself and of a colleague, as each sees it", () => {
    const all = legs({ agent: ["clipping"] });
    expect(alertsOf(all, agent)).toEqual(["alert.self.clipping"]);
    expect(alertsOf(all, { ...agent, part: "partner" })).toEqual(["alert.colleague.clipping"]);
  });

  test("are the gravest few", () => {
    const all = legs({ customer: ["high_rtt", "low_mos", "clipping"], agent: ["one_way"] });
    expect(alertsOf(all, agent)).toEqual(["alert.self.one_way", "alert.customer.clipping"]);
    expect(ALERTS_MAX).toBe(2);
  });

  test("are not about a silence that was asked for", () => {
    const all = legs({ customer: ["dead_microphone", "dead_air"], agent: ["one_way"] });
    expect(alertsOf(all, { ...agent, parked: true, muted: ["agent"] })).toEqual([]);
    expect(alertsOf(all, { ...agent, muted: ["customer", "agent"] })).toEqual([]);
    expect(alertsOf(all, agent)).toEqual(["alert.self.one_way", "alert.customer.dead_mic"]);
  });

  test("say once that nobody speaks", () => {
    expect(alertsOf(legs({ customer: ["dead_air"], agent: ["dead_air"] }), agent)).toEqual(["alert.dead_air"]);
  });

  test("leave out legs that are down, and supervisors", () => {
    const down = legs({ customer: ["dead_microphone"] }).map((leg) => ({ ...leg, up: false }));
    expect(alertsOf(down, agent)).toEqual([]);
    const watcher: LegQuality = { ...legs({})[0]!, part: "supervisor", flags: ["one_way"] };
    expect(alertsOf([watcher], agent)).toEqual([]);
  });
});

test("every trouble and every flag has words", () => {
  const words: Record<string, string> = en.console;
  for (const who of ["self", "customer", "colleague"])
    for (const trouble of TROUBLES) expect(words[`alert.${who}.${trouble}`], `${who} ${trouble}`).toBeTruthy();
  for (const flag of FLAGS) expect(words[`flag.${flag}`], flag).toBeTruthy();
  expect(troublesOf({ flags: ["low_mos", "one_way"] })).toEqual(["one_way", "network"]);
});
