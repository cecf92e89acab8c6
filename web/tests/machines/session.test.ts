// The customer's call from the press on Call to its end, with a server, a microphone and a line that the test holds.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { browserClock } from "../../shared/clock.ts";
import type { CallStatus } from "../../shared/gen/CallStatus.ts";
import type { CallView } from "../../shared/gen/CallView.ts";
import type { Opened } from "../../shared/devices.ts";
import { NOTICE_VERSION, Session, type CallLock, type Kept } from "../../widget/session.ts";
import { answered, call, CALL, grant, heard, LEG, started } from "../fake/data.ts";
import { FakeMicrophones, FakeRest, later, Network, pass, Peers, problem, settle } from "./fakes.ts";

const START = "POST /api/support/call/start";
const HANG_UP = `POST /api/support/call/${CALL}/hangup`;

let network: Network;
let microphones: FakeMicrophones;
let peers: Peers;
let rest: FakeRest;
let kept: Kept | undefined;
let reports: unknown[];
let sounds: string[];
let loudness: number;
let lock: CallLock & { held: boolean; free: boolean };
let session: Session;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  network = new Network();
  microphones = new FakeMicrophones();
  peers = new Peers();
  rest = new FakeRest();
  kept = undefined;
  reports = [];
  sounds = [];
  loudness = 0;
  rest.on(START, () => ({ status: 201, body: started("wss://node.example/ws") }));
  rest.on(HANG_UP, {});
  lock = {
    held: false,
    free: true,
    acquire: async () => lock.free && (lock.held = true),
    release: () => void (lock.held = false),
    takeOver: async () => undefined,
    onask: () => undefined,
  };
  session = new Session({
    clock: browserClock,
    random: () => 0.5,
    api: () => rest.api,
    customer: () => ({ userId: "u-1", email: "amina.wanjiru@example.com", name: "Amina Wanjiru" }),
    connect: network.connect,
    peer: peers.make,
    openMicrophone: microphones.open,
    listDevices: async () => ({ microphones: [], speakers: [] }),
    lock,
    keep: { read: () => kept, write: (next) => void (kept = next) },
    sound: {
      listen: () => {},
      play: () => {},
      silence: () => void sounds.push("silence"),
      blocked: () => false,
      unblock: () => {},
      speaker: () => {},
      mine: () => loudness,
      tone: (kind) => void sounds.push(kind),
    },
    report: (event, detail) => reports.push([event, detail]),
  });
});
afterEach(() => {
  session.hangUp();
  vi.useRealTimers();
});

async function starting(): Promise<void> {
  await session.check();
  await session.start();
}

async function waiting(): Promise<void> {
  await starting();
  await network.now.open();
  await network.now.welcome({ snapshot: { call: call("queued", { position: 3 }) } });
}

async function connecting(): Promise<void> {
  await waiting();
  network.now.say("call.accepted", { call: call("connecting", { agentName: "Joyce Atieno" }) }, { seq: 1 });
  network.now.say("leg.grant", { grant: grant("customer") }, { seq: 2 });
  await settle();
}

async function talking(): Promise<void> {
  await connecting();
  network.now.say("leg.answer", { legId: LEG, sdp: "answer" }, { ref: network.now.last("leg.offer").id });
  await settle();
  peers.now.go("connected");
  network.now.say("call.answered", { call: answered() }, { seq: 3 });
}

/** Nothing of a call is left behind: no microphone, no lock, no connection, nothing to resume, no timer. */
function expectFreed(): void {
  expect(microphones.live).toEqual([]);
  expect(lock.held).toBe(false);
  expect(peers.all.every((peer) => peer.connectionState === "closed")).toBe(true);
  expect(network.sockets.every((socket) => socket.closed !== undefined)).toBe(true);
  expect(kept).toBeUndefined();
  expect(vi.getTimerCount()).toBe(0);
}

describe("the check", () => {
  test("opens the microphone and shows that it listens; going back closes it", async () => {
    microphones.ask();
    const checked = session.check();
    expect(session.phase).toEqual({ at: "checking", microphone: "asking" });
    await microphones.answer();
    await checked;
    expect(session.phase).toEqual({ at: "checking", microphone: "open" });
    expect(microphones.live).toHaveLength(1);
    session.home();
    expect(session.phase).toEqual({ at: "home" });
    expectFreed();
  });

  test("a permission that comes after going back opens nothing", async () => {
    microphones.ask();
    void session.check();
    session.home();
    await microphones.answer();
    expect(session.phase).toEqual({ at: "home" });
    expectFreed();
  });

  test.each(["mic_denied", "mic_missing", "mic_busy", "insecure_context"] as const)("%s is a problem", async (code) => {
    microphones.refusal = code;
    await session.check();
    expect(session.phase).toEqual({ at: "problem", code, detail: undefined });
    expect(reports).toEqual([["failure", { code }]]);
    expect(rest.asked).toEqual([]);
    expectFreed();
    microphones.refusal = undefined;
    await session.check();
    expect(session.phase.at).toBe("checking");
  });

  test("pressed twice, one microphone is open", async () => {
    void session.check();
    await session.check();
    await settle();
    expect(microphones.live).toHaveLength(1);
    expect(session.phase).toEqual({ at: "checking", microphone: "open" });
  });
});

describe("starting", () => {
  test("tells the server who calls and which notice was shown, then connects with the ticket", async () => {
    await starting();
    expect(rest.asked).toEqual([
      {
        route: START,
        body: {
          userId: "u-1",
          customerEmail: "amina.wanjiru@example.com",
          customerName: "Amina Wanjiru",
          callType: "voice",
          consentVersion: NOTICE_VERSION,
        },
      },
    ]);
    expect(network.now.url).toBe("wss://node.example/ws");
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ token: "ticket" });
    expect(reports).toEqual([["callstart", { callId: CALL }]]);
    expect(session.phase).toMatchObject({ at: "waiting", call: { position: 3, estimatedWaitSeconds: 200 } });
  });

  test.each<[CallStatus, string]>([
    ["initiated", "waiting"],
    ["queued", "waiting"],
    ["ringing", "waiting"],
    ["connecting", "connecting"],
    ["answered", "talking"],
  ])("a call that is %s already is shown as %s at once", async (status, phase) => {
    rest.on(START, { body: { ...started("wss://node.example/ws"), status } });
    await starting();
    expect(session.phase.at).toBe(phase);
    expect(session.call?.callId).toBe(CALL);
    expect(network.sockets).toHaveLength(1);
  });

  test.each<[CallStatus, string]>([
    ["completed", "abandoned"],
    ["abandoned", "abandoned"],
    ["failed", "dropped"],
  ])("a call that is %s in the reply has ended: %s, and no line is opened", async (status, how) => {
    rest.on(START, { body: { ...started("wss://node.example/ws"), status } });
    await starting();
    expect(session.phase).toMatchObject({ at: "ended", how });
    expect(reports.map((one) => (one as [string])[0])).toEqual(["callstart", "callend"]);
    expect(network.sockets).toEqual([]);
    expectFreed();
  });

  test.each([
    [409, "busy"],
    [409, "closed_hours"],
    [429, "rate_limited"],
    [401, "unauthenticated"],
    [503, "draining"],
  ])("%i %s is a problem with its own word", async (status, code) => {
    rest.on(START, problem(status, code, { "Retry-After": "30" }));
    await starting();
    expect(session.phase).toMatchObject({ at: "problem", code });
    expect(reports).toEqual([["failure", { code }]]);
    expectFreed();
  });

  test("a proxy's own error page is named by its status", async () => {
    rest.on(START, { status: 502, body: "bad gateway" });
    await starting();
    expect(session.phase).toMatchObject({ at: "problem", code: "http_502" });
  });

  test("without a network it is offline, with a silent server it is unreachable", async () => {
    rest.online = false;
    await starting();
    expect(session.phase).toMatchObject({ at: "problem", code: "offline" });
    rest.online = true;
    rest.on(START, () => Promise.reject(new TypeError("Failed to fetch")));
    await starting();
    expect(session.phase).toMatchObject({ at: "problem", code: "ws_unreachable" });
    expectFreed();
  });

  test("another tab has the call", async () => {
    lock.free = false;
    await starting();
    expect(session.phase).toEqual({ at: "elsewhere" });
    expect(rest.asked).toEqual([]);
    expect(microphones.live).toEqual([]);
  });

  test("without a checked microphone there is no start", async () => {
    await session.start();
    expect(session.phase).toEqual({ at: "home" });
    expect(rest.asked).toEqual([]);
  });

  test("pressed twice, one call is started", async () => {
    await session.check();
    await Promise.all([session.start(), session.start()]);
    expect(rest.routes()).toEqual([START]);
  });
});

describe("while it waits and talks", () => {
  test("place, ringing, connecting, talking, in the server's words", async () => {
    await waiting();
    network.now.say("queue.position", { callId: CALL, position: 2, estimatedWaitSeconds: 60 }, { seq: 1 });
    expect(session.phase).toMatchObject({ at: "waiting", call: { position: 2, estimatedWaitSeconds: 60 } });
    network.now.say("queue.position", { callId: "another", position: 9 }, { seq: 2 });
    expect(session.phase).toMatchObject({ call: { position: 2 } });
    network.now.say("call.ringing", { call: call("ringing") }, { seq: 3 });
    expect(session.phase).toMatchObject({ at: "waiting", call: { status: "ringing" } });
    expect(sounds).not.toContain("turn");
    network.now.say("call.accepted", { call: call("connecting") }, { seq: 4 });
    expect(session.phase.at).toBe("connecting");
    expect(sounds.filter((one) => one === "turn")).toHaveLength(1);
    network.now.say("call.answered", { call: answered() }, { seq: 5 });
    expect(session.phase.at).toBe("talking");
  });

  test("another call's news is not ours", async () => {
    await waiting();
    network.now.say("call.answered", { call: { ...answered(), callId: "another" } }, { seq: 1 });
    expect(session.phase.at).toBe("waiting");
  });

  test("an agent who did not come up gives the customer back to the line, with a fresh connection", async () => {
    await connecting();
    network.now.say("call.requeued", { call: call("queued", { position: 1 }) }, { seq: 3 });
    expect(session.phase).toMatchObject({ at: "waiting", call: { position: 1 } });
    expect(peers.now.connectionState).toBe("closed");
    expect(microphones.live).toHaveLength(1);
    network.now.say("leg.grant", { grant: { ...grant("customer"), legId: "second" } }, { seq: 4 });
    await settle();
    expect(peers.all).toHaveLength(2);
    expect(network.now.last("leg.offer").data).toMatchObject({ legId: "second" });
  });

  test("an answer to an offer that was given up does not reach the connection that replaced it", async () => {
    await connecting();
    const lost = network.now.last("leg.offer").id;
    await pass(9999);
    network.now.say("probe.ping", { nonce: "1" });
    await pass(1);
    network.now.say("leg.grant", { grant: grant("customer") }, { seq: 3 });
    await settle();
    expect(peers.all).toHaveLength(2);
    network.now.say("leg.answer", { legId: LEG, sdp: "late" }, { ref: lost });
    await settle();
    expect(peers.now.answers()).toEqual([]);
  });

  test.each<[CallStatus, string | undefined, string]>([
    ["completed", "hangup", "spoke"],
    ["completed", "media_lost", "dropped"],
    ["completed", "agent_hangup", "spoke"],
    ["failed", "node_lost", "dropped"],
  ])("%s because of %s ends as %s", async (status, endReason, how) => {
    await talking();
    network.now.say(
      "call.ended",
      { call: { ...answered(), status, endReason, endedAt: answered().createdAt } },
      { seq: 4 },
    );
    expect(session.phase).toMatchObject({ at: "ended", how, agent: "Joyce Atieno", callId: CALL });
    expect(reports.at(-1)).toEqual(["callend", { callId: CALL, reason: endReason }]);
    expectFreed();
  });

  test.each([
    ["queue_timeout", "busy"],
    ["customer_hangup", "abandoned"],
  ])("abandoned because of %s ends as %s", async (endReason, how) => {
    await waiting();
    network.now.say("call.abandoned", { call: call("abandoned", { endReason }) }, { seq: 1 });
    expect(session.phase).toMatchObject({ at: "ended", how, seconds: 0 });
    expect(sounds).not.toContain("end");
    expectFreed();
  });

  test("the length is that of the talk by the server's clock", async () => {
    await talking();
    await pass(8000);
    session.hangUp();
    expect(session.phase).toMatchObject({ at: "ended", how: "spoke" });
    expect(session.phase.at === "ended" && Math.round(session.phase.seconds)).toBe(252 + 8);
  });

  test("a refusal over the line is reported, the call goes on", async () => {
    await talking();
    network.now.say("error", { code: "rate_limited", message: "" });
    expect(reports.at(-1)).toEqual(["failure", { code: "rate_limited" }]);
    expect(session.phase.at).toBe("talking");
  });

  test("the server's score is the worse of both ways, and only our own", async () => {
    await talking();
    network.now.say("call.quality", heard(4.2, 1.5));
    expect(session.serverScore).toBe(4.2);
    const legs = heard(4.2, 4).legs.map((leg) => ({ ...leg, mosDown: 2.9 }));
    network.now.say("call.quality", { callId: CALL, legs });
    expect(session.serverScore).toBe(2.9);
  });

  test("three seconds without a packet warn of a silent line", async () => {
    await talking();
    peers.now.rows = [{ type: "inbound-rtp", kind: "audio", packetsReceived: 50, packetsLost: 0, bytesReceived: 4000 }];
    await pass(3500);
    expect([...session.warnings]).toEqual([]);
    await pass(1000);
    expect([...session.warnings]).toEqual(["silent_line"]);
  });
});

describe("hanging up", () => {
  async function resuming(): Promise<void> {
    kept = { resume: { session: "kept", lastSeq: 7 }, url: "wss://node.example/ws", call: answered() };
    microphones.ask();
    void session.resume();
    await settle();
  }

  test.each<[string, () => Promise<void>, string]>([
    ["waiting", waiting, "abandoned"],
    ["connecting", connecting, "abandoned"],
    ["talking", talking, "spoke"],
  ])("while %s it is said over the line, once, and everything is freed", async (phase, reach, how) => {
    await reach();
    expect(session.phase.at).toBe(phase);
    session.hangUp();
    session.hangUp();
    expect(network.now.all("call.hangup").map((one) => one.data)).toEqual([{ callId: CALL }]);
    expect(rest.routes()).not.toContain(HANG_UP);
    expect(session.phase).toMatchObject({ at: "ended", how });
    expect(reports.filter((one) => (one as [string])[0] === "callend")).toHaveLength(1);
    expectFreed();
  });

  test("before the line is open it is said by request", async () => {
    await starting();
    session.hangUp();
    await settle();
    expect(rest.routes()).toEqual([START, HANG_UP]);
    expectFreed();
  });

  test("while the line is away it is said by request", async () => {
    await talking();
    network.now.fail();
    session.hangUp();
    await settle();
    expect(rest.routes()).toContain(HANG_UP);
    expect(network.sockets).toHaveLength(1);
    expectFreed();
  });

  test("while the server is asked to start, the call that comes is ended, and none was ever reported", async () => {
    const reply = later<{ body: unknown }>();
    rest.on(START, () => reply.promise);
    await session.check();
    void session.start();
    await settle();
    session.hangUp();
    expect(session.phase).toMatchObject({ at: "ended", how: "abandoned" });
    reply.resolve({ body: started("wss://node.example/ws") });
    await settle();
    expect(rest.routes()).toEqual([START, HANG_UP]);
    expect(network.sockets).toEqual([]);
    expect(reports).toEqual([]);
    expectFreed();
  });

  test("while the tab asks whether it may call, no call is started and the lock is free", async () => {
    const mine = later<void>();
    lock.acquire = async () => {
      await mine.promise;
      return (lock.held = true);
    };
    await session.check();
    void session.start();
    session.hangUp();
    mine.resolve();
    await settle();
    expect(rest.asked).toEqual([]);
    expectFreed();
  });

  test("while a call is resumed, the permission that comes late opens nothing", async () => {
    await resuming();
    expect(session.phase.at).toBe("resuming");
    session.hangUp();
    await microphones.answer();
    expect(session.phase.at).toBe("ended");
    expect(network.sockets).toEqual([]);
    expectFreed();
  });

  test("a call that is hung up while it is resumed is ended on the server too", async () => {
    await resuming();
    session.hangUp();
    await settle();
    expect(rest.routes()).toEqual([HANG_UP]);
  });

  test("news that arrive after the end change nothing", async () => {
    await talking();
    const { onmessage } = network.now;
    session.hangUp();
    const { phase } = session;
    onmessage?.({ data: JSON.stringify({ v: 1, seq: 9, ts: "", type: "call.answered", data: { call: answered() } }) });
    expect(session.phase).toBe(phase);
    session.home();
    expect(session.phase).toEqual({ at: "home" });
  });
});

describe("when the line is lost", () => {
  test("a waiting customer keeps the place: resumed by session and number", async () => {
    await waiting();
    network.now.say("call.ringing", { call: call("ringing") }, { seq: 5 });
    expect(kept?.resume).toEqual({ session: "secret", lastSeq: 5 });
    network.now.fail();
    expect(session.phase.at).toBe("waiting");
    await pass(1000);
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ resume: { session: "secret", lastSeq: 5 } });
    await network.now.welcome({ resumed: true });
    network.now.say("call.accepted", { call: call("connecting") }, { seq: 6 });
    expect(session.phase.at).toBe("connecting");
  });

  test("the sound of a call goes on, and asks for nothing when the line is back", async () => {
    await talking();
    network.now.fail();
    await pass(1000);
    expect(session.phase.at).toBe("talking");
    expect(peers.now.connectionState).toBe("connected");
    await network.now.open();
    await network.now.welcome({ resumed: true });
    expect(network.now.said.map((one) => one.type)).toEqual(["hello"]);
  });

  test("a snapshot tells what was missed: the call is over", async () => {
    await talking();
    network.now.fail();
    await pass(1000);
    await network.now.open();
    await network.now.welcome({ snapshot: {} });
    expect(session.phase).toMatchObject({ at: "ended", how: "dropped" });
    expectFreed();
  });

  test("a snapshot tells what was missed: an agent accepted, the sound is asked for", async () => {
    await waiting();
    network.now.fail();
    await pass(1000);
    await network.now.open();
    await network.now.welcome({ snapshot: { call: call("connecting") } });
    expect(session.phase.at).toBe("connecting");
    expect(network.now.last("leg.renew").data).toEqual({ callId: CALL });
  });

  test("a server that is never found again is a problem for who waits, not for who still hears", async () => {
    await waiting();
    const giveUp = async (): Promise<void> => {
      while (session.signal.state.at !== "closed") {
        if (session.signal.state.at === "connecting") network.now.fail();
        await pass(1000);
      }
    };
    network.now.fail();
    await giveUp();
    expect(session.phase).toMatchObject({ at: "problem", code: "ws_unreachable" });
    expectFreed();
    await talking();
    network.now.fail();
    await giveUp();
    expect(session.phase.at).toBe("talking");
    session.online();
    expect(session.signal.state.at).toBe("connecting");
  });

  test("a line that is told to be gone is given up at once and found again", async () => {
    await waiting();
    session.offline();
    expect(session.signal.state.at).toBe("waiting");
    session.online();
    expect(session.signal.state.at).toBe("connecting");
  });

  test("a session that another page took over shows that it is elsewhere", async () => {
    await talking();
    network.now.fail(4409);
    expect(session.phase).toEqual({ at: "elsewhere" });
    expectFreed();
  });

  test("a sound connection that failed for good ends the call on both sides", async () => {
    await talking();
    peers.now.go("disconnected");
    for (let n = 0; n < 50; n++) {
      network.now.say("probe.ping", { nonce: String(n) });
      await pass(1000);
    }
    expect(session.phase).toMatchObject({ at: "problem", code: "ice_failed" });
    expect(network.now.all("call.hangup")).toHaveLength(1);
    expectFreed();
  });
});

describe("after a reload and in another tab", () => {
  const keepOne = (one: CallView = answered()): void => {
    kept = { resume: { session: "kept", lastSeq: 7 }, url: "wss://node.example/ws", call: one };
  };

  test("what is kept names nobody", async () => {
    await talking();
    expect(JSON.stringify(kept)).not.toMatch(/amina/i);
    expect(kept?.call.callId).toBe(CALL);
  });

  test("the call goes on: microphone, session, then a connection of its own", async () => {
    keepOne();
    await session.resume();
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ resume: { session: "kept", lastSeq: 7 } });
    await network.now.welcome({ resumed: true });
    expect(session.phase.at).toBe("talking");
    expect(network.now.last("leg.renew").data).toEqual({ callId: CALL });
    network.now.say("leg.grant", { grant: grant("customer") }, { seq: 8 });
    await settle();
    expect(peers.all).toHaveLength(1);
  });

  test("nothing kept, nothing done", async () => {
    await session.resume();
    expect(session.phase).toEqual({ at: "home" });
    expect(lock.held).toBe(false);
  });

  test("a microphone that is refused now ends the call that nobody could hear", async () => {
    keepOne();
    microphones.refusal = "mic_denied";
    await session.resume();
    await settle();
    expect(session.phase).toMatchObject({ at: "problem", code: "mic_denied" });
    expect(rest.routes()).toEqual([HANG_UP]);
    expectFreed();
  });

  test("a call that is handed over leaves this tab without ending", async () => {
    await talking();
    const given = lock.onask();
    expect(given?.resume).toEqual({ session: "secret", lastSeq: 3 });
    expect(session.phase).toEqual({ at: "elsewhere" });
    expect(network.now.all("call.hangup")).toEqual([]);
    expect(rest.routes()).not.toContain(HANG_UP);
    expectFreed();
    expect(lock.onask()).toBeUndefined();
  });

  test("a call that is taken over goes on here", async () => {
    lock.free = false;
    await starting();
    keepOne();
    const given = kept;
    lock.free = true;
    lock.takeOver = async () => given;
    await session.takeOver();
    expect(session.phase.at).toBe("talking");
    await network.now.open();
    expect(network.now.last("hello").data).toEqual({ resume: { session: "kept", lastSeq: 7 } });
  });

  test("a tab that does not answer leaves the way home", async () => {
    lock.free = false;
    await starting();
    await session.takeOver();
    expect(session.phase).toEqual({ at: "home" });
  });
});

describe("microphone and mute", () => {
  const speaking = (): boolean => microphones.live.every((track) => track.enabled);

  test("mute stops the track and outlives another microphone", async () => {
    await talking();
    session.mute(true);
    expect(speaking()).toBe(false);
    await session.chooseMicrophone("headset");
    expect(microphones.live.map((track) => [track.deviceId, track.enabled])).toEqual([["headset", false]]);
    expect(peers.now.sending).toBe(microphones.live[0]);
    session.mute(false);
    expect(speaking()).toBe(true);
  });

  test("who speaks while muted is told after two seconds, and not any more once unmuted", async () => {
    await talking();
    session.mute(true);
    loudness = 0.9;
    await pass(1000);
    expect(session.speakingWhileMuted).toBe(false);
    await pass(1000);
    expect(session.speakingWhileMuted).toBe(true);
    session.mute(false);
    expect(session.speakingWhileMuted).toBe(false);
  });

  test("a microphone that is pulled out is replaced by another within the call", async () => {
    await talking();
    await session.chooseMicrophone("headset");
    microphones.live[0]?.lose();
    await settle();
    expect(microphones.live.map((track) => track.deviceId)).toEqual(["default"]);
    expect(peers.now.sending).toBe(microphones.live[0]);
    expect(session.microphoneId).toBe("default");
    expect(session.phase.at).toBe("talking");
  });

  test.each<[string, () => unknown]>([
    ["another microphone is chosen", (): unknown => session.chooseMicrophone("headset")],
    ["a lost one is replaced", (): unknown => microphones.live[0]?.lose()],
  ])("a call that ends while %s leaves none open", async (_, change) => {
    await talking();
    microphones.ask();
    change();
    await settle();
    session.hangUp();
    await microphones.answer();
    expectFreed();
  });

  test("choosing a microphone outside of a call opens none", async () => {
    await session.chooseMicrophone("headset");
    expect(session.microphoneId).toBe("headset");
    expect(microphones.tracks).toEqual([]);
    const asked: (string | undefined)[] = [];
    const open = microphones.open;
    Object.assign(session["env" as never] as object, {
      openMicrophone: (id?: string): Promise<Opened> => (asked.push(id), open(id)),
    });
    await session.check();
    expect(asked).toEqual(["headset"]);
  });
});
