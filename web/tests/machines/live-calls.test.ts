// The list of live calls: how often it is read, and which rows it shows.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LIVE_EVERY_MS, LiveCalls } from "../../console/routes/admin/live-calls.ts";
import { flagsOf, shown, startOf, stateOf, worstOf, type Filter } from "../../console/routes/admin/rows.ts";
import { browserClock } from "../../shared/clock.ts";
import { at, consulted, liveCalls, liveId } from "../fake/data.ts";
import { FakeRest, later, pass, problem, settle } from "./fakes.ts";

const LIST = "GET /api/support/calls/live";

describe("reading", () => {
  let rest: FakeRest;
  let visible: boolean;
  let signedOut: number;
  let live: LiveCalls;
  beforeEach(() => {
    vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
    rest = new FakeRest();
    rest.on(LIST, () => ({ body: liveCalls() }));
    visible = true;
    signedOut = 0;
    live = new LiveCalls({
      api: rest.api,
      clock: browserClock,
      visible: () => visible,
      signedOut: () => void signedOut++,
    });
  });
  afterEach(() => {
    live.close();
    vi.useRealTimers();
  });

  test("happens at once, then every two seconds after an answer", async () => {
    live.open();
    await settle();
    expect(live.calls).toHaveLength(liveCalls().calls.length);
    await pass(LIVE_EVERY_MS - 1);
    expect(rest.asked).toHaveLength(1);
    await pass(1);
    expect(rest.asked).toHaveLength(2);
  });

  test("never twice at a time, however slow the server is", async () => {
    const reply = later<{ body: unknown }>();
    rest.on(LIST, () => reply.promise);
    live.open();
    live.seen();
    await pass(5 * LIVE_EVERY_MS);
    expect(rest.asked).toHaveLength(1);
    reply.resolve({ body: liveCalls() });
    await pass(LIVE_EVERY_MS);
    expect(rest.asked).toHaveLength(2);
  });

  test("stops while the page is hidden, and goes on at once when it is seen", async () => {
    live.open();
    await settle();
    visible = false;
    await pass(60_000);
    expect(rest.asked).toHaveLength(1);
    visible = true;
    live.seen();
    await settle();
    expect(rest.asked).toHaveLength(2);
    await pass(LIVE_EVERY_MS);
    expect(rest.asked).toHaveLength(3);
  });

  test("that fails keeps what was read, says so, and is tried again", async () => {
    live.open();
    await settle();
    rest.on(LIST, problem(503, "unavailable"));
    await pass(LIVE_EVERY_MS);
    expect(live.stale).toBe(true);
    expect(live.calls).not.toEqual([]);
    rest.on(LIST, { body: { ...liveCalls(), calls: [] } });
    await pass(LIVE_EVERY_MS);
    expect(live.stale).toBe(false);
    expect(live.calls).toEqual([]);
  });

  test("ends with the session", async () => {
    rest.on(LIST, problem(401, "unauthenticated"));
    live.open();
    await pass(60_000);
    expect(signedOut).toBe(1);
    expect(rest.asked).toHaveLength(1);
  });

  test("ends with the page, even while an answer is awaited", async () => {
    const reply = later<{ body: unknown }>();
    rest.on(LIST, () => reply.promise);
    live.open();
    await settle();
    live.close();
    reply.resolve({ body: liveCalls() });
    await settle();
    expect(live.calls).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("takes the time from the server", async () => {
    rest.on(LIST, { body: { calls: [], serverTime: at(90) } });
    live.open();
    await settle();
    await pass(1000);
    expect(live.now).toBe(Date.now() + 90_000);
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
