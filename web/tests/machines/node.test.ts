// A node that is emptied, without a browser: how often it is read, what a change shows, and how much time is left.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { minutesOf, NODE_EVERY_MS, NodeDrain, stageOf } from "../../console/routes/admin/node/node.ts";
import { browserClock } from "../../shared/clock.ts";
import type { DrainState } from "../../shared/gen/DrainState.ts";
import { FakeRest, later, pass, problem, settle } from "./fakes.ts";

const [READ, DRAIN, SERVE] = ["GET", "POST", "DELETE"].map((method) => `${method} /api/support/node/drain`) as [
  string,
  string,
  string,
];
const state = (more: Partial<DrainState> = {}): DrainState => ({
  nodeId: "node-1",
  draining: false,
  calls: 7,
  waiting: 2,
  rooms: 5,
  oldestSeconds: 843,
  ...more,
});

let rest: FakeRest;
let visible: boolean;
let signedOut: number;
let node: NodeDrain;
beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  rest = new FakeRest();
  rest.on(READ, () => ({ body: state() }));
  visible = true;
  signedOut = 0;
  node = new NodeDrain({
    api: rest.api,
    clock: browserClock,
    visible: () => visible,
    signedOut: () => void signedOut++,
  });
});
afterEach(() => {
  node.close();
  vi.useRealTimers();
});

async function opened(): Promise<void> {
  node.open();
  await settle();
}

test("a node is read two seconds after each answer, rests while nobody looks, and ends with the page", async () => {
  await opened();
  await pass(NODE_EVERY_MS);
  expect(rest.asked).toHaveLength(2);
  visible = false;
  await pass(5 * NODE_EVERY_MS);
  expect(rest.asked).toHaveLength(2);
  visible = true;
  node.seen();
  await settle();
  expect(rest.asked).toHaveLength(3);
  node.close();
  await pass(5 * NODE_EVERY_MS);
  expect(rest.asked).toHaveLength(3);
});

test("a question that fails keeps what was there and says so; a session that is over is told", async () => {
  await opened();
  rest.on(READ, problem(503, "database"));
  await pass(NODE_EVERY_MS);
  expect([node.stale, node.state?.calls]).toEqual([true, 7]);
  rest.on(READ, problem(401, "unauthenticated"));
  await pass(NODE_EVERY_MS);
  expect(signedOut).toBe(1);
});

describe("a change", () => {
  test("asks for the deadline in seconds, with a reason when there is one, and shows what came of it", async () => {
    await opened();
    rest.on(DRAIN, () => ({ body: state({ draining: true, closesInSeconds: 900 }) }));
    rest.on(SERVE, () => ({ body: state() }));
    expect(await node.drain(15, "  an update ")).toBe(true);
    expect(node.state?.draining).toBe(true);
    await node.drain(1, " ");
    await node.serve();
    expect(node.state?.draining).toBe(false);
    expect(rest.asked.slice(1)).toEqual([
      { route: DRAIN, body: { seconds: 900, reason: "an update" } },
      { route: DRAIN, body: { seconds: 60 } },
      { route: SERVE, body: undefined },
    ]);
  });

  test("that is refused changes nothing and says so until one succeeds", async () => {
    await opened();
    rest.on(DRAIN, problem(403, "forbidden"));
    expect(await node.drain(15, "")).toBe(false);
    expect([node.failed, node.state?.draining]).toEqual([true, false]);
    rest.on(DRAIN, () => ({ body: state({ draining: true, closesInSeconds: 900 }) }));
    expect(await node.drain(15, "")).toBe(true);
    expect(node.failed).toBe(false);
  });

  test("is not undone on the page by an answer from before it", async () => {
    await opened();
    const before = later<{ body: unknown }>();
    rest.on(READ, () => before.promise);
    await pass(NODE_EVERY_MS);
    rest.on(DRAIN, () => ({ body: state({ draining: true, closesInSeconds: 900 }) }));
    await node.drain(15, "");
    before.resolve({ body: state() });
    await settle();
    expect(node.state?.draining).toBe(true);
  });
});

test("the time that is left runs on between two answers and never below nothing", async () => {
  await opened();
  expect(node.secondsLeft).toBeUndefined();
  rest.on(DRAIN, () => ({ body: state({ draining: true, closesInSeconds: 60 }) }));
  await node.drain(1, "");
  rest.on(READ, problem(503, "database"));
  await pass(20_000);
  expect(node.secondsLeft).toBe(40);
  await pass(60_000);
  expect(node.secondsLeft).toBe(0);
});

test("an answer of another node is said, because what is done now is done to that one", async () => {
  await opened();
  await pass(NODE_EVERY_MS);
  expect(node.moved).toBe(false);
  rest.on(READ, () => ({ body: state({ nodeId: "node-2" }) }));
  await pass(NODE_EVERY_MS);
  expect([node.moved, node.state?.nodeId]).toEqual([true, "node-2"]);
});

test("a node is empty when neither calls nor rooms are left", () => {
  expect(stageOf(state())).toBe("serving");
  expect(stageOf(state({ calls: 0, rooms: 0 }))).toBe("serving");
  expect(stageOf(state({ draining: true, calls: 0 }))).toBe("draining");
  expect(stageOf(state({ draining: true, rooms: 0 }))).toBe("draining");
  expect(stageOf(state({ draining: true, calls: 0, rooms: 0 }))).toBe("drained");
});

test("minutes are whole and within what the server takes", () => {
  expect(["1", " 15 ", "1440"].map(minutesOf)).toEqual([1, 15, 1440]);
  for (const wrong of ["0", "1441", "", "1.5", "-3", "soon", "1e2"]) expect(minutesOf(wrong), wrong).toBeUndefined();
});
