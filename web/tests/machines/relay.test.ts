// The relay's page without a browser: how often it is read, and what a change shows.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Relay, RELAY_EVERY_MS } from "../../console/routes/admin/relay/relay.ts";
import { browserClock } from "../../shared/clock.ts";
import en from "../../shared/i18n/relay/en.json";
import sw from "../../shared/i18n/relay/sw.json";
import { relay as state } from "../fake/data.ts";
import { FakeRest, later, pass, problem, settle } from "./fakes.ts";

const READ = "GET /api/support/relay";

let rest: FakeRest;
let visible: boolean;
let signedOut: number;
let relay: Relay;
beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  rest = new FakeRest();
  rest.on(READ, () => ({ body: state() }));
  visible = true;
  signedOut = 0;
  relay = new Relay({
    api: rest.api,
    clock: browserClock,
    visible: () => visible,
    signedOut: () => void signedOut++,
  });
});
afterEach(() => {
  relay.close();
  vi.useRealTimers();
});

async function opened(): Promise<void> {
  relay.open();
  await settle();
}

describe("reading", () => {
  test("happens at once, then two seconds after each answer, and never twice at a time", async () => {
    const reply = later<{ body: unknown }>();
    rest.on(READ, () => reply.promise);
    relay.open();
    relay.seen();
    await pass(3 * RELAY_EVERY_MS);
    expect(rest.asked).toHaveLength(1);
    reply.resolve({ body: state() });
    await pass(RELAY_EVERY_MS);
    expect(rest.asked).toHaveLength(2);
  });

  test("rests while nobody looks and ends with the page", async () => {
    await opened();
    visible = false;
    await pass(5 * RELAY_EVERY_MS);
    expect(rest.asked).toHaveLength(1);
    visible = true;
    relay.seen();
    await settle();
    expect(rest.asked).toHaveLength(2);
    relay.close();
    await pass(5 * RELAY_EVERY_MS);
    expect(rest.asked).toHaveLength(2);
  });

  test("that fails keeps what was there and says so; a session that is over is told", async () => {
    await opened();
    rest.on(READ, problem(503, "database"));
    await pass(RELAY_EVERY_MS);
    expect([relay.stale, relay.state?.total]).toEqual([true, 6]);
    rest.on(READ, problem(401, "unauthenticated"));
    await pass(RELAY_EVERY_MS);
    expect(signedOut).toBe(1);
  });
});

describe("a change", () => {
  test("ends one line, which is gone from the list at once, also when it had ended before", async () => {
    await opened();
    rest.on("DELETE /api/support/relay/allocations/0-1-1", { status: 200 });
    rest.on("DELETE /api/support/relay/allocations/0-2-1", problem(404, "not_found"));
    for (const id of ["0-1-1", "0-2-1"]) expect(await relay.change({ kind: "kill", id }, ` seen ${id} `)).toBe(true);
    expect(rest.asked.slice(1).map((one) => one.body)).toEqual([{ reason: "seen 0-1-1" }, { reason: "seen 0-2-1" }]);
    expect(relay.state?.allocations.map((one) => one.id)).toEqual(["0-0-1", "0-3-1", "0-4-1", "0-5-1"]);
    expect([relay.state?.total, relay.failed]).toEqual([4, false]);
    // No reason is no body at all.
    expect(await relay.change({ kind: "kill", id: "0-1-1" }, "  ")).toBe(true);
    expect(rest.asked.at(-1)?.body).toBeUndefined();
  });

  test("shows the state that it led to, with the reason in the request", async () => {
    await opened();
    rest.on("POST /api/support/relay/drain", () => ({ body: state({ draining: true }) }));
    rest.on("DELETE /api/support/relay/drain", () => ({ body: state() }));
    rest.on("POST /api/support/relay/rotate", () => ({ body: state({ rotatedAt: "2026-11-24T10:00:00Z" }) }));
    await relay.change({ kind: "drain" }, " an update ");
    expect(relay.state?.draining).toBe(true);
    await relay.change({ kind: "serve" });
    expect(relay.state?.draining).toBe(false);
    await relay.change({ kind: "rotate" });
    expect(relay.state?.rotatedAt).toBe("2026-11-24T10:00:00Z");
    expect(rest.asked.slice(1).map((one) => one.body)).toEqual([{ reason: "an update" }, undefined, {}]);
  });

  test("that is refused changes nothing and says so until one succeeds", async () => {
    await opened();
    rest.on("POST /api/support/relay/rotate", problem(403, "forbidden"));
    expect(await relay.change({ kind: "rotate" })).toBe(false);
    expect([relay.failed, relay.state?.total]).toEqual([true, 6]);
    rest.on("POST /api/support/relay/rotate", () => ({ body: state() }));
    expect(await relay.change({ kind: "rotate" })).toBe(true);
    expect(relay.failed).toBe(false);
  });
});

test("both languages have the same keys", () => expect(Object.keys(sw)).toEqual(Object.keys(en)));
