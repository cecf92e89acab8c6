// The customer's call from the press on Call to its end, as the server tells it.

import { describe, expect, test } from "vitest";
import type { CallStatus } from "../../shared/gen/CallStatus.ts";
import { NOTICE_VERSION } from "../../widget/session.ts";
import { answered, call, CALL, grant, heard, LEG, started } from "../fake/data.ts";
import {
  START,
  network,
  microphones,
  peers,
  rest,
  reports,
  sounds,
  lock,
  session,
  starting,
  waiting,
  connecting,
  talking,
  expectFreed,
} from "./customer.ts";
import { pass, problem, settle } from "./fakes.ts";

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
    expect(session.phase).toEqual({ at: "problem", code });
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

  test("a customer whose agent was lost keeps the connection in the line, for the music and for the next agent", async () => {
    await talking();
    const requeued = { ...call("queued", { position: 1 }), answeredAt: answered().answeredAt ?? null };
    network.now.say("call.requeued", { call: requeued }, { seq: 4 });
    expect(session.phase).toMatchObject({ at: "waiting", call: { position: 1 } });
    expect(session.leg.state.at).toBe("up");
    network.now.say("call.ringing", { call: { ...requeued, status: "ringing" } }, { seq: 5 });
    network.now.say("call.accepted", { call: { ...requeued, status: "connecting" } }, { seq: 6 });
    network.now.say("leg.grant", { grant: { ...grant("customer"), grant: "second" } }, { seq: 7 });
    network.now.say("call.answered", { call: answered() }, { seq: 8 });
    await settle();
    expect(session.phase.at).toBe("talking");
    expect(peers.all).toHaveLength(1);
    expect(network.now.all("leg.offer")).toHaveLength(1);
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

  test("what was heard is told to the server each ten seconds, beside what it measures itself", async () => {
    await talking();
    let packets = 0;
    for (let second = 0; second < 12; second++) {
      packets += 50;
      peers.now.rows = [
        { type: "inbound-rtp", kind: "audio", packetsReceived: packets, packetsLost: 0, jitter: 0.004 },
      ];
      await pass(1000);
    }
    const told = rest.asked.filter((one) => one.route.endsWith("/quality"));
    expect(told.map((one) => one.route)).toEqual([`POST /api/support/call/${CALL}/quality`]);
    const { seconds } = told[0]!.body as { seconds: { jitterMs: number; mos: number; loss: number }[] };
    expect(seconds).toHaveLength(10);
    expect(seconds.at(-1)).toMatchObject({ jitterMs: 4, loss: 0 });
  });

  test("three seconds without a packet warn of a silent line", async () => {
    await talking();
    peers.now.rows = [{ type: "inbound-rtp", kind: "audio", packetsReceived: 50, packetsLost: 0 }];
    await pass(3500);
    expect([...session.warnings]).toEqual([]);
    await pass(1000);
    expect([...session.warnings]).toEqual(["silent_line"]);
  });
});
