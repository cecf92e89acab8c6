// The signalling connection against a socket that the test holds: connecting, repair, resuming, giving up.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { browserClock } from "../../shared/clock.ts";
import type { Resume } from "../../shared/gen/Resume.ts";
import { backoff, REQUEST_TIMEOUT_MS, Signal, SILENCE_MS, TRIES_MAX } from "../../shared/signal.ts";
import { later, Network, pass, settle } from "./fakes.ts";

let network: Network;
let signal: Signal;
let remembered: (Resume | undefined)[];
let heard: string[];
let chance: number;
let token: () => Promise<string | undefined>;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  network = new Network();
  remembered = [];
  heard = [];
  chance = 0.5;
  token = async () => "ticket";
  signal = new Signal({
    url: () => "wss://help.example/ws",
    connect: network.connect,
    clock: browserClock,
    random: () => chance,
    token: () => token(),
    remember: (resume) => remembered.push(resume),
  });
  signal.onmessage = (type) => heard.push(type);
});
afterEach(() => {
  vi.useRealTimers();
});

async function connected(): Promise<void> {
  signal.open();
  await network.now.open();
  await network.now.welcome({ seq: 4 });
}

/** The wait that is announced, milliseconds. */
const wait = (): number => (signal.state.at === "waiting" ? signal.state.until - Date.now() : NaN);

describe("connecting", () => {
  test("says hello with the ticket and is open once it is welcomed", async () => {
    const welcomed = vi.fn();
    signal.onwelcome = welcomed;
    signal.open();
    expect(signal.state).toEqual({ at: "connecting", attempt: 1 });
    await network.now.open();
    expect(network.now.said).toEqual([{ v: 1, id: "hello", type: "hello", data: { token: "ticket" } }]);
    expect(signal.state.at).toBe("connecting");
    await network.now.welcome({ seq: 4 });
    expect(signal.state).toEqual({ at: "open" });
    expect(signal.resume).toEqual({ session: "secret", lastSeq: 4 });
    expect(remembered.at(-1)).toEqual({ session: "secret", lastSeq: 4 });
    expect(welcomed).toHaveBeenCalledOnce();
  });

  test("without a ticket the cookie speaks: hello is empty", async () => {
    token = async () => undefined;
    signal.open();
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({});
  });

  test("measures how far the server's clock is ahead", async () => {
    signal.open();
    await network.now.open();
    const serverTime = new Date(Date.now() + 90_000).toISOString();
    network.now.say("welcome", { session: "s", resumed: false, serverTime });
    expect(signal.clockOffset).toBe(90_000);
  });

  test("a ticket that comes after the socket was replaced is not said over the new one", async () => {
    const slow = later<string>();
    token = () => slow.promise;
    signal.open();
    const first = network.now;
    await first.open();
    signal.drop();
    token = async () => "second";
    await pass(1000);
    slow.resolve("first");
    await network.now.open();
    expect(first.said).toEqual([]);
    expect(network.now.all("hello").map((one) => one.data["token"])).toEqual(["second"]);
  });
});

describe("back-off", () => {
  test("the first try again comes within a second, later ones ever later, each times 0.5 to 1.5", () => {
    expect(backoff(1, 0)).toBe(0);
    expect(backoff(1, 1)).toBe(1000);
    expect([2, 3, 10].map((n) => backoff(n, 0))).toEqual([1500, 2500, 9500]);
    expect([2, 3, 10].map((n) => backoff(n, 1))).toEqual([4500, 7500, 28_500]);
  });

  test("uses the chance it is handed", async () => {
    await connected();
    chance = 0.25;
    network.now.fail();
    expect(wait()).toBe(250);
    await pass(249);
    expect(network.sockets).toHaveLength(1);
    await pass(1);
    expect(network.sockets).toHaveLength(2);
    network.now.fail();
    expect(wait()).toBe(backoff(2, 0.25));
  });

  test.each([
    ["closes at once", (): void => network.now.fail()],
    ["never answers", (): void => void vi.advanceTimersByTime(REQUEST_TIMEOUT_MS)],
  ])("a server that %s is tried ten times with growing waits, then given up", (_, fails) => {
    signal.open();
    const waits: number[] = [];
    for (let n = 1; n < TRIES_MAX; n++) {
      fails();
      waits.push(wait());
      vi.advanceTimersByTime(wait());
    }
    expect(waits).toEqual([3, 5, 7, 9, 11, 13, 15, 17, 19].map((seconds) => seconds * 1000));
    expect(network.sockets).toHaveLength(TRIES_MAX);
    expect(signal.state).toEqual({ at: "connecting", attempt: TRIES_MAX });
    fails();
    expect(signal.state).toEqual({ at: "closed", code: "ws_unreachable" });
    vi.advanceTimersByTime(600_000);
    expect(network.sockets).toHaveLength(TRIES_MAX);
  });

  test("an address that no socket can be made of is given up too", async () => {
    network.broken = true;
    signal.open();
    await pass(200_000);
    expect(signal.state).toEqual({ at: "closed", code: "ws_unreachable" });
  });

  test("a connection that was open begins to count anew", async () => {
    signal.open();
    network.now.fail();
    vi.advanceTimersByTime(wait());
    await network.now.open();
    await network.now.welcome();
    network.now.fail();
    expect(signal.state).toMatchObject({ at: "waiting", attempt: 1 });
  });

  test("the network coming back ends the wait, also after giving up, but never a refusal", async () => {
    await connected();
    network.now.fail();
    signal.retryNow();
    expect(network.sockets).toHaveLength(2);
    await pass(900);
    expect(network.sockets).toHaveLength(2);
    while (signal.state.at !== "closed") {
      network.now.fail();
      await pass(60_000);
    }
    signal.retryNow();
    expect(signal.state).toEqual({ at: "connecting", attempt: 1 });
    network.now.fail(4403);
    const tried = network.sockets.length;
    signal.retryNow();
    expect(network.sockets).toHaveLength(tried);
  });
});

describe("resuming", () => {
  test("goes on by session and the last number that was heard, without a ticket", async () => {
    await connected();
    network.now.say("call.queued", {}, { seq: 5 });
    network.now.say("call.ringing", {}, { seq: 6 });
    network.now.say("call.quality", {}, { seq: 0 });
    network.now.fail();
    await pass(1000);
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ resume: { session: "secret", lastSeq: 6 } });
    await network.now.welcome({ resumed: true, seq: 9 });
    expect(signal.resume?.lastSeq).toBe(6);
  });

  test("what was heard before is not heard twice, what was missed is heard in order", async () => {
    await connected();
    network.now.say("five", {}, { seq: 5 });
    network.now.fail();
    await pass(1000);
    await network.now.open();
    await network.now.welcome({ resumed: true, seq: 7 });
    for (const [name, seq] of [
      ["five", 5],
      ["six", 6],
      ["seven", 7],
      ["seven", 7],
    ] as const)
      network.now.say(name, {}, { seq });
    expect(heard).toEqual(["five", "six", "seven"]);
    expect(remembered.at(-1)).toEqual({ session: "secret", lastSeq: 7 });
  });

  test("after a gap the snapshot counts: a new session and its number", async () => {
    await connected();
    network.now.say("nine", {}, { seq: 9 });
    network.now.fail();
    await pass(1000);
    await network.now.open();
    const welcomed = vi.fn();
    signal.onwelcome = welcomed;
    await network.now.welcome({ resumed: false, session: "another", seq: 2, snapshot: {} });
    expect(welcomed.mock.calls[0]?.[0]).toMatchObject({ resumed: false, snapshot: {} });
    expect(signal.resume).toEqual({ session: "another", lastSeq: 2 });
    network.now.say("three", {}, { seq: 3 });
    expect(heard).toEqual(["nine", "three"]);
  });

  test("a page that was loaded again resumes with what it kept", async () => {
    signal.open({ session: "kept", lastSeq: 12 });
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ resume: { session: "kept", lastSeq: 12 } });
  });
});

describe("refusals", () => {
  test("an expired session is tried once more with the ticket, then it is over", async () => {
    await connected();
    network.now.fail();
    await pass(1000);
    await network.now.open();
    network.now.fail(4401);
    expect(signal.resume).toBeUndefined();
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ token: "ticket" });
    network.now.fail(4401);
    expect(signal.state).toEqual({ at: "closed", code: "unauthenticated" });
    await pass(600_000);
    expect(network.sockets).toHaveLength(3);
  });

  test("a session that expires while it is open is renewed once per welcome", async () => {
    await connected();
    for (let n = 0; n < 3; n++) {
      network.now.fail(4401);
      await network.now.open();
      await network.now.welcome();
    }
    expect(signal.state).toEqual({ at: "open" });
    expect(network.sockets).toHaveLength(4);
  });

  test.each([
    [4400, "bad_message"],
    [4403, "forbidden"],
    [4409, "replaced"],
  ])("%i is final: %s", async (code, word) => {
    await connected();
    network.now.fail(code);
    await pass(600_000);
    expect(signal.state).toEqual({ at: "closed", code: word });
    expect(network.sockets).toHaveLength(1);
  });

  test.each([1000, 1006, 4013, 4408, 4503])("%i is no refusal", async (code) => {
    await connected();
    network.now.fail(code);
    expect(signal.state.at).toBe("waiting");
  });
});

describe("heartbeat", () => {
  test("a probe is answered with its own nonce and bothers nobody", async () => {
    await connected();
    network.now.say("probe.ping", { nonce: "7" });
    expect(network.now.last("probe.pong").data).toEqual({ nonce: "7" });
    expect(heard).toEqual([]);
  });

  test("a line without a heartbeat is given up and resumed", async () => {
    await connected();
    const dead = network.now;
    await pass(SILENCE_MS - 1);
    expect(signal.state).toEqual({ at: "open" });
    await pass(1);
    expect(dead.closed).toBe(4000);
    expect(signal.state.at).toBe("waiting");
    await pass(1000);
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ resume: { session: "secret", lastSeq: 4 } });
  });

  test("every message counts as a heartbeat", async () => {
    await connected();
    for (let n = 0; n < 10; n++) {
      await pass(SILENCE_MS - 1);
      network.now.say("probe.ping", { nonce: String(n) });
    }
    expect(signal.state).toEqual({ at: "open" });
    expect(network.sockets).toHaveLength(1);
  });
});

describe("requests", () => {
  test("settle with the message that answers them, whatever the order", async () => {
    await connected();
    const one = signal.request("leg.offer", {});
    const two = signal.request("leg.restart", {});
    network.now.say("leg.answer", { legId: "2" }, { ref: network.now.last("leg.restart").id });
    network.now.say("error", { code: "leg_gone", message: "" }, { ref: network.now.last("leg.offer").id });
    expect(await one).toEqual({ ok: false, code: "leg_gone" });
    expect(await two).toEqual({ ok: true, data: { legId: "2" }, type: "leg.answer" });
  });

  test("fail after ten seconds, and the late answer changes nothing", async () => {
    await connected();
    const outcome = vi.fn();
    void signal.request("leg.offer", {}).then(outcome);
    await pass(REQUEST_TIMEOUT_MS - 1);
    expect(outcome).not.toHaveBeenCalled();
    await pass(1);
    network.now.say("leg.answer", {}, { ref: network.now.last("leg.offer").id });
    await settle();
    expect(outcome.mock.calls).toEqual([[{ ok: false, code: "timeout" }]]);
  });

  test("fail at once when the line is lost or was never there", async () => {
    expect(await signal.request("leg.offer", {})).toEqual({ ok: false, code: "ws_unreachable" });
    await connected();
    const outcome = signal.request("leg.offer", {});
    network.now.fail();
    expect(await outcome).toEqual({ ok: false, code: "ws_unreachable" });
  });

  test("nothing is hoarded while the line is away: the new one hears hello alone", async () => {
    await connected();
    network.now.fail();
    for (let n = 0; n < 10_000; n++) expect(signal.send("call.hangup", {})).toBe(false);
    const outcomes = Promise.all(Array.from({ length: 1000 }, () => signal.request("leg.offer", {})));
    expect(new Set((await outcomes).map((one) => !one.ok && one.code))).toEqual(new Set(["ws_unreachable"]));
    // One timer waits: that of the next try.
    expect(vi.getTimerCount()).toBe(1);
    await pass(1000);
    await network.now.open();
    await network.now.welcome({ resumed: true });
    expect(network.now.said.map((one) => one.type)).toEqual(["hello"]);
  });

  test("a message that is no JSON is ignored", async () => {
    await connected();
    network.now.onmessage?.({ data: "<html>" });
    expect(signal.state).toEqual({ at: "open" });
    expect(heard).toEqual([]);
  });
});

describe("closing", () => {
  test("frees the socket and every timer, forgets the session, hears nothing more", async () => {
    await connected();
    const outcome = signal.request("leg.offer", {});
    const socket = network.now;
    const listener = socket.onmessage;
    signal.close();
    expect(await outcome).toEqual({ ok: false, code: "ws_unreachable" });
    expect(signal.state).toEqual({ at: "closed", code: "left" });
    expect(socket.closed).toBe(true);
    expect(socket.onmessage).toBeNull();
    expect(listener).not.toBeNull();
    expect(remembered.at(-1)).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
    signal.retryNow();
    expect(signal.send("call.hangup", {})).toBe(false);
    expect(network.sockets).toHaveLength(1);
  });

  test("while it waits to try again, no try follows", async () => {
    await connected();
    network.now.fail();
    signal.close();
    await pass(600_000);
    expect(network.sockets).toHaveLength(1);
  });

  test("while the ticket is awaited, hello is not said", async () => {
    const slow = later<string>();
    token = () => slow.promise;
    signal.open();
    await network.now.open();
    signal.close();
    slow.resolve("late");
    await settle();
    expect(network.now.said).toEqual([]);
  });
});
