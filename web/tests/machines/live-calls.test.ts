// The list of live calls: by whose clock it goes, and which rows it shows.

import { describe, expect, test } from "vitest";
import { LiveCalls } from "../../console/routes/admin/live-calls.ts";
import { POLL_EVERY_MS } from "../../console/routes/admin/polled.ts";
import { flagsOf, shown, startOf, stateOf, worstOf, type Filter } from "../../console/routes/admin/rows.ts";
import { at, consulted, liveCalls, liveId } from "../fake/data.ts";
import { pass } from "./fakes.ts";
import { watched } from "./polled.ts";

describe("reading", () => {
  const all = watched((env) => new LiveCalls(env), "GET /api/support/calls/live", liveCalls);

  test("shows the calls as they were by the server's clock, and goes by it", async () => {
    await all.open();
    expect(all.polled.calls).toHaveLength(liveCalls().calls.length);
    const serverTime = at(90);
    all.rest.on("GET /api/support/calls/live", { body: { calls: [], serverTime } });
    await pass(POLL_EVERY_MS);
    expect([all.polled.calls, all.polled.asOf]).toEqual([[], Date.parse(serverTime)]);
    await pass(1000);
    expect(all.polled.now - all.polled.asOf!).toBe(1000);
  });
});

describe("rows", () => {
  const { calls } = liveCalls();
  const all: Filter = { words: "", queue: "", state: "", order: "longest" };
  const names = (filter: Partial<Filter>): string[] =>
    shown(calls, { ...all, ...filter }).map(({ customerName }) => customerName.split(" ")[0]!);

  test("say in one word what goes on", () => {
    expect(calls.map(stateOf)).toEqual(["talking", "held", "talking", "consult", "talking", "connecting", "waiting"]);
    expect(stateOf({ ...calls[0]!, consult: consulted("conference").consult! })).toBe("conference");
    expect(stateOf({ ...calls[0]!, status: "ringing" })).toBe("ringing");
  });

  test("count from the answer, and before it from the wait", () => {
    expect(startOf(calls[0]!)).toBe(Date.parse(calls[0]!.answeredAt!));
    expect(startOf(calls[6]!)).toBe(Date.parse(calls[6]!.enqueuedAt!));
  });

  test("know the worst of both sides, and no score where nothing was measured", () => {
    expect(worstOf(calls[2]!)).toBe(2.4);
    expect(worstOf(calls[5]!)).toBeUndefined();
    const [customer, agent] = calls[0]!.legs;
    const far = {
      legs: [
        { ...customer!, mos: 4.1, mosEndToEnd: 3.3 },
        { ...agent!, mos: 4.2 },
      ],
    };
    expect(worstOf(far)).toBe(3.3);
  });

  test("name each trouble once, the gravest first, and none of a supervisor's", () => {
    expect(flagsOf(calls[2]!)).toEqual(["dead_microphone", "high_loss"]);
    const watched = { legs: [{ ...calls[2]!.legs[0]!, part: "supervisor" as const }] };
    expect(flagsOf(watched)).toEqual([]);
    expect(worstOf(watched)).toBeUndefined();
  });

  test("are found by customer or agent", () => {
    expect(names({ words: " grace " })).toEqual(["Grace"]);
    expect(names({ words: "halima" })).toEqual(["Amina", "Salma"]);
    expect(names({ words: "nobody" })).toEqual([]);
  });

  test("are those of a queue, a state, or with trouble", () => {
    expect(names({ queue: "Loans" })).toEqual(["Grace", "Elijah"]);
    expect(names({ state: "held" })).toEqual(["Grace"]);
    expect(names({ state: "trouble" })).toEqual(["Patrick", "Salma"]);
  });

  test("stand longest first or worst first, and what is not measured stands last", () => {
    expect(names({})[0]).toBe("Amina");
    expect(names({ order: "worst" }).slice(0, 2)).toEqual(["Patrick", "Salma"]);
    expect(names({ order: "worst" }).slice(-2)).toEqual(["Elijah", "Zawadi"]);
    expect(calls.map(({ callId }) => callId)).toEqual(Array.from({ length: 7 }, (_, n) => liveId(n)));
  });
});
