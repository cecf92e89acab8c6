// A link to the line test without a browser: what is asked for, what is told, and what is copied.

import { beforeEach, expect, test, vi } from "vitest";
import { LineLink } from "../../console/routes/tests/link.ts";
import en from "../../shared/i18n/house/en.json";
import sw from "../../shared/i18n/house/sw.json";
import { FakeRest, later, problem } from "./fakes.ts";

const MAKE = "POST /api/support/preflight/link";
const MADE = { status: 201, body: { path: "/preflight#hll_one", expiresAt: "2026-11-25T10:00:00Z" } };

let rest: FakeRest;
let clipboard: string[];
let signedOut: number;
let link: LineLink;
beforeEach(() => {
  rest = new FakeRest();
  rest.on(MAKE, MADE);
  clipboard = [];
  signedOut = 0;
  link = new LineLink({
    api: rest.api,
    origin: "https://help.example",
    write: async (text) => void clipboard.push(text),
    signedOut: () => void signedOut++,
  });
});

test("a link is the whole address, with the note in the request", async () => {
  await link.make("  Amina, ticket 4711 ");
  expect(rest.asked).toEqual([{ route: MAKE, body: { note: "Amina, ticket 4711" } }]);
  expect(link.made).toEqual({
    address: "https://help.example/preflight#hll_one",
    expiresAt: "2026-11-25T10:00:00Z",
  });
  // No note is no field.
  await link.make("   ");
  expect(rest.asked.at(-1)?.body).toEqual({});
});

test("two presses make one link", async () => {
  const reply = later<typeof MADE>();
  rest.on(MAKE, () => reply.promise);
  const [first, second] = [link.make(""), link.make("")];
  expect(link.making).toBe(true);
  reply.resolve(MADE);
  await Promise.all([first, second]);
  expect([rest.asked.length, link.making]).toEqual([1, false]);
});

test("a refusal is said until a link is made, and a session that is over is told", async () => {
  rest.on(MAKE, problem(503, "database"));
  await link.make("");
  expect([link.failed, link.made, signedOut]).toEqual([true, undefined, 0]);
  rest.on(MAKE, MADE);
  await link.make("");
  expect([link.failed, link.made?.address]).toEqual([false, "https://help.example/preflight#hll_one"]);
  rest.on(MAKE, problem(401, "unauthenticated"));
  await link.make("");
  expect(signedOut).toBe(1);
});

test("the copy is said only when the browser took it, and not of another link", async () => {
  const redrawn = vi.fn();
  await link.copy();
  expect(clipboard).toEqual([]);
  await link.make("");
  link.changed.subscribe(redrawn);
  await link.copy();
  expect([link.copied, clipboard]).toEqual([true, ["https://help.example/preflight#hll_one"]]);
  expect(redrawn).toHaveBeenCalledTimes(1);
  link.again();
  expect([link.made, link.copied]).toEqual([undefined, undefined]);

  const refusing = new LineLink({
    api: rest.api,
    origin: "",
    write: () => Promise.reject(new Error()),
    signedOut() {},
  });
  await refusing.make("");
  await refusing.copy();
  expect(refusing.copied).toBe(false);
  // A link that is made anew was not copied yet.
  await refusing.make("");
  expect(refusing.copied).toBeUndefined();
});

test("both languages have the same keys", () => expect(Object.keys(sw)).toEqual(Object.keys(en)));
