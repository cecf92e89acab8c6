// A supervisor's part in a call, with a server, a microphone and a line that the test holds.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Supervision, type Mode, type Target } from "../../console/routes/admin/supervision.ts";
import { browserClock } from "../../shared/clock.ts";
import { CALL, grant, LEG } from "../fake/data.ts";
import { FakeMicrophones, FakeRest, FakeTrack, later, Network, pass, Peers, problem, settle } from "./fakes.ts";

const OTHER = "00000000-0000-4000-8000-000000000777";
const path = (callId = CALL): string => `/api/support/call/${callId}/supervise`;
const target = (callId = CALL): Target => ({ callId, customerName: "Amina Wanjiru", agentName: "Halima Noor" });

let network: Network;
let microphones: FakeMicrophones;
let peers: Peers;
let rest: FakeRest;
let silent: FakeTrack;
let sounding: number;
let legs: number;
let supervision: Supervision;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  network = new Network();
  microphones = new FakeMicrophones();
  peers = new Peers();
  rest = new FakeRest();
  silent = new FakeTrack("silence");
  sounding = legs = 0;
  for (const callId of [CALL, OTHER]) {
    // Each right is for another leg, as the server's are.
    rest.on(`POST ${path(callId)}`, () => ({
      status: 201,
      body: { ...grant("supervisor"), callId, legId: `${LEG}-${++legs}` },
    }));
    rest.on(`DELETE ${path(callId)}`, { body: {} });
  }
  supervision = new Supervision({
    api: rest.api,
    clock: browserClock,
    random: () => 0.5,
    signalUrl: "wss://help.example/ws",
    connect: network.connect,
    peer: peers.make,
    openMicrophone: () => microphones.open(),
    silentTrack: () => silent as unknown as MediaStreamTrack,
    sound: {
      unlock: () => {},
      play: () => void sounding++,
      silence: () => void (sounding = 0),
      listen: () => {},
    },
  });
});
afterEach(() => {
  supervision.leave();
  vi.useRealTimers();
});

/** What the server was asked, in order. */
const asked = (): string[] =>
  rest.asked.map(({ route, body }) => {
    const mode = (body as { mode?: string } | undefined)?.mode;
    return `${route.split(" ")[0]} ${route.includes(OTHER) ? "other" : "call"}${mode ? ` ${mode}` : ""}`;
  });

async function connect(): Promise<void> {
  await settle();
  await network.now.open();
  await network.now.welcome();
  await settle();
}

/** The leg of the newest right is up, and something is heard. */
async function up(): Promise<void> {
  await settle();
  const offer = network.now.last("leg.offer");
  network.now.say("leg.answer", { legId: offer.data["legId"], sdp: "answer" }, { ref: offer.id });
  await settle();
  peers.now.go("connected");
  peers.now.ontrack?.({ track: new FakeTrack("far") } as unknown as RTCTrackEvent);
}

async function on(mode: Mode): Promise<void> {
  const done = supervision.supervise(target(), mode);
  await connect();
  await done;
  await up();
}

describe("listening", () => {
  test("opens no microphone: silence is what is offered to the server", async () => {
    await on("monitor");
    expect(supervision.stage).toMatchObject({ at: "on", mode: "monitor", target: { callId: CALL } });
    expect(microphones.tracks).toEqual([]);
    expect(peers.now.sending).toBe(silent);
    expect(asked()).toEqual(["POST call monitor"]);
    expect(network.now.last("leg.offer").data).toMatchObject({ legId: `${LEG}-1`, grant: "secret" });
    expect(sounding).toBe(1);
  });

  test("asks for the right only once the line is open", async () => {
    const done = supervision.supervise(target(), "monitor");
    await settle();
    expect(supervision.stage.at).toBe("joining");
    expect(asked()).toEqual([]);
    await connect();
    await done;
    expect(asked()).toEqual(["POST call monitor"]);
  });

  test("is asked once, however often it is pressed", async () => {
    await on("monitor");
    await supervision.supervise(target(), "monitor");
    expect(asked()).toEqual(["POST call monitor"]);
  });

  test("plays every side of a conference", async () => {
    await on("monitor");
    peers.now.ontrack?.({ track: new FakeTrack("second") } as unknown as RTCTrackEvent);
    peers.now.ontrack?.({ track: new FakeTrack("third") } as unknown as RTCTrackEvent);
    expect(sounding).toBe(3);
  });

  test("is left: quiet, the server is told, the line is closed", async () => {
    await on("monitor");
    supervision.leave();
    await settle();
    expect(supervision.stage).toEqual({ at: "idle" });
    expect(asked()).toEqual(["POST call monitor", "DELETE call"]);
    expect(peers.now.connectionState).toBe("closed");
    expect(sounding).toBe(0);
    expect(network.now.closed).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a change of mode", () => {
  test("to speaking opens the microphone, takes another leg, and the time goes on", async () => {
    await on("monitor");
    const { since } = supervision.stage as { since: number };
    await pass(2000);
    const done = supervision.supervise(target(), "whisper");
    expect(supervision.modeOf(CALL)).toBe("whisper");
    await done;
    await settle();
    expect(asked()).toEqual(["POST call monitor", "POST call whisper"]);
    expect(peers.all.map((peer) => peer.connectionState)).toEqual(["closed", "new"]);
    expect(peers.now.sending).toBe(microphones.live[0]);
    expect(supervision.stage).toMatchObject({ at: "on", mode: "whisper", since });
  });

  test("back to listening closes the microphone", async () => {
    await on("barge");
    expect(microphones.live).toHaveLength(1);
    await supervision.supervise(target(), "monitor");
    await settle();
    expect(microphones.live).toEqual([]);
    expect(peers.now.sending).toBe(silent);
  });

  test("from whisper to joining keeps the one microphone", async () => {
    await on("whisper");
    await supervision.supervise(target(), "barge");
    expect(microphones.tracks).toHaveLength(1);
    expect(microphones.live).toHaveLength(1);
  });

  test("without a microphone is told, and the listening goes on", async () => {
    await on("monitor");
    microphones.refusal = "mic_denied";
    await supervision.supervise(target(), "whisper");
    expect(supervision.stage).toMatchObject({ at: "on", mode: "monitor" });
    expect(supervision.notice).toMatchObject({ key: "mic", code: "mic_denied" });
    expect(asked()).toEqual(["POST call monitor"]);
    expect(peers.now.connectionState).toBe("connected");
  });

  test("that the server refuses leaves what was, and closes the microphone", async () => {
    await on("monitor");
    rest.on(`POST ${path()}`, problem(403, "forbidden"));
    await supervision.supervise(target(), "barge");
    expect(supervision.stage).toMatchObject({ at: "on", mode: "monitor" });
    expect(supervision.notice).toMatchObject({ key: "failed", code: "forbidden" });
    expect(microphones.live).toEqual([]);
    expect(peers.now.connectionState).toBe("connected");
  });

  test("pressed quickly one after the other ends in the last, asked for last", async () => {
    await on("monitor");
    const reply = later<{ status: number; body: unknown }>();
    rest.on(`POST ${path()}`, () => reply.promise);
    const first = supervision.supervise(target(), "whisper");
    await settle();
    const second = supervision.supervise(target(), "barge");
    await settle();
    expect(asked()).toEqual(["POST call monitor", "POST call whisper"]);
    reply.resolve({ status: 201, body: { ...grant("supervisor"), legId: "last" } });
    await Promise.all([first, second]);
    await settle();
    expect(asked()).toEqual(["POST call monitor", "POST call whisper", "POST call barge"]);
    expect(supervision.stage).toMatchObject({ at: "on", mode: "barge" });
    expect(microphones.live).toHaveLength(1);
  });
});

describe("another call", () => {
  test("ends the one before, at the server too, and its microphone", async () => {
    await on("whisper");
    await supervision.supervise(target(OTHER), "monitor");
    await settle();
    expect(asked()).toEqual(["POST call whisper", "DELETE call", "POST other monitor"]);
    expect(microphones.live).toEqual([]);
    expect(supervision.modeOf(CALL)).toBeUndefined();
    expect(supervision.stage).toMatchObject({ at: "on", target: { callId: OTHER } });
    expect(network.sockets).toHaveLength(1);
  });
});

describe("what does not work", () => {
  test("a right that comes after one has left is given back", async () => {
    const reply = later<{ status: number; body: unknown }>();
    rest.on(`POST ${path()}`, () => reply.promise);
    const done = supervision.supervise(target(), "monitor");
    await connect();
    supervision.leave();
    reply.resolve({ status: 201, body: grant("supervisor") });
    await done;
    await settle();
    expect(supervision.stage).toEqual({ at: "idle" });
    expect(asked()).toEqual(["POST call monitor", "DELETE call", "DELETE call"]);
    expect(peers.all).toEqual([]);
  });

  test("a microphone that is allowed after one has left is closed again", async () => {
    microphones.ask();
    const done = supervision.supervise(target(), "whisper");
    supervision.leave();
    await microphones.answer();
    await done;
    expect(microphones.live).toEqual([]);
    expect(asked()).toEqual(["DELETE call"]);
  });

  test("a refusal is told by its code, and nothing stays open", async () => {
    rest.on(`POST ${path()}`, problem(429, "media_full"));
    const done = supervision.supervise(target(), "whisper");
    await connect();
    await done;
    expect(supervision.stage).toEqual({ at: "idle" });
    expect(supervision.notice).toEqual({ key: "failed", code: "media_full", name: "Amina Wanjiru" });
    expect(microphones.live).toEqual([]);
    expect(network.now.closed).toBe(true);
  });

  test("a line that cannot be had is told", async () => {
    const done = supervision.supervise(target(), "monitor");
    await settle();
    network.now.fail(4403);
    await done;
    expect(supervision.notice).toMatchObject({ key: "unreachable" });
    expect(supervision.stage).toEqual({ at: "idle" });
    expect(asked()).toEqual([]);
  });

  test("sound that breaks off is repaired with a fresh right for the same leg, and failing that by a new connection", async () => {
    await on("monitor");
    rest.on(`POST ${path()}`, { status: 201, body: { ...grant("supervisor"), legId: `${LEG}-1` } });
    peers.now.go("disconnected");
    await pass(0);
    expect(asked()).toEqual(["POST call monitor", "POST call monitor"]);
    const { legId } = network.now.last("leg.offer").data as { legId: string };
    expect(network.now.last("leg.restart").data).toMatchObject({ legId });
    expect(peers.all).toHaveLength(1);
    peers.now.go("failed");
    await pass(0);
    expect(asked()).toEqual(["POST call monitor", "POST call monitor", "POST call monitor"]);
    expect(network.now.last("leg.offer").data).toMatchObject({ legId: `${LEG}-1` });
    expect(peers.all).toHaveLength(2);
  });

  test("sound that breaks off because the call is over says so", async () => {
    await on("monitor");
    rest.on(`POST ${path()}`, problem(409, "call_ended"));
    peers.now.go("disconnected");
    peers.now.go("failed");
    await pass(0);
    expect(supervision.stage).toEqual({ at: "idle" });
    expect(supervision.notice).toMatchObject({ key: "ended", name: "Amina Wanjiru" });
  });

  test("a call that the list no longer shows is over; one that is just begun is not judged by it", async () => {
    const done = supervision.supervise(target(), "monitor");
    await settle();
    supervision.seen(new Set());
    expect(supervision.stage.at).toBe("joining");
    await connect();
    await done;
    supervision.seen(new Set([CALL, OTHER]));
    expect(supervision.stage.at).toBe("on");
    supervision.seen(new Set([OTHER]));
    expect(supervision.stage).toEqual({ at: "idle" });
    expect(supervision.notice).toMatchObject({ key: "ended" });
    expect(asked()).toEqual(["POST call monitor"]);
  });
});

describe("taking over", () => {
  test("asks with the reason, then leaves sound and line to the desk", async () => {
    await on("whisper");
    expect(await supervision.takeOver(CALL, "asked for me")).toBe(true);
    await settle();
    expect(rest.asked.at(-1)?.body).toEqual({ mode: "takeover", reason: "asked for me" });
    expect(supervision.stage).toEqual({ at: "idle" });
    expect(microphones.live).toEqual([]);
    expect(peers.now.connectionState).toBe("closed");
    expect(asked()).not.toContain("DELETE call");
  });

  test("of a call while listening to another leaves that one", async () => {
    await on("monitor");
    expect(await supervision.takeOver(OTHER, "busy")).toBe(true);
    await settle();
    expect(asked()).toEqual(["POST call monitor", "POST other takeover", "DELETE call"]);
  });

  test("that is refused is told, and the listening goes on", async () => {
    await on("monitor");
    rest.on(`POST ${path()}`, problem(409, "already_in_call"));
    expect(await supervision.takeOver(CALL, "asked for me")).toBe(false);
    expect(supervision.notice).toMatchObject({ key: "failed", code: "already_in_call" });
    expect(supervision.stage).toMatchObject({ at: "on", mode: "monitor" });
    expect(peers.now.connectionState).toBe("connected");
  });
});
