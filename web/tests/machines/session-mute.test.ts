// The customer's switch and what the server is told of it: silence on purpose is nobody's dead microphone.

import { beforeEach, describe, expect, test } from "vitest";
import type { CallView } from "../../shared/gen/CallView.ts";
import { answered, CALL } from "../fake/data.ts";
import type { Kept } from "../../widget/session.ts";
import { connecting, microphones, network, rest, session, talking, world } from "./customer.ts";
import { problem, settle } from "./fakes.ts";

const MUTE = `POST /api/support/call/${CALL}/mute`;
const UNMUTE = `POST /api/support/call/${CALL}/unmute`;

/** The call as the server shows it, which knows of a closed microphone or not. */
const known = (muted: boolean): CallView => ({
  ...answered(),
  muted: muted ? ["customer"] : [],
  mutedSelf: muted ? ["customer"] : [],
});
const shown = (muted: boolean): void => network.now.say("call.changed", { call: known(muted) });
/** What a page that is loaded anew finds of the one before. */
const before = (): Kept => ({
  resume: { session: "kept", lastSeq: 7 },
  url: "wss://node.example/ws",
  call: known(true),
});
const said = (): string[] => rest.routes().filter((route) => route === MUTE || route === UNMUTE);

describe("a customer's mute", () => {
  beforeEach(() => {
    rest.on(MUTE, { body: known(true) });
    rest.on(UNMUTE, { body: known(false) });
  });

  test("is told once, and so is its end", async () => {
    await talking();
    shown(false);
    session.mute(true);
    await settle();
    expect(said()).toEqual([MUTE]);
    shown(true);
    session.mute(false);
    shown(false);
    await settle();
    expect(said()).toEqual([MUTE, UNMUTE]);
  });

  test("from before the conversation is told when it begins", async () => {
    await connecting();
    session.mute(true);
    expect(said()).toEqual([]);
    network.now.say("call.answered", { call: known(false) }, { seq: 3 });
    await settle();
    expect(said()).toEqual([MUTE]);
  });

  test("that ended while the server could not be reached is taken back when the line is back", async () => {
    await talking();
    session.mute(true);
    shown(true);
    network.now.fail();
    rest.on(UNMUTE, problem(503, "unavailable"));
    session.mute(false);
    await settle();
    expect(said()).toEqual([UNMUTE]);
    session.online();
    await network.now.open();
    await network.now.welcome();
    expect(said()).toEqual([UNMUTE, UNMUTE]);
    shown(false);
    expect(said()).toHaveLength(2);
  });

  test("holds over a reload: the microphone is not open for a moment, and a press opens it", async () => {
    await talking();
    session.mute(true);
    expect(world.kept?.muted).toBe(true);
    session.mute(false);
    expect(world.kept?.muted).toBe(false);
    session.hangUp();
    session.home();

    world.kept = { ...before(), muted: true };
    await session.resume();
    expect(session.muted).toBe(true);
    expect(microphones.live.map((track) => track.enabled)).toEqual([false]);
    await network.now.open();
    await network.now.welcome({ snapshot: { call: known(true) } });
    expect(said()).toEqual([]);
    session.mute(false);
    await settle();
    expect(microphones.live.map((track) => track.enabled)).toEqual([true]);
    expect(said()).toEqual([UNMUTE]);
  });

  test("of before a reload does not keep a page silent whose switch was open", async () => {
    world.kept = before();
    await session.resume();
    await network.now.open();
    await network.now.welcome({ snapshot: { call: known(true) } });
    expect(session.muted).toBe(false);
    expect(said()).toContain(UNMUTE);
    expect(said()).not.toContain(MUTE);
  });

  test("by the house is not his own: he is told, and his switch is as it was", async () => {
    await talking();
    expect(session.silenced).toBe(false);
    network.now.say("call.muted", { call: { ...known(false), muted: ["customer"], mutedByOthers: ["customer"] } });
    await settle();
    expect([session.silenced, session.muted]).toEqual([true, false]);
    expect(said()).toEqual([]);
    shown(false);
    expect(session.silenced).toBe(false);
  });

  test("is not told to a server that knows nothing of it, and a refusal changes nothing here", async () => {
    await talking();
    rest.on(MUTE, problem(429, "rate_limited"));
    session.mute(true);
    expect(said()).toEqual([]);
    shown(false);
    await settle();
    expect(said()).toEqual([MUTE]);
    expect(session.muted).toBe(true);
    expect(session.phase.at).toBe("talking");
  });
});
