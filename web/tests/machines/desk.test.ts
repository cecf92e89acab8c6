// The agent's desk with a server, a microphone and a line that the test holds.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CHECK_MS, Desk, OFFER_GRACE_MS } from "../../console/routes/agent/desk.ts";
import { QUALITY_SECONDS } from "../../console/routes/agent/voice.ts";
import { browserClock } from "../../shared/clock.ts";
import type { CallStatus } from "../../shared/gen/CallStatus.ts";
import type { WrapUp } from "../../shared/gen/WrapUp.ts";
import { answered, at, call, CALL, grant, heard, LEG, me, OFFER, offer, queue } from "../fake/data.ts";
import { FakeMicrophones, FakeRest, later, Network, pass, Peers, problem, settle } from "./fakes.ts";

const ACCEPT = `POST /api/support/offers/${OFFER}/accept`;
const REJECT = `POST /api/support/offers/${OFFER}/reject`;
const HANG_UP = `POST /api/support/call/${CALL}/hangup`;
const EXTEND = `POST /api/support/call/${CALL}/wrapup/extend`;
const STATUS = "PUT /api/support/staff/me/status";
const QUEUE = "GET /api/support/queue/calls";

let network: Network;
let microphones: FakeMicrophones;
let peers: Peers;
let rest: FakeRest;
let ringing: boolean;
let announced: string | undefined;
let visible: boolean;
let desk: Desk;

beforeEach(async () => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  network = new Network();
  microphones = new FakeMicrophones();
  peers = new Peers();
  rest = new FakeRest();
  ringing = false;
  announced = undefined;
  visible = true;
  rest.on(QUEUE, () => ({ body: queue() }));
  rest.on("GET /api/support/calls", { body: { calls: [] } });
  rest.on(ACCEPT, () => ({ body: { call: call("connecting"), leg: grant("agent") } }));
  for (const route of [REJECT, HANG_UP, STATUS]) rest.on(route, {});
  desk = new Desk({
    clock: browserClock,
    random: () => 0.5,
    api: rest.api,
    me: me("online"),
    signalUrl: "wss://help.example/ws",
    connect: network.connect,
    peer: peers.make,
    openMicrophone: microphones.open,
    listDevices: async () => ({ microphones: [], speakers: [] }),
    visible: () => visible,
    sound: {
      unlock: () => {},
      listen: () => {},
      play: () => {},
      silence: () => {},
      mine: () => 0.5,
      ring: (on) => void (ringing = on),
      end: () => {},
      speaker: () => {},
    },
    announce: (one) => void (announced = one?.offerId),
  });
  desk.open();
  await network.now.open();
  await network.now.welcome({ snapshot: { me: me("online"), queue: queue() } });
});
afterEach(() => {
  desk.close();
  vi.useRealTimers();
});

let seq = 0;
beforeEach(() => {
  seq = 0;
});
const say = (type: string, data: unknown): void => network.now.say(type, data, { seq: ++seq });
const end = (reason: string): void => say("offer.ended", { offerId: OFFER, callId: CALL, reason });
const offered = (): void => say("call.offered", offer());
const wrapUp = (more: Partial<WrapUp> = {}): WrapUp => ({
  offerId: OFFER,
  callId: CALL,
  customerName: "Otieno Odhiambo",
  endsAt: at(40),
  extensionsLeft: 2,
  ...more,
});

async function connecting(): Promise<void> {
  offered();
  await desk.accept();
  await settle();
}

async function talking(): Promise<void> {
  await connecting();
  network.now.say("leg.answer", { legId: LEG, sdp: "answer" }, { ref: network.now.last("leg.offer").id });
  await settle();
  peers.now.go("connected");
  say("call.answered", { call: answered() });
}

async function reconnect(snapshot: object): Promise<void> {
  network.now.fail();
  await pass(1000);
  await network.now.open();
  await network.now.welcome({ snapshot });
  seq = 0;
}

/** No ring, no announcement, no microphone, no connection. */
function expectQuiet(): void {
  expect(ringing).toBe(false);
  expect(announced).toBeUndefined();
  expect(microphones.live).toEqual([]);
  expect(peers.all.every((peer) => peer.connectionState === "closed")).toBe(true);
}

describe("an offer", () => {
  test("rings and is announced", () => {
    offered();
    expect(desk.stage).toMatchObject({ at: "offered", offer: { offerId: OFFER } });
    expect(ringing).toBe(true);
    expect(announced).toBe(OFFER);
    expect(microphones.tracks).toEqual([]);
  });

  test("is accepted: the ring stops, the microphone opens, the leg is offered", async () => {
    offered();
    const done = desk.accept();
    expect(desk.stage.at).toBe("accepting");
    expect(ringing).toBe(false);
    expect(announced).toBeUndefined();
    await done;
    await settle();
    expect(rest.routes()).toContain(ACCEPT);
    expect(desk.stage).toMatchObject({ at: "connecting", call: { callId: CALL } });
    expect(network.now.last("leg.offer").data).toMatchObject({ legId: LEG, grant: "secret" });
    say("call.answered", { call: answered() });
    expect(desk.stage.at).toBe("talking");
  });

  test("is accepted once, however often the key is pressed", async () => {
    offered();
    await Promise.all([desk.accept(), desk.accept(), desk.reject()]);
    expect(rest.routes().filter((one) => one === ACCEPT || one === REJECT)).toEqual([ACCEPT]);
    expect(microphones.live).toHaveLength(1);
  });

  test("is rejected: quiet at once, the server is told", async () => {
    offered();
    const done = desk.reject();
    expect(desk.stage).toEqual({ at: "idle" });
    expectQuiet();
    await done;
    expect(rest.routes()).toContain(REJECT);
    expect(desk.notice).toBeUndefined();
  });

  test("without a microphone is given back with the reason", async () => {
    offered();
    microphones.refusal = "mic_denied";
    await desk.accept();
    expect(rest.asked.find((one) => one.route === REJECT)?.body).toEqual({ reason: "mic_denied" });
    expect(rest.routes()).not.toContain(ACCEPT);
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice).toEqual({ key: "mic", code: "mic_denied" });
    expectQuiet();
  });

  test.each([
    ["timeout", "offer_missed"],
    ["customer_left", "customer_left"],
    ["won_by_other", "offer_lost"],
    ["withdrawn", "offer_lost"],
  ])("that ends by %s stops ringing and says %s", (reason, key) => {
    offered();
    end(reason);
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice?.key).toBe(key);
    expectQuiet();
  });

  test("that this agent took at another desk stops ringing here, without a word", () => {
    offered();
    end("accepted");
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice).toBeUndefined();
    expectQuiet();
  });

  test("another offer's end is not this one's", () => {
    offered();
    say("offer.ended", { offerId: "another", callId: "another", reason: "timeout" });
    expect(desk.stage.at).toBe("offered");
    expect(ringing).toBe(true);
  });

  test("during a call does not disturb it", async () => {
    await talking();
    say("call.offered", { ...offer(), offerId: "another" });
    expect(desk.stage.at).toBe("talking");
    expect(ringing).toBe(false);
  });
});

describe("an offer's deadline", () => {
  const left = 14_000;

  test("stops the ring although nobody says so", async () => {
    offered();
    network.now.fail();
    await pass(left + OFFER_GRACE_MS - 1);
    expect(ringing).toBe(true);
    await pass(1);
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice?.key).toBe("offer_missed");
    expectQuiet();
  });

  test("is that of the server's clock", async () => {
    desk.clockOffset = 10_000;
    offered();
    await pass(left - 10_000 + OFFER_GRACE_MS);
    expect(desk.stage).toEqual({ at: "idle" });
  });

  test("does not end an offer that was accepted, nor the one after it", async () => {
    await connecting();
    network.now.say("leg.answer", { legId: LEG, sdp: "a" }, { ref: network.now.last("leg.offer").id });
    peers.now.go("connected");
    await pass(10_000);
    network.now.say("probe.ping", { nonce: "1" });
    await pass(10_000);
    expect(desk.stage.at).toBe("connecting");
    end("customer_left");
    offered();
    end("rejected");
    say("call.offered", { ...offer(), offerId: "next", expiresAt: at(60) });
    network.now.say("probe.ping", { nonce: "2" });
    await pass(14_000 + OFFER_GRACE_MS);
    expect(desk.stage).toMatchObject({ at: "offered", offer: { offerId: "next" } });
    expect(ringing).toBe(true);
  });
});

describe("the race for an offer", () => {
  test.each([
    [409, "offer_taken", "offer_lost"],
    [409, "offer_expired", "offer_missed"],
    [404, "not_found", "offer_lost"],
  ])("lost with %i %s frees everything and says %s", async (status, code, key) => {
    rest.on(ACCEPT, problem(status, code));
    offered();
    await desk.accept();
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice?.key).toBe(key);
    expectQuiet();
  });

  test("lost while the microphone is asked for: it is closed again and nothing is accepted", async () => {
    offered();
    microphones.ask();
    const done = desk.accept();
    end("customer_left");
    await microphones.answer();
    await done;
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice?.key).toBe("customer_left");
    expect(rest.routes()).not.toContain(ACCEPT);
    expectQuiet();
  });

  test("lost while the server is asked: its late yes opens no call", async () => {
    const reply = later<{ body: unknown }>();
    rest.on(ACCEPT, () => reply.promise);
    offered();
    const done = desk.accept();
    await settle();
    end("customer_left");
    reply.resolve({ body: { call: call("connecting"), leg: grant("agent") } });
    await done;
    await settle();
    expect(desk.stage).toEqual({ at: "idle" });
    expect(network.now.all("leg.offer")).toEqual([]);
    expectQuiet();
    // Nor does its grant serve the next call.
    rest.on(ACCEPT, { body: { call: call("connecting"), leg: { ...grant("agent"), legId: "next" } } });
    await connecting();
    expect(network.now.all("leg.offer").map((one) => one.data["legId"])).toEqual(["next"]);
  });

  test("a snapshot that knows the call before the reply does is believed, the sound comes once", async () => {
    const reply = later<{ body: unknown }>();
    rest.on(ACCEPT, () => reply.promise);
    offered();
    const done = desk.accept();
    await settle();
    await reconnect({ call: call("connecting") });
    expect(desk.stage.at).toBe("connecting");
    reply.resolve({ body: { call: call("connecting"), leg: grant("agent") } });
    await done;
    await settle();
    expect(desk.stage.at).toBe("connecting");
    expect(microphones.live).toHaveLength(1);
    expect(peers.all).toHaveLength(1);
  });

  test("a reply that is lost while a snapshot shows the call: the sound is asked for again", async () => {
    const reply = later<{ status: number }>();
    rest.on(ACCEPT, () => reply.promise);
    offered();
    const done = desk.accept();
    await settle();
    await reconnect({ call: call("connecting") });
    reply.resolve({ status: 502 });
    await done;
    expect(desk.stage.at).toBe("connecting");
    expect(network.now.last("leg.renew").data).toEqual({ callId: CALL });
  });

  test("a customer who leaves while the sound is made gives the desk back", async () => {
    await connecting();
    end("customer_left");
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice?.key).toBe("customer_left");
    expectQuiet();
  });
});

describe("the call", () => {
  test.each<[CallStatus, string | undefined]>([
    ["completed", undefined],
    ["abandoned", "customer_left"],
    ["failed", "call_failed"],
    ["queued", undefined],
  ])("that becomes %s frees the desk", async (status, key) => {
    await talking();
    say(`call.${status}`, { call: { ...answered(), status, endReason: "x" } });
    expect(desk.stage).toEqual({ at: "idle" });
    expect(desk.notice?.key).toBe(key);
    expectQuiet();
  });

  test("another call's end does not touch it", async () => {
    await talking();
    say("call.completed", { call: { ...answered(), callId: "another", status: "completed" } });
    expect(desk.stage.at).toBe("talking");
    expect(microphones.live).toHaveLength(1);
  });

  test("hanging up silences at once and is said over the line, or by request without one", async () => {
    await talking();
    desk.hangUp();
    expect(network.now.last("call.hangup").data).toEqual({ callId: CALL });
    expect(peers.now.connectionState).toBe("closed");
    network.now.fail();
    desk.hangUp();
    await settle();
    expect(rest.routes()).toContain(HANG_UP);
  });

  test("hold and resume are asked for once each, and show what the server says", async () => {
    await talking();
    const held = { ...answered(), heldSince: answered().answeredAt };
    rest.on(`POST /api/support/call/${CALL}/hold`, { body: held });
    rest.on(`POST /api/support/call/${CALL}/resume`, { body: answered() });
    void desk.control.hold(true);
    void desk.control.hold(true);
    expect(desk.control.pending).toBe("hold");
    await settle();
    expect(desk.control.pending).toBeUndefined();
    expect(desk.stage.at === "talking" && desk.stage.call.heldSince).toBe(held.heldSince);
    expect(rest.routes().filter((route) => route.endsWith("/hold"))).toHaveLength(1);
    await desk.control.hold(false);
    expect(desk.stage.at === "talking" && desk.stage.call.heldSince).toBeFalsy();
  });

  test("a hold that is refused is told, and the call goes on as it was", async () => {
    await talking();
    rest.on(`POST /api/support/call/${CALL}/hold`, problem(409, "illegal_transition"));
    await desk.control.hold(true);
    expect(desk.notice).toEqual({ key: "command_failed", code: "illegal_transition" });
    expect(desk.stage.at).toBe("talking");
    expect(desk.control.pending).toBeUndefined();
  });

  test("goes on without the line, and is found again after a reload with new sound", async () => {
    await talking();
    await reconnect({ call: answered() });
    expect(desk.stage.at).toBe("talking");
    expect(peers.all).toHaveLength(1);
    expect(network.now.all("leg.renew")).toEqual([]);
    say("call.completed", { call: { ...answered(), status: "completed" } });
    await reconnect({ call: answered() });
    await settle();
    expect(desk.stage.at).toBe("talking");
    expect(network.now.last("leg.renew").data).toEqual({ callId: CALL });
    expect(microphones.live).toHaveLength(1);
  });

  test("an end while the microphone is opened again after a reload leaves none open", async () => {
    microphones.ask();
    await reconnect({ call: answered() });
    say("call.completed", { call: { ...answered(), status: "completed" } });
    await microphones.answer();
    expect(network.now.all("leg.renew")).toEqual([]);
    expectQuiet();
  });

  test.each<[string, () => unknown]>([
    ["another microphone is chosen", (): unknown => desk.voice.chooseMicrophone("headset")],
    ["a lost one is replaced", (): unknown => microphones.live[0]?.lose()],
  ])("an end while %s leaves none open", async (_, change) => {
    await talking();
    microphones.ask();
    change();
    await settle();
    say("call.completed", { call: { ...answered(), status: "completed" } });
    await microphones.answer();
    expectQuiet();
  });

  test("mute stops the track, outlives another microphone, and ends with the call", async () => {
    await talking();
    desk.voice.mute(true);
    await desk.voice.chooseMicrophone("headset");
    expect(microphones.live.map((track) => track.enabled)).toEqual([false]);
    say("call.completed", { call: { ...answered(), status: "completed" } });
    expect(desk.voice.muted).toBe(false);
  });

  test("a microphone that hears nothing for ten seconds is called dead", async () => {
    await talking();
    for (let n = 0; n < 9; n++) {
      network.now.say("probe.ping", { nonce: String(n) });
      await pass(1000);
    }
    expect(desk.voice.deadMicrophone).toBe(false);
    await pass(1000);
    expect(desk.voice.deadMicrophone).toBe(true);
  });

  test("the last minute is that of sixty seconds, of this call only", async () => {
    await talking();
    network.now.say("call.quality", { ...heard(1, 1), callId: "another" });
    expect(desk.voice.lastMinute("customer")).toBeUndefined();
    network.now.say("call.quality", heard(1, 1));
    expect(desk.voice.lastMinute("customer")?.mos).toBe(1);
    for (let n = 0; n < QUALITY_SECONDS - 1; n++) network.now.say("call.quality", heard(4, 4));
    expect(desk.voice.lastMinute("customer")?.mos).toBeCloseTo((59 * 4 + 1) / 60);
    network.now.say("call.quality", heard(4, 4));
    expect(desk.voice.lastMinute("customer")?.mos).toBeCloseTo(4);
  });
});

describe("the wrap-up", () => {
  test.each([
    ["after the call's end", ["end", "wrap"]],
    ["before the call's end", ["wrap", "end"]],
  ])("that comes %s knows the call", async (_, order) => {
    await talking();
    for (const one of order) {
      if (one === "wrap") say("call.wrap_up", wrapUp());
      else say("call.completed", { call: { ...answered(), status: "completed" } });
    }
    expect(desk.stage).toMatchObject({ at: "wrapping", call: { callId: CALL, status: "completed" } });
    expectQuiet();
  });

  test("is finished over the line, or by request without one", async () => {
    say("call.wrap_up", wrapUp());
    desk.finishWrapUp();
    expect(network.now.last("wrapup.end").data).toEqual({ callId: CALL });
    expect(desk.stage).toEqual({ at: "idle" });
    say("call.wrap_up", wrapUp());
    network.now.fail();
    desk.finishWrapUp();
    await settle();
    expect(rest.routes()).toContain(`POST /api/support/call/${CALL}/wrapup/end`);
  });

  test("that ends by itself frees the desk", () => {
    say("call.wrap_up", wrapUp());
    say("wrapup.ended", { offerId: "another", callId: "another", reason: "completed" });
    expect(desk.stage.at).toBe("wrapping");
    say("wrapup.ended", { offerId: OFFER, callId: CALL, reason: "completed" });
    expect(desk.stage).toEqual({ at: "idle" });
  });

  test("is extended with the server's new end, and a refusal is told", async () => {
    say("call.wrap_up", wrapUp());
    rest.on(EXTEND, { body: wrapUp({ extensionsLeft: 1 }) });
    await desk.extendWrapUp();
    expect(desk.stage).toMatchObject({ at: "wrapping", wrapUp: { extensionsLeft: 1 } });
    rest.on(EXTEND, problem(409, "no_extensions_left"));
    await desk.extendWrapUp();
    expect(desk.notice).toEqual({ key: "command_failed", code: "no_extensions_left" });
    expect(desk.stage).toMatchObject({ at: "wrapping", wrapUp: { extensionsLeft: 1 } });
  });

  test("an offer during a wrap-up rings, and a snapshot of a wrap-up stops the ring", async () => {
    say("call.wrap_up", wrapUp());
    offered();
    expect(ringing).toBe(true);
    await reconnect({ wrapUp: wrapUp() });
    expect(desk.stage.at).toBe("wrapping");
    expectQuiet();
  });
});

describe("presence", () => {
  test("going online listens to the microphone for a moment and closes it", async () => {
    const done = desk.goOnline();
    await settle();
    expect(desk.changing).toBe(true);
    expect(microphones.live).toHaveLength(1);
    await pass(CHECK_MS);
    await done;
    expect(rest.asked.find((one) => one.route === STATUS)?.body).toEqual({ status: "online", mediaChecked: true });
    expect(desk.changing).toBe(false);
    expectQuiet();
  });

  test("going online during a call leaves its microphone alone and closes the checked one", async () => {
    await talking();
    const done = desk.goOnline();
    await pass(CHECK_MS);
    await done;
    expect(microphones.live).toEqual([peers.now.sending]);
  });

  test.each(["mic_denied", "mic_busy"] as const)("%s keeps the agent off the line", async (code) => {
    microphones.refusal = code;
    await desk.goOnline();
    expect(rest.routes()).not.toContain(STATUS);
    expect(desk.notice).toEqual({ key: "mic", code });
    expect(desk.changing).toBe(false);
  });

  test("a microphone that dies while it is listened to keeps the agent off the line", async () => {
    const done = desk.goOnline();
    await settle();
    microphones.live[0]?.stop();
    await pass(CHECK_MS);
    await done;
    expect(rest.routes()).not.toContain(STATUS);
    expect(desk.notice).toEqual({ key: "mic", code: "mic_busy" });
  });

  test("a desk that closes while it goes online does not go", async () => {
    const done = desk.goOnline();
    await settle();
    desk.close();
    await pass(CHECK_MS);
    await done;
    expect(rest.routes()).not.toContain(STATUS);
    expectQuiet();
  });

  test("what the server refuses is not shown as done; what it decides is told", async () => {
    rest.on(STATUS, problem(409, "on_a_call"));
    await desk.setPresence("away");
    expect(desk.presence).toBe("online");
    expect(desk.notice).toEqual({ key: "command_failed", code: "on_a_call" });
    say("presence.changed", { status: "away", reason: "missed_offers" });
    expect(desk.presence).toBe("away");
    expect(desk.notice).toEqual({ key: "presence_server", code: "missed_offers" });
  });
});

describe("another tab, and signing in", () => {
  test.each([
    [4409, "replaced"],
    [4403, "forbidden"],
  ])("a desk that is closed with %i (%s) rings no more", async (code, word) => {
    offered();
    network.now.fail(code);
    expect(desk.signal.state).toEqual({ at: "closed", code: word });
    expect(desk.stage).toEqual({ at: "idle" });
    expectQuiet();
  });

  test("a desk that another one replaced during a call frees the microphone", async () => {
    await talking();
    network.now.fail(4409);
    expectQuiet();
    expect(network.now.all("call.hangup")).toEqual([]);
    expect(rest.routes()).not.toContain(HANG_UP);
  });

  test("a sign-in that has expired is tried by the cookie once, then the desk is quiet", async () => {
    offered();
    network.now.fail(4401);
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({});
    expect(ringing).toBe(true);
    network.now.fail(4401);
    expect(desk.signal.state).toEqual({ at: "closed", code: "unauthenticated" });
    expectQuiet();
    await pass(600_000);
    expect(network.sockets).toHaveLength(2);
  });

  test("closing frees everything: line, sound, timers", async () => {
    await talking();
    desk.close();
    expect(network.now.closed).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    expectQuiet();
  });

  test("closing while a rejection is under way starts no reading anew", async () => {
    const reply = later<object>();
    rest.on(REJECT, () => reply.promise);
    offered();
    const done = desk.reject();
    await settle();
    desk.close();
    reply.resolve({});
    await done;
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("the waiting calls", () => {
  const asked = (): number => rest.routes().filter((one) => one === QUEUE).length;

  test("are read every three seconds while the page is seen", async () => {
    network.now.say("probe.ping", { nonce: "1" });
    await pass(2000);
    const before = asked();
    await pass(9000);
    expect(asked() - before).toBe(3);
    visible = false;
    network.now.say("probe.ping", { nonce: "2" });
    await pass(9000);
    expect(asked() - before).toBe(3);
  });

  test("a snapshot of nothing frees the desk; one with an offer rings", async () => {
    offered();
    await reconnect({});
    expect(desk.stage).toEqual({ at: "idle" });
    expectQuiet();
    await reconnect({ offer: offer() });
    expect(ringing).toBe(true);
  });
});
