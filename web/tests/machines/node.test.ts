// A node that is emptied, without a browser: what a change asks for and shows, and how much time is left.

import { expect, test } from "vitest";
import { minutesOf, NodeDrain, stageOf } from "../../console/routes/admin/node/node.ts";
import { POLL_EVERY_MS } from "../../console/routes/admin/polled.ts";
import type { DrainState } from "../../shared/gen/DrainState.ts";
import { pass, problem } from "./fakes.ts";
import { watched } from "./polled.ts";

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

const all = watched((env) => new NodeDrain(env), READ, state);

test("a change asks for the deadline in seconds, with a reason when there is one, and shows what came of it", async () => {
  await all.open();
  all.rest.on(DRAIN, () => ({ body: state({ draining: true, closesInSeconds: 900 }) }));
  all.rest.on(SERVE, () => ({ body: state() }));
  expect(await all.polled.drain(15, "  an update ")).toBe(true);
  expect(all.polled.state?.draining).toBe(true);
  await all.polled.drain(1, " ");
  await all.polled.serve();
  expect(all.polled.state?.draining).toBe(false);
  expect(all.rest.asked.slice(1)).toEqual([
    { route: DRAIN, body: { seconds: 900, reason: "an update" } },
    { route: DRAIN, body: { seconds: 60 } },
    { route: SERVE, body: undefined },
  ]);
});

test("the time that is left runs on between two answers and never below nothing", async () => {
  await all.open();
  expect(all.polled.secondsLeft).toBeUndefined();
  all.rest.on(DRAIN, () => ({ body: state({ draining: true, closesInSeconds: 60 }) }));
  await all.polled.drain(1, "");
  all.rest.on(READ, problem(503, "database"));
  await pass(20_000);
  expect(all.polled.secondsLeft).toBe(40);
  await pass(60_000);
  expect(all.polled.secondsLeft).toBe(0);
});

test("an answer of another node is said, because what is done now is done to that one", async () => {
  await all.open();
  await pass(POLL_EVERY_MS);
  expect(all.polled.moved).toBe(false);
  all.rest.on(READ, () => ({ body: state({ nodeId: "node-2" }) }));
  await pass(POLL_EVERY_MS);
  expect([all.polled.moved, all.polled.state?.nodeId]).toEqual([true, "node-2"]);
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
