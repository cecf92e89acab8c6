// Reading again and again: how often, what a failure and a change leave on the page, and when it ends.

import { expect, test, vi } from "vitest";
import { POLL_EVERY_MS, Polled } from "../../console/routes/admin/polled.ts";
import type { Reply } from "../../shared/api.ts";
import { later, pass, problem, settle } from "./fakes.ts";
import { watched } from "./polled.ts";

interface Count {
  n: number;
}
const [READ, CHANGE] = ["GET /api/count", "POST /api/count"] as const;

class Counter extends Polled<Count> {
  n: number | undefined;

  set(n: number): Promise<boolean> {
    return this.change(this.env.api.post<Count>("/api/count", { n }));
  }

  /** Where nothing is left is what was wanted. */
  drop(reply: Promise<Reply<undefined>>): Promise<boolean> {
    return this.changeBy(reply, ({ ok, status }) => ok || status === 404);
  }

  protected override take({ n }: Count): void {
    this.n = n;
  }
}

const all = watched(
  (env) => new Counter(env, "/api/count"),
  READ,
  () => ({ n: 1 }),
);

test("it is read at once, then two seconds after each answer, and never twice at a time", async () => {
  const reply = later<{ body: unknown }>();
  all.rest.on(READ, () => reply.promise);
  all.polled.open();
  all.polled.seen();
  await pass(3 * POLL_EVERY_MS);
  expect(all.rest.asked).toHaveLength(1);
  reply.resolve({ body: { n: 1 } });
  await pass(POLL_EVERY_MS - 1);
  expect(all.rest.asked).toHaveLength(1);
  await pass(1);
  expect(all.rest.asked).toHaveLength(2);
});

test("it rests while nobody looks, goes on at once when it is seen, and ends with the page", async () => {
  await all.open();
  all.visible = false;
  await pass(5 * POLL_EVERY_MS);
  expect(all.rest.asked).toHaveLength(1);
  all.visible = true;
  all.polled.seen();
  await settle();
  expect(all.rest.asked).toHaveLength(2);
  all.polled.close();
  await pass(5 * POLL_EVERY_MS);
  expect(all.rest.asked).toHaveLength(2);
});

test("an answer after the end of the page is not shown, and no timer is left", async () => {
  const reply = later<{ body: unknown }>();
  all.rest.on(READ, () => reply.promise);
  await all.open();
  all.polled.close();
  reply.resolve({ body: { n: 1 } });
  await settle();
  expect(all.polled.n).toBeUndefined();
  expect(vi.getTimerCount()).toBe(0);
});

test("a question that fails keeps what was there, says so, and is asked again", async () => {
  await all.open();
  const read = Date.now();
  all.rest.on(READ, problem(503, "database"));
  await pass(POLL_EVERY_MS);
  expect([all.polled.stale, all.polled.n, all.polled.readAt]).toEqual([true, 1, read]);
  all.rest.on(READ, () => ({ body: { n: 2 } }));
  await pass(POLL_EVERY_MS);
  expect([all.polled.stale, all.polled.n, all.polled.readAt]).toEqual([false, 2, Date.now()]);
});

test("a session that is over is told by a question and by a change, and nothing is asked any more", async () => {
  await all.open();
  all.rest.on(CHANGE, problem(401, "unauthenticated"));
  await all.polled.set(5);
  expect(all.signedOut).toBe(1);
  all.rest.on(READ, problem(401, "unauthenticated"));
  await pass(60_000);
  expect(all.signedOut).toBe(2);
  expect(all.rest.routes().filter((route) => route === READ)).toHaveLength(2);
});

test("a change shows the state that it led to; a refused one changes nothing and says so until one succeeds", async () => {
  await all.open();
  all.rest.on(CHANGE, problem(403, "forbidden"));
  expect(await all.polled.set(5)).toBe(false);
  expect([all.polled.failed, all.polled.n]).toEqual([true, 1]);
  all.rest.on(CHANGE, () => ({ body: { n: 5 } }));
  expect(await all.polled.set(5)).toBe(true);
  expect([all.polled.failed, all.polled.n]).toEqual([false, 5]);
});

test("a change whose answer is no state is judged by whoever made it", async () => {
  await all.open();
  const failure = (status: number) => Promise.resolve({ ok: false, status, code: "x" } as const);
  expect(await all.polled.drop(failure(503))).toBe(false);
  expect(all.polled.failed).toBe(true);
  expect(await all.polled.drop(failure(404))).toBe(true);
  expect([all.polled.failed, all.polled.n]).toEqual([false, 1]);
});

test("an answer from before a change does not undo it on the page", async () => {
  await all.open();
  const before = later<{ body: unknown }>();
  all.rest.on(READ, () => before.promise);
  await pass(POLL_EVERY_MS);
  all.rest.on(CHANGE, () => ({ body: { n: 5 } }));
  await all.polled.set(5);
  before.resolve({ body: { n: 1 } });
  await settle();
  expect(all.polled.n).toBe(5);
});
