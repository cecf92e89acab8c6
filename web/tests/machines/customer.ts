// A customer's session with a server, a microphone and a line that the test holds, fresh for every test of a file that
// imports this.

import { afterEach, beforeEach, expect, vi } from "vitest";
import { browserClock } from "../../shared/clock.ts";
import { Session, type CallLock, type Kept } from "../../widget/session.ts";
import { answered, call, CALL, grant, LEG, started } from "../fake/data.ts";
import { FakeMicrophones, FakeRest, Network, Peers, settle } from "./fakes.ts";

export const START = "POST /api/support/call/start";
export const HANG_UP = `POST /api/support/call/${CALL}/hangup`;

/** What a test may set. */
export const world: { kept: Kept | undefined; loudness: number } = { kept: undefined, loudness: 0 };
export let network: Network;
export let microphones: FakeMicrophones;
export let peers: Peers;
export let rest: FakeRest;
export let reports: unknown[];
export let sounds: string[];
export let lock: CallLock & { held: boolean; free: boolean };
export let session: Session;

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") });
  network = new Network();
  microphones = new FakeMicrophones();
  peers = new Peers();
  rest = new FakeRest();
  reports = [];
  sounds = [];
  Object.assign(world, { kept: undefined, loudness: 0 });
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
    keep: { read: () => world.kept, write: (next) => void (world.kept = next) },
    sound: {
      listen: () => {},
      play: () => {},
      silence: () => void sounds.push("silence"),
      blocked: () => false,
      unblock: () => {},
      speaker: () => {},
      mine: () => world.loudness,
      tone: (kind) => void sounds.push(kind),
    },
    report: (event, detail) => reports.push([event, detail]),
  });
});
afterEach(() => {
  session.hangUp();
  vi.useRealTimers();
});

export async function starting(): Promise<void> {
  await session.check();
  await session.start();
}

export async function waiting(): Promise<void> {
  await starting();
  await network.now.open();
  await network.now.welcome({ snapshot: { call: call("queued", { position: 3 }) } });
}

export async function connecting(): Promise<void> {
  await waiting();
  network.now.say("call.accepted", { call: call("connecting", { agentName: "Joyce Atieno" }) }, { seq: 1 });
  network.now.say("leg.grant", { grant: grant("customer") }, { seq: 2 });
  await settle();
}

export async function talking(): Promise<void> {
  await connecting();
  network.now.say("leg.answer", { legId: LEG, sdp: "answer" }, { ref: network.now.last("leg.offer").id });
  await settle();
  peers.now.go("connected");
  network.now.say("call.answered", { call: answered() }, { seq: 3 });
}

/** Nothing of a call is left behind: no microphone, no lock, no connection, nothing to resume, no timer. */
export function expectFreed(): void {
  expect(microphones.live).toEqual([]);
  expect(lock.held).toBe(false);
  expect(peers.all.every((peer) => peer.connectionState === "closed")).toBe(true);
  expect(network.sockets.every((socket) => socket.closed !== undefined)).toBe(true);
  expect(world.kept).toBeUndefined();
  expect(vi.getTimerCount()).toBe(0);
}
