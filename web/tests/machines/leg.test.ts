// The sound connection against a peer connection that the test holds: order, repair, late answers, the end.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { browserClock } from "../../shared/clock.ts";
import { FRESH_TIMEOUT_MS, Leg, REBUILDS_MAX, REPAIR_TIMEOUT_MS, type Peer, type Sent } from "../../shared/leg.ts";
import { between, isDeadMicrophone, Monitor, read, type Reading, type Second } from "../../shared/quality.ts";
import { CALL, grant, LEG } from "../fake/data.ts";
import { FakeTrack, later, pass, Peers, settle } from "./fakes.ts";

let peers: Peers;
let leg: Leg;
let requests: { type: string; data: unknown; resolve: (sent: Sent) => void }[];
let sent: { type: string; data: unknown }[];
let heard: unknown[];
/** False while signalling is away. */
let line: boolean;
const track = (): MediaStreamTrack => new FakeTrack("built-in") as unknown as MediaStreamTrack;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  peers = new Peers();
  requests = [];
  sent = [];
  heard = [];
  line = true;
  leg = new Leg({
    peer: peers.make,
    clock: browserClock,
    request(type, data) {
      if (!line) return Promise.resolve({ ok: false, code: "ws_unreachable" });
      const { promise, resolve } = later<Sent>();
      requests.push({ type, data, resolve });
      return promise;
    },
    send(type, data) {
      if (line) sent.push({ type, data });
      return line;
    },
    sound: { play: (one) => heard.push(one), silence: () => heard.splice(0) },
  });
});
afterEach(() => {
  vi.useRealTimers();
});

async function answer(sdp = "answer", at = -1): Promise<void> {
  requests.at(at)?.resolve({ ok: true, type: "leg.answer", data: { legId: LEG, sdp } });
  await settle();
}

async function offered(): Promise<void> {
  leg.setTrack(track());
  leg.granted(grant("customer"));
  await settle();
}

async function up(): Promise<void> {
  await offered();
  await answer();
  peers.now.go("connected");
}

/** A fresh grant for the same leg. */
async function renewed(secret = "fresh"): Promise<void> {
  leg.granted({ ...grant("customer"), grant: secret });
  await settle();
}

describe("offer and answer", () => {
  test("comes up in order: own sound, two sections to listen, local, asked, remote", async () => {
    const microphone = track();
    leg.setTrack(microphone);
    expect(peers.all).toHaveLength(0);
    leg.granted({
      ...grant("customer"),
      iceServers: [{ urls: ["turn:help.example"], username: "u", credential: "c" }, { urls: ["stun:help.example"] }],
    });
    await settle();
    expect(leg.state).toEqual({ at: "offering" });
    expect(peers.now.config.iceServers).toEqual([
      { urls: ["turn:help.example"], username: "u", credential: "c" },
      { urls: ["stun:help.example"] },
    ]);
    expect(requests.map((one) => [one.type, one.data])).toEqual([
      ["leg.offer", { legId: LEG, grant: "secret", sdp: "offer 1" }],
    ]);
    await answer();
    expect(leg.state).toEqual({ at: "connecting" });
    expect(peers.now.log).toEqual([
      "transceiver sendrecv",
      "transceiver recvonly",
      "transceiver recvonly",
      "offer",
      "local",
      "remote answer",
    ]);
    expect(peers.now.sending).toBe(microphone);
    peers.now.go("connected");
    expect(leg.state).toEqual({ at: "up" });
    await pass(60_000);
    expect(leg.state.at).toBe("up");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("offers the server to send lost audio again, and leaves the browser's own description alone", async () => {
    const made = peers.make;
    const local: (string | undefined)[] = [];
    peers.make = (config) => {
      const peer: Peer = made(config);
      const opus = "a=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\n";
      peer.createOffer = async () => ({ type: "offer", sdp: `m=audio\r\n${opus}m=audio\r\n${opus}` });
      peer.setLocalDescription = async (description) => void local.push(description.sdp);
      return peer as ReturnType<typeof made>;
    };
    leg = new Leg({
      peer: (config) => peers.make(config),
      clock: browserClock,
      request: (type, data) => {
        requests.push({ type, data, resolve: () => {} });
        return later<Sent>().promise;
      },
      send: () => true,
      sound: { play: () => {}, silence: () => {} },
    });
    await offered();
    const section = "m=audio\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 nack\r\na=rtpmap:63 red/48000/2\r\n";
    expect(requests.map((one) => one.data)).toEqual([{ legId: LEG, grant: "secret", sdp: section + section }]);
    expect(local.join()).not.toContain("nack");
  });

  test("a grant before the microphone waits for it", async () => {
    leg.granted(grant("customer"));
    await settle();
    expect(peers.all).toHaveLength(0);
    leg.setTrack(track());
    await settle();
    expect(peers.all).toHaveLength(1);
    expect(requests).toHaveLength(1);
  });

  test("another microphone replaces the first one without another offer", async () => {
    await up();
    const next = track();
    leg.setTrack(next);
    await settle();
    expect(peers.now.sending).toBe(next);
    expect(requests).toHaveLength(1);
  });

  test("a grant that was not asked for leaves a working connection alone", async () => {
    await up();
    await renewed();
    expect(peers.all).toHaveLength(1);
    expect(requests).toHaveLength(1);
  });

  test("the other side's tracks are handed on, those of a former connection are not", async () => {
    await up();
    const former = peers.now;
    const ontrack = former.ontrack;
    ontrack?.({ track: "first" } as unknown as RTCTrackEvent);
    expect(heard).toEqual(["first"]);
    leg.close();
    expect(former.ontrack).toBeNull();
    expect(heard).toEqual([]);
  });

  test("a connection that is made anew takes the place of what the one before has brought", async () => {
    await up();
    const sounds = (): void => {
      for (const n of [1, 2, 3]) peers.now.ontrack?.({ track: `${peers.all.length}.${n}` } as unknown as RTCTrackEvent);
    };
    sounds();
    for (const made of [2, 3]) {
      peers.now.go("disconnected");
      peers.now.go("failed");
      await renewed();
      expect(peers.all).toHaveLength(made);
      await answer();
      sounds();
      peers.now.go("connected");
    }
    expect(heard).toEqual(["3.1", "3.2", "3.3"]);
  });

  test("a refused offer asks for another grant instead of the same again", async () => {
    await offered();
    requests.at(-1)?.resolve({ ok: false, code: "grant_expired" });
    await settle();
    expect(leg.state).toMatchObject({ at: "interrupted", step: "rebuilding" });
    expect(peers.all[0]?.log.at(-1)).toBe("closed");
    expect(sent.map((one) => one.type)).toEqual(["leg.renew"]);
    await renewed();
    expect(requests.at(-1)?.data).toMatchObject({ grant: "fresh", sdp: "offer 2" });
  });

  test("an answer to another leg is not for us", async () => {
    await offered();
    requests.at(-1)?.resolve({ ok: true, type: "leg.answer", data: { legId: "another", sdp: "wrong" } });
    await settle();
    expect(peers.now.answers()).toEqual([]);
  });

  test("an answer that the browser refuses leaves the repair to its timer", async () => {
    await offered();
    peers.now.refusesAnswers = true;
    await answer();
    expect(leg.state).toEqual({ at: "offering" });
    await pass(REPAIR_TIMEOUT_MS);
    expect(leg.state).toMatchObject({ at: "interrupted", step: "rebuilding" });
  });
});

describe("what comes too late", () => {
  test("an answer after the hang-up touches nothing", async () => {
    await offered();
    leg.close();
    await answer();
    expect(leg.state).toEqual({ at: "closed" });
    expect(peers.now.log.at(-1)).toBe("closed");
    expect(peers.now.answers()).toEqual([]);
  });

  test("a hang-up while the browser makes the offer sends none", async () => {
    leg.setTrack(track());
    leg.granted(grant("customer"));
    leg.close();
    await settle();
    expect(requests).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a grant or a microphone after the hang-up makes no connection", async () => {
    await up();
    leg.close();
    await renewed();
    leg.setTrack(track());
    leg.signalling();
    await pass(60_000);
    expect(peers.all).toHaveLength(1);
    expect(sent).toEqual([]);
    expect(leg.state).toEqual({ at: "closed" });
  });

  test("the answer to a former connection is not given to the one that replaced it", async () => {
    await offered();
    await pass(REPAIR_TIMEOUT_MS);
    await renewed();
    expect(peers.all).toHaveLength(2);
    await answer("old", 0);
    expect(peers.now.answers()).toEqual([]);
    await answer("new", 1);
    expect(peers.now.answers()).toEqual(["remote new"]);
  });
});

describe("repair", () => {
  test("an interruption restarts ICE over the same connection, with the servers of a fresh grant", async () => {
    await up();
    peers.now.go("disconnected");
    await settle();
    expect(leg.state).toEqual({ at: "interrupted", step: "restarting" });
    expect(sent).toEqual([{ type: "leg.renew", data: { callId: CALL } }]);
    expect(requests).toHaveLength(1);
    const iceServers = [{ urls: ["turn:help.example"], username: "later", credential: "c" }];
    leg.granted({ ...grant("customer"), grant: "fresh", iceServers });
    await settle();
    expect(requests.at(-1)).toMatchObject({ type: "leg.restart", data: { legId: LEG, grant: "fresh" } });
    expect(peers.now.log.slice(-3)).toEqual(["configured", "restart offer", "local"]);
    expect(peers.now.config).toEqual({ iceServers, bundlePolicy: "max-bundle" });
    await answer("restarted");
    expect(peers.now.answers()).toEqual(["remote answer", "remote restarted"]);
    peers.now.go("connected");
    expect(leg.state.at).toBe("up");
    await pass(60_000);
    expect(peers.all).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a grant that does not come holds up no restart", async () => {
    await up();
    peers.now.go("disconnected");
    await pass(FRESH_TIMEOUT_MS - 1);
    expect(requests).toHaveLength(1);
    await pass(1);
    expect(requests.at(-1)).toMatchObject({ type: "leg.restart", data: { grant: "secret" } });
    await renewed("late");
    expect(requests).toHaveLength(2);
    await answer("restarted");
    peers.now.go("connected");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a grant for another leg ends the wait of the one before", async () => {
    await up();
    peers.now.go("disconnected");
    leg.granted({ ...grant("customer"), legId: "another", grant: "other" });
    await settle();
    expect(peers.all).toHaveLength(2);
    await pass(FRESH_TIMEOUT_MS);
    expect(requests.map((one) => one.type)).toEqual(["leg.offer", "leg.offer"]);
  });

  test("a deployment may want media to go through a relay only", async () => {
    leg.setTrack(track());
    leg.granted({ ...grant("customer"), iceTransportPolicy: "relay" });
    await settle();
    expect(peers.now.config.iceTransportPolicy).toBe("relay");
  });

  test("an interruption that heals by itself needs no answer", async () => {
    await up();
    peers.now.go("disconnected");
    await renewed();
    peers.now.go("connected");
    await answer("restarted");
    await pass(60_000);
    expect(leg.state.at).toBe("up");
    expect(peers.all).toHaveLength(1);
  });

  test("another network restarts ICE before anything is missed, and says nothing of it", async () => {
    await up();
    leg.networkChanged();
    await renewed();
    expect(leg.state.at).toBe("up");
    expect(requests.at(-1)).toMatchObject({ type: "leg.restart", data: { grant: "fresh" } });
    await answer("restarted");
    await pass(60_000);
    expect(peers.now.answers()).toEqual(["remote answer", "remote restarted"]);
    expect(peers.all).toHaveLength(1);
  });

  test("another network changes nothing before the sound, while a connection is made anew, and after the end", async () => {
    leg.networkChanged();
    await offered();
    leg.networkChanged();
    await settle();
    expect(requests).toHaveLength(1);
    await answer();
    peers.now.go("failed");
    leg.networkChanged();
    leg.close();
    leg.networkChanged();
    await settle();
    expect(requests).toHaveLength(1);
  });

  test("a line that falls silent is restarted once, and again after sound came back", async () => {
    await up();
    leg.flowing(false);
    await settle();
    expect(requests).toHaveLength(1);
    for (const flows of [true, true, false, false, true, false]) {
      leg.flowing(flows);
      await renewed();
    }
    expect(requests.map((one) => one.type)).toEqual(["leg.offer", "leg.restart", "leg.restart"]);
    expect(leg.state.at).toBe("up");
  });

  test("of two restarts the answer to the second is taken, whichever comes first", async () => {
    await up();
    leg.networkChanged();
    await renewed();
    peers.now.go("disconnected");
    await renewed();
    await answer("second", 2);
    await answer("first", 1);
    expect(peers.now.answers()).toEqual(["remote answer", "remote second"]);
  });

  test("a restart that the server refuses is followed by a new connection under a fresh grant", async () => {
    await up();
    peers.now.go("disconnected");
    await renewed();
    requests.at(-1)?.resolve({ ok: false, code: "unknown_grant" });
    await settle();
    expect(leg.state).toEqual({ at: "interrupted", step: "rebuilding" });
    expect(sent.map((one) => one.type)).toEqual(["leg.renew", "leg.renew"]);
    await renewed();
    expect(peers.all).toHaveLength(2);
    expect(requests.at(-1)).toMatchObject({ type: "leg.offer", data: { grant: "fresh" } });
  });

  test("ICE that failed is restarted at once", async () => {
    await up();
    peers.now.go("failed");
    await settle();
    expect(leg.state).toMatchObject({ at: "interrupted", step: "restarting" });
  });

  test("a restart that does not help in ten seconds is followed by a new connection", async () => {
    await up();
    peers.now.go("disconnected");
    await renewed();
    await answer("restarted");
    await pass(REPAIR_TIMEOUT_MS);
    expect(leg.state).toMatchObject({ at: "interrupted", step: "rebuilding" });
    await renewed();
    expect(peers.all).toHaveLength(2);
    expect(peers.all[0]?.log.at(-1)).toBe("closed");
    await answer();
    peers.now.go("connected");
    expect(leg.state.at).toBe("up");
  });

  test("three new connections in vain, then it has failed, for good", async () => {
    await offered();
    for (let n = 0; n < REBUILDS_MAX; n++) {
      peers.now.go("failed");
      expect(leg.state).toMatchObject({ at: "interrupted", step: "rebuilding" });
      await renewed();
    }
    expect(peers.all).toHaveLength(REBUILDS_MAX + 1);
    peers.now.go("failed");
    expect(leg.state).toEqual({ at: "failed" });
    expect(peers.now.log.at(-1)).toBe("closed");
    await renewed();
    expect(peers.all).toHaveLength(REBUILDS_MAX + 1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a connection that came up has all its tries again", async () => {
    await up();
    for (let n = 0; n < REBUILDS_MAX + 2; n++) {
      peers.now.go("failed");
      await settle();
      peers.now.go("failed");
      await renewed();
      peers.now.go("connected");
      expect(leg.state.at).toBe("up");
    }
  });

  test("what could not be asked without signalling is asked once it is back", async () => {
    await up();
    line = false;
    peers.now.go("disconnected");
    await settle();
    expect(requests).toHaveLength(1);
    line = true;
    leg.signalling();
    await renewed();
    expect(requests.at(-1)?.type).toBe("leg.restart");
    await answer("restarted");
    leg.signalling();
    await settle();
    expect(requests).toHaveLength(2);
    expect(sent.map((one) => one.type)).toEqual(["leg.renew"]);
  });

  test("an offer that the line lost is made again once signalling is back", async () => {
    line = false;
    await offered();
    line = true;
    leg.signalling();
    expect(sent.map((one) => one.type)).toEqual(["leg.renew"]);
    await renewed();
    expect(requests.map((one) => one.type)).toEqual(["leg.offer"]);
  });

  test("signalling that comes and goes asks nothing of a connection that is well", async () => {
    await up();
    leg.signalling();
    expect(sent).toEqual([]);
  });
});

describe("from stats to a hint", () => {
  const rows = (packets: number, lost: number, jitter = 0.005, rtt = 0.05): Record<string, unknown>[] => [
    {
      type: "inbound-rtp",
      kind: "audio",
      packetsReceived: packets,
      packetsLost: lost,
      jitter,
    },
    { type: "candidate-pair", nominated: true, currentRoundTripTime: rtt },
    { type: "candidate-pair", nominated: false, currentRoundTripTime: 9 },
    { type: "inbound-rtp", kind: "video", packetsReceived: 9, packetsLost: 9 },
  ];
  const at = (n: number, packets: number, lost: number, jitter?: number, rtt?: number): Reading =>
    read(rows(packets, lost, jitter, rtt) as Iterable<Record<string, unknown>>, n * 1000);

  test("a clean second is a good one", () => {
    const second = between(at(0, 100, 0), at(1, 150, 0));
    expect(second).toMatchObject({ loss: 0, jitterMs: 5, rttMs: 50, flowing: true });
    expect(second.mos).toBeGreaterThan(4.3);
  });

  test("five of fifty lost is a tenth, and heard", () => {
    const second = between(at(0, 100, 2), at(1, 145, 7));
    expect(second.loss).toBeCloseTo(0.1);
    expect(second.mos).toBeLessThan(3);
  });

  test("counters that begin anew are no loss and no negative traffic", () => {
    expect(between(at(0, 9000, 40), at(1, 50, 0))).toMatchObject({ loss: 0, flowing: false });
  });

  test("a warning needs three bad of five seconds and none of five to clear", () => {
    const good: Second = { loss: 0, jitterMs: 5, rttMs: 50, mos: 4.4, flowing: true };
    const bad: Second = { ...good, loss: 0.02 };
    const monitor = new Monitor();
    const shown = [bad, good, bad, good, good, bad, bad, bad].map((second, n) =>
      monitor.push(second, n * 1000).has("loss"),
    );
    expect(shown).toEqual([false, false, false, false, false, false, true, true]);
    const after = Array.from({ length: 6 }, (_, n) => monitor.push(good, (8 + n) * 1000).has("loss"));
    expect(after).toEqual([true, true, true, true, false, false]);
  });

  test("ten seconds are told at once, each of them once", () => {
    const second: Second = { loss: 0, jitterMs: 5, rttMs: 50, mos: 4.4, flowing: true };
    const monitor = new Monitor();
    const told = Array.from({ length: 25 }, (_, n) => {
      monitor.push({ ...second, jitterMs: n }, n * 1000);
      const seconds = monitor.heard();
      return seconds ? seconds.map((one) => one.jitterMs).join() : "";
    });
    expect(told.filter(Boolean)).toEqual(["0,1,2,3,4,5,6,7,8,9", "10,11,12,13,14,15,16,17,18,19"]);
    expect([told[8], told[9], told[19]]).toEqual(["", "0,1,2,3,4,5,6,7,8,9", "10,11,12,13,14,15,16,17,18,19"]);
  });

  test("a warning stays five seconds, so that it can be read", () => {
    const good: Second = { loss: 0, jitterMs: 5, rttMs: 50, mos: 4.4, flowing: true };
    const monitor = new Monitor();
    for (let n = 0; n < 3; n++) monitor.push({ ...good, loss: 0.02 }, n);
    for (let n = 3; n < 8; n++) monitor.push(good, n);
    expect(monitor.push(good, 5001).has("loss")).toBe(true);
    expect(monitor.push(good, 5002).has("loss")).toBe(false);
  });

  test.each([
    ["delay", { rttMs: 401 }, { rttMs: 400 }],
    ["jitter", { jitterMs: 30.1 }, { jitterMs: 30 }],
    ["score", { mos: 2.99 }, { mos: 3 }],
    ["loss", { loss: 0.0101 }, { loss: 0.01 }],
    ["silent_line", { flowing: false }, { flowing: true }],
  ] as const)("%s warns beyond its limit and not at it", (name, beyond, within) => {
    const good: Second = { loss: 0, jitterMs: 5, rttMs: 50, mos: 4.4, flowing: true };
    const raised = (second: Partial<Second>): string[] => {
      const monitor = new Monitor();
      for (let n = 0; n < 2; n++) monitor.push({ ...good, ...second }, n);
      return [...monitor.push({ ...good, ...second }, 2)];
    };
    expect(raised(beyond)).toEqual([name]);
    expect(raised(within)).toEqual([]);
  });

  test("a microphone is dead after ten levels that hardly move, not after nine", () => {
    expect(isDeadMicrophone(Array<number>(9).fill(0))).toBe(false);
    expect(isDeadMicrophone(Array<number>(10).fill(0))).toBe(true);
    expect(isDeadMicrophone([...Array<number>(9).fill(0), 0.4])).toBe(false);
  });
});
