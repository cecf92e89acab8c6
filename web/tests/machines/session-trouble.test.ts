// The customer's call: hanging up in every state, a lost line, a reload, another tab, another microphone.

import { describe, expect, test } from "vitest";
import type { CallView } from "../../shared/gen/CallView.ts";
import type { Opened } from "../../shared/devices.ts";
import { answered, call, CALL, grant, started } from "../fake/data.ts";
import {
  START,
  HANG_UP,
  network,
  microphones,
  peers,
  rest,
  reports,
  lock,
  session,
  world,
  starting,
  waiting,
  connecting,
  talking,
  expectFreed,
} from "./customer.ts";
import { later, pass, settle } from "./fakes.ts";

describe("hanging up", () => {
  async function resuming(): Promise<void> {
    world.kept = { resume: { session: "kept", lastSeq: 7 }, url: "wss://node.example/ws", call: answered() };
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
    expect(world.kept?.resume).toEqual({ session: "secret", lastSeq: 5 });
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

  test("a sound that was lost while the line was away is asked for once it is back", async () => {
    await talking();
    network.now.fail();
    peers.now.go("disconnected");
    await pass(500);
    const next = network.now;
    await pass(2000);
    expect(session.leg.state).toMatchObject({ at: "interrupted", step: "restarting" });
    await next.open();
    await next.welcome({ resumed: true });
    await settle();
    expect(next.last("leg.renew").data).toEqual({ callId: CALL });
    next.say("leg.grant", { grant: { ...grant("customer"), grant: "fresh" } }, { seq: 8 });
    await settle();
    expect(next.all("leg.restart").map((one) => one.data)).toMatchObject([{ grant: "fresh" }]);
  });

  test("another network finds the line again at once and moves the sound", async () => {
    await talking();
    network.now.fail();
    const tries = network.sockets.length;
    session.networkChanged();
    await settle();
    expect(network.sockets).toHaveLength(tries + 1);
    await network.now.open();
    await network.now.welcome({ resumed: true });
    await settle();
    network.now.say("leg.grant", { grant: { ...grant("customer"), grant: "fresh" } }, { seq: 8 });
    await settle();
    expect(network.now.last("leg.restart").data).toMatchObject({ grant: "fresh" });
    expect(session.phase.at).toBe("talking");
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
    world.kept = { resume: { session: "kept", lastSeq: 7 }, url: "wss://node.example/ws", call: one };
  };

  test("what is kept names nobody", async () => {
    await talking();
    expect(JSON.stringify(world.kept)).not.toMatch(/amina/i);
    expect(world.kept?.call.callId).toBe(CALL);
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

  test("in the line after a talk it asks for its leg and the music, before any talk for none", async () => {
    for (const [answeredAt, renewals] of [
      [answered().answeredAt ?? null, 1],
      [null, 0],
    ] as const) {
      keepOne({ ...call("queued", { position: 1 }), answeredAt });
      await session.resume();
      await network.now.open();
      await network.now.welcome({ resumed: true });
      expect(session.phase.at).toBe("waiting");
      expect(network.now.all("leg.renew")).toHaveLength(renewals);
      session.hangUp();
      session.home();
    }
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
    const given = world.kept;
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
    world.loudness = 0.9;
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
