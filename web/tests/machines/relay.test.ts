// The relay's page without a browser: what a change asks for and shows.

import { describe, expect, test } from "vitest";
import { Relay } from "../../console/routes/admin/relay/relay.ts";
import en from "../../shared/i18n/relay/en.json";
import sw from "../../shared/i18n/relay/sw.json";
import { relay as state } from "../fake/data.ts";
import { problem } from "./fakes.ts";
import { watched } from "./polled.ts";

const READ = "GET /api/support/relay";

const all = watched((env) => new Relay(env), READ, state);

describe("a change", () => {
  test("ends one line, which is gone from the list at once, also when it had ended before", async () => {
    await all.open();
    all.rest.on("DELETE /api/support/relay/allocations/0-1-1", { status: 200 });
    all.rest.on("DELETE /api/support/relay/allocations/0-2-1", problem(404, "not_found"));
    for (const id of ["0-1-1", "0-2-1"])
      expect(await all.polled.perform({ kind: "kill", id }, ` seen ${id} `)).toBe(true);
    expect(all.rest.asked.slice(1).map((one) => one.body)).toEqual([
      { reason: "seen 0-1-1" },
      { reason: "seen 0-2-1" },
    ]);
    expect(all.polled.state?.allocations.map((one) => one.id)).toEqual(["0-0-1", "0-3-1", "0-4-1", "0-5-1"]);
    expect([all.polled.state?.total, all.polled.failed]).toEqual([4, false]);
    // No reason is no body at all.
    expect(await all.polled.perform({ kind: "kill", id: "0-1-1" }, "  ")).toBe(true);
    expect(all.rest.asked.at(-1)?.body).toBeUndefined();
  });

  test("shows the state that it led to, with the reason in the request", async () => {
    await all.open();
    all.rest.on("POST /api/support/relay/drain", () => ({ body: state({ draining: true }) }));
    all.rest.on("DELETE /api/support/relay/drain", () => ({ body: state() }));
    all.rest.on("POST /api/support/relay/rotate", () => ({ body: state({ rotatedAt: "2026-11-24T10:00:00Z" }) }));
    await all.polled.perform({ kind: "drain" }, " an update ");
    expect(all.polled.state?.draining).toBe(true);
    await all.polled.perform({ kind: "serve" });
    expect(all.polled.state?.draining).toBe(false);
    await all.polled.perform({ kind: "rotate" });
    expect(all.polled.state?.rotatedAt).toBe("2026-11-24T10:00:00Z");
    expect(all.rest.asked.slice(1).map((one) => one.body)).toEqual([{ reason: "an update" }, undefined, {}]);
  });

  test("that comes too soon says when it may come", async () => {
    await all.open();
    all.rest.on("POST /api/support/relay/rotate", problem(409, "too_soon", { "Retry-After": "97" }));
    expect(await all.polled.perform({ kind: "rotate" })).toBe(false);
    expect([all.polled.failed, all.polled.wait]).toEqual([true, 97]);
    all.rest.on("POST /api/support/relay/drain", problem(503, "database", { "Retry-After": "1" }));
    await all.polled.perform({ kind: "drain" });
    expect([all.polled.failed, all.polled.wait]).toEqual([true, undefined]);
  });
});

test("both languages have the same keys", () => expect(Object.keys(sw)).toEqual(Object.keys(en)));
