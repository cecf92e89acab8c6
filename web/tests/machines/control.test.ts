// What an agent may do with a running call: muting, asking a colleague, and how the desk follows when others do it.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { pressed, type Press } from "../../console/routes/agent/keys.ts";
import type { CallView } from "../../shared/gen/CallView.ts";
import type { Shielded } from "../../shared/gen/Shielded.ts";
import { mutedByOthers, shieldOf } from "../../console/whole.ts";
import type { Part } from "../../shared/gen/Part.ts";
import { answered, asked, available, CALL, consulted, consultOffer, DAVID, HALIMA, heardOf } from "../fake/data.ts";
import { later, problem, settle } from "./fakes.ts";
import { Scene } from "./scene.ts";

const path = (end: string): string => `POST /api/support/call/${CALL}/${end}`;
const muted = (...parts: Part[]): CallView => ({ ...answered(), muted: parts });

let scene: Scene;
beforeEach(() => void vi.useFakeTimers({ now: Date.parse("2026-11-24T10:00:00Z") }));
afterEach(() => {
  scene.desk.close();
  vi.useRealTimers();
});

describe("muting oneself", () => {
  test("closes the microphone before the server has answered", async () => {
    scene = await Scene.talking();
    const reply = later<{ body: unknown }>();
    scene.rest.on(path("mute"), () => reply.promise);
    const done = scene.desk.control.muteSelf(true);
    expect(scene.microphones.live[0]?.enabled).toBe(false);
    expect(scene.desk.control.mutedSelf).toBe(true);
    reply.resolve({ body: muted("agent") });
    await done;
    expect(scene.asked("/mute")).toEqual([{ part: "agent" }]);
    expect(scene.call?.muted).toEqual(["agent"]);
  });

  test("pressed twice while the server is asked ends where the last press wants it", async () => {
    scene = await Scene.talking();
    const reply = later<{ body: unknown }>();
    scene.rest.on(path("mute"), () => reply.promise);
    scene.rest.on(path("unmute"), { body: muted() });
    const done = scene.desk.control.muteSelf(true);
    await scene.desk.control.muteSelf(false);
    expect(scene.microphones.live[0]?.enabled).toBe(true);
    reply.resolve({ body: muted("agent") });
    await done;
    expect(scene.asked("/unmute")).toEqual([{ part: "agent" }]);
    expect(scene.desk.control.mutedSelf).toBe(false);
  });

  test("holds although the server refuses, and without a word", async () => {
    scene = await Scene.talking();
    scene.rest.on(path("mute"), problem(503, "unavailable"));
    await scene.desk.control.muteSelf(true);
    expect(scene.microphones.live[0]?.enabled).toBe(false);
    expect(scene.desk.notice).toBeUndefined();
  });

  test("by somebody else ends at a press where the server permits it", async () => {
    scene = await Scene.talking();
    scene.say("call.muted", { call: { ...muted("agent"), mutedSelf: [], mutedByOthers: ["agent"] } });
    const { control, voice } = scene.desk;
    expect([control.mutedSelf, control.mutedByOther, voice.muted]).toEqual([true, true, false]);
    scene.rest.on(path("unmute"), { body: { ...muted(), mutedSelf: [] } });
    await control.muteSelf(!control.mutedSelf);
    expect(scene.asked("/unmute")).toEqual([{ part: "agent" }]);
    expect(control.mutedSelf).toBe(false);
    expect(scene.desk.notice).toBeUndefined();
  });

  test("by a supervisor is shown, is refused to end with its reason, and ends when he wants it", async () => {
    scene = await Scene.talking();
    scene.say("call.muted", { call: { ...muted("agent"), mutedSelf: [] } });
    const { control, voice } = scene.desk;
    expect([control.mutedSelf, control.mutedByOther, voice.muted]).toEqual([true, true, false]);
    scene.rest.on(path("unmute"), problem(403, "forbidden"));
    await control.muteSelf(!control.mutedSelf);
    expect(scene.asked("/unmute")).toEqual([{ part: "agent" }]);
    expect(scene.desk.notice).toEqual({ key: "mute_kept", code: "forbidden" });
    expect(control.mutedSelf).toBe(true);

    // Her own switch is told all the same, and stays closed when he takes his away.
    scene.rest.on(path("mute"), { body: { ...muted("agent"), mutedSelf: ["agent"] } });
    await control.muteSelf(true);
    expect(scene.asked("/mute")).toEqual([{ part: "agent" }]);
    expect([control.mutedSelf, control.mutedByOther]).toEqual([true, false]);
    scene.say("call.unmuted", { call: { ...muted("agent"), mutedSelf: ["agent"] } });
    scene.rest.on(path("unmute"), { body: { ...muted(), mutedSelf: [] } });
    await control.muteSelf(false);
    expect(control.mutedSelf).toBe(false);
  });

  test("of before the page was loaded anew is one's own, and ends at a press", async () => {
    scene = await Scene.talking();
    scene.say("call.changed", { call: { ...muted("agent"), mutedSelf: ["agent"] } });
    const { control, voice } = scene.desk;
    expect([control.mutedSelf, control.mutedByOther, voice.muted]).toEqual([true, false, false]);
    scene.rest.on(path("unmute"), { body: { ...muted(), mutedSelf: [] } });
    await control.muteSelf(false);
    expect(scene.asked("/unmute")).toEqual([{ part: "agent" }]);
    expect(control.mutedSelf).toBe(false);
  });

  test("on a server that does not say whose it is ends at a press", async () => {
    scene = await Scene.talking();
    scene.say("call.muted", { call: muted("agent") });
    expect(scene.desk.control.mutedSelf).toBe(true);
    expect(scene.desk.voice.muted).toBe(false);
    scene.rest.on(path("unmute"), { body: muted() });
    await scene.desk.control.muteSelf(!scene.desk.control.mutedSelf);
    expect(scene.desk.control.mutedSelf).toBe(false);
  });

  test("that the server will not end is told", async () => {
    scene = await Scene.talking();
    scene.say("call.muted", { call: muted("agent") });
    scene.rest.on(path("unmute"), problem(403, "forbidden"));
    await scene.desk.control.muteSelf(false);
    expect(scene.desk.notice).toEqual({ key: "mute_kept", code: "forbidden" });
    expect(scene.desk.control.mutedSelf).toBe(true);
  });
});

test("a server of the version before, which tells less, shows a call all the same", async () => {
  const { muted: _, ...older } = answered();
  scene = await Scene.talking(undefined, older as CallView);
  expect(scene.call?.muted).toEqual([]);
  const { speaking: __, flags: ___, ...leg } = heardOf(["customer"], "customer").legs[0]!;
  scene.network.now.say("call.quality", { callId: CALL, legs: [leg] });
  expect(scene.desk.voice.legs).toMatchObject([{ part: "customer", speaking: false, flags: [] }]);
});

test("muting the customer is asked once and shown when the server says so", async () => {
  scene = await Scene.talking();
  scene.rest.on(path("mute"), { body: muted("customer") });
  const first = scene.desk.control.mute("customer", true);
  await scene.desk.control.mute("customer", true);
  expect(scene.call?.muted).toEqual([]);
  await first;
  expect(scene.asked("/mute")).toEqual([{ part: "customer" }]);
  expect(scene.call?.muted).toEqual(["customer"]);
});

test("a customer who has muted himself is muted and heard again by the agent all the same", async () => {
  scene = await Scene.talking();
  const himself = { mutedSelf: ["customer" as const] };
  const both = { ...muted("customer"), ...himself, mutedByOthers: ["customer" as const] };
  scene.say("call.muted", { call: { ...muted("customer"), ...himself, mutedByOthers: [] } });
  scene.rest.on(path("mute"), { body: both });
  scene.rest.on(path("unmute"), problem(403, "forbidden"));
  const page = { ask: () => undefined };
  const press = { key: "M", repeat: false, ctrlKey: false, metaKey: false, altKey: false, shiftKey: true };
  expect(pressed(scene.desk, page, press)).toBe(true);
  await settle();
  expect(scene.asked("/mute")).toEqual([{ part: "customer" }]);
  expect(mutedByOthers(scene.call!, "customer")).toBe(true);
  pressed(scene.desk, page, press);
  await settle();
  expect(scene.asked("/unmute")).toEqual([{ part: "customer" }]);
  expect(scene.desk.notice).toEqual({ key: "mute_kept", code: "forbidden" });
});

test("whose a mute is, as far as a server of the version before tells it", () => {
  const older = (mutedSelf?: Part[]): CallView => ({ ...muted("customer"), ...(mutedSelf ? { mutedSelf } : {}) });
  expect(mutedByOthers(older(), "customer")).toBe(true);
  expect(mutedByOthers(older([]), "customer")).toBe(true);
  expect(mutedByOthers(older(["customer"]), "customer")).toBe(false);
  expect(mutedByOthers(older(), "agent")).toBe(false);
});

describe("shielding keys", () => {
  const shielded = (how: Shielded): CallView => ({ ...answered(), shielded: how });
  const press: Press = { key: "k", repeat: false, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false };
  const page = { ask: () => undefined };

  test("is asked once, shown when the server says so, and taken back by the same key", async () => {
    scene = await Scene.talking();
    scene.rest.on(path("shield"), { body: shielded("on") });
    scene.rest.on(path("unshield"), { body: shielded("off") });
    expect(pressed(scene.desk, page, press)).toBe(true);
    expect(scene.desk.control.pending).toBe("shield");
    await settle();
    expect(scene.asked("/shield")).toEqual([{}]);
    expect(scene.call?.shielded).toBe("on");
    pressed(scene.desk, page, press);
    await settle();
    expect(scene.asked("/unshield")).toEqual([{}]);
    expect(scene.call?.shielded).toBe("off");
  });

  test("that the server refuses is told and changes nothing", async () => {
    scene = await Scene.talking();
    scene.rest.on(path("shield"), problem(503, "unavailable"));
    await scene.desk.control.shield(true);
    expect(scene.desk.notice).toEqual({ key: "command_failed", code: "unavailable" });
    expect(scene.call?.shielded).toBeUndefined();
  });

  test("is nobody's choice where the house shields every call", async () => {
    scene = await Scene.talking();
    scene.say("call.changed", { call: shielded("always") });
    pressed(scene.desk, page, press);
    await settle();
    expect(scene.asked("/unshield")).toEqual([]);
    expect(scene.call?.shielded).toBe("always");
  });

  test("a server of the version before shields nothing", async () => {
    scene = await Scene.talking();
    expect(shieldOf(scene.call!)).toBe("off");
  });
});

describe("asking a colleague", () => {
  beforeEach(async () => {
    scene = await Scene.talking();
    scene.rest.on("GET /api/support/staff/available", { body: { staff: available() } });
    scene.rest.on(path("consult"), () => ({ status: 202, body: consulted("ringing") }));
  });

  test("rings, is answered, becomes a conference, and ends with the colleague leaving", async () => {
    await scene.desk.control.consult(DAVID);
    expect(scene.asked("/consult")).toEqual([{ staffId: DAVID }]);
    expect(scene.call?.consult?.state).toBe("ringing");
    scene.say("call.consulting", { call: consulted("talking") });
    expect(scene.call?.consult?.state).toBe("talking");
    scene.rest.on(path("consult/merge"), { body: consulted("conference") });
    await scene.desk.control.merge();
    expect(scene.call?.consult?.state).toBe("conference");
    scene.say("call.consult_ended", { call: answered() });
    expect(scene.call?.consult).toBeUndefined();
    expect(scene.desk.notice).toMatchObject({ key: "partner_left", name: "David Kimani" });
    expect(scene.desk.stage.at).toBe("talking");
  });

  test("who does not answer is told", async () => {
    await scene.desk.control.consult(DAVID);
    scene.say("call.consult_ended", { call: answered() });
    expect(scene.desk.notice).toMatchObject({ key: "consult_unanswered", name: "David Kimani" });
  });

  test("that one ends oneself says nothing more", async () => {
    await scene.desk.control.consult(DAVID);
    scene.rest.on(path("consult/cancel"), () => {
      scene.say("call.consult_ended", { call: answered() });
      return { body: answered() };
    });
    await scene.desk.control.cancel();
    expect(scene.call?.consult).toBeUndefined();
    expect(scene.desk.notice).toBeUndefined();
  });

  test("who is not free any more is told, and the list is read again", async () => {
    scene.rest.on(path("consult"), problem(409, "already_in_call"));
    await scene.desk.control.consult(DAVID);
    await settle();
    expect(scene.desk.notice).toEqual({ key: "consult_failed", code: "already_in_call" });
    expect(scene.desk.control.colleagues).toHaveLength(available().length);
    expect(scene.call?.consult).toBeUndefined();
  });

  test("a list that cannot be read says so, and keeps what was read before", async () => {
    await scene.desk.control.readColleagues();
    scene.rest.on("GET /api/support/staff/available", problem(503, "unavailable"));
    await scene.desk.control.readColleagues();
    expect(scene.desk.control.unread).toBe(true);
    expect(scene.desk.control.colleagues).toHaveLength(available().length);
  });

  test("passing the call on frees this desk's sound, and the wrap-up knows to whom it went", async () => {
    scene.say("call.consulting", { call: consulted("talking") });
    const passed = { ...answered(), agentName: "David Kimani", agentId: DAVID };
    scene.rest.on(path("consult/complete"), { body: passed });
    await scene.desk.control.complete();
    expect(scene.desk.stage.at).toBe("idle");
    expect(scene.desk.notice).toMatchObject({ key: "transferred", name: "David Kimani" });
    expect(scene.microphones.live).toEqual([]);
    scene.say("call.transferred", { call: passed });
    scene.say("call.wrap_up", { offerId: "o", callId: CALL, customerName: "A", endsAt: "", extensionsLeft: 2 });
    expect(scene.desk.stage).toMatchObject({ at: "wrapping", call: { agentName: "David Kimani", status: "answered" } });
    expect(scene.desk.notice).toBeUndefined();
    // The call goes on with David: nothing of it comes back to this desk but its end.
    scene.say("call.held", { call: { ...passed, heldSince: "2026-11-24T10:00:00Z" } });
    expect(scene.desk.stage.at).toBe("wrapping");
  });

  test("a reply that comes after the call has ended changes nothing", async () => {
    const reply = later<{ body: unknown }>();
    scene.rest.on(path("consult"), () => reply.promise);
    const done = scene.desk.control.consult(DAVID);
    scene.say("call.completed", { call: { ...answered(), status: "completed" } });
    reply.resolve({ body: consulted("ringing") });
    await done;
    expect(scene.desk.stage).toEqual({ at: "idle" });
    expect(scene.desk.control.pending).toBeUndefined();
  });
});

describe("being asked", () => {
  beforeEach(async () => {
    scene = await Scene.talking(consultOffer(), asked("talking"), "partner");
  });

  test("makes this desk the partner, who mutes himself as such and hangs up for himself", async () => {
    expect(scene.desk.part).toBe("partner");
    scene.rest.on(path("mute"), { body: asked("talking") });
    await scene.desk.control.muteSelf(true);
    expect(scene.asked("/mute")).toEqual([{ part: "partner" }]);
    scene.desk.hangUp();
    expect(scene.network.now.last("call.hangup").data).toEqual({ callId: CALL });
  });

  test("ends when the agent takes the customer back", () => {
    const back = { ...asked("talking"), consult: null };
    scene.say("call.consult_ended", { call: back });
    expect(scene.desk.stage).toEqual({ at: "idle" });
    expect(scene.desk.notice).toMatchObject({ key: "consult_over", name: "Halima Noor" });
    expect(scene.microphones.live).toEqual([]);
  });

  test("ends with the call being this desk's own, and the sound goes on", () => {
    scene.say("call.transferred", { call: answered() });
    expect(scene.desk.part).toBe("agent");
    expect(scene.desk.stage.at).toBe("talking");
    expect(scene.desk.notice).toMatchObject({ key: "transferred_to_you", name: "Amina Wanjiru" });
    expect(scene.microphones.live).toHaveLength(1);
    expect(scene.peers.all).toHaveLength(1);
  });
});

test("an offer of a colleague that is missed or withdrawn is told in its own words", async () => {
  scene = await Scene.idle();
  const end = (reason: string): void =>
    scene.say("offer.ended", { offerId: consultOffer().offerId, callId: CALL, reason });
  scene.say("call.offered", consultOffer());
  end("timeout");
  expect(scene.desk.notice).toMatchObject({ key: "consult_missed", name: "Halima Noor" });
  scene.say("call.offered", consultOffer());
  end("withdrawn");
  expect(scene.desk.notice).toMatchObject({ key: "consult_off", name: "Halima Noor" });
});

describe("a takeover", () => {
  const taken = (): CallView => ({ ...answered(), agentName: "Esther Nyambura", agentId: HALIMA });

  test("takes the call from this desk, which writes up", async () => {
    scene = await Scene.talking();
    scene.say("call.taken_over", { call: taken() });
    expect(scene.desk.stage.at).toBe("idle");
    expect(scene.desk.notice).toMatchObject({ key: "taken_over", name: "Esther Nyambura" });
    expect(scene.microphones.live).toEqual([]);
  });

  test("by this desk's agent shows the call and asks for its sound, once", async () => {
    scene = await Scene.idle();
    scene.say("call.taken_over", { call: answered() });
    scene.desk.adopt(answered());
    await settle();
    expect(scene.desk.stage).toMatchObject({ at: "talking", call: { callId: CALL } });
    expect(scene.network.now.all("leg.renew").map((one) => one.data)).toEqual([{ callId: CALL }]);
    expect(scene.microphones.live).toHaveLength(1);
  });

  test("of a call between others does not concern a free desk", async () => {
    scene = await Scene.idle();
    scene.say("call.taken_over", { call: taken() });
    expect(scene.desk.stage).toEqual({ at: "idle" });
  });
});

describe("keys", () => {
  let asks: number;
  const press = (key: string, more: Partial<Press> = {}): boolean =>
    pressed(
      scene.desk,
      { ask: () => void asks++ },
      { key, repeat: false, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more },
    );
  beforeEach(() => {
    asks = 0;
  });

  test("of the agent", async () => {
    scene = await Scene.talking();
    expect(press("c")).toBe(true);
    expect(asks).toBe(1);
    expect(press("h")).toBe(true);
    await settle();
    expect(press("M", { shiftKey: true })).toBe(true);
    expect(press("m")).toBe(true);
    await settle();
    expect(scene.asked("/hold")).toHaveLength(1);
    expect(scene.asked("/mute")).toEqual([{ part: "customer" }, { part: "agent" }]);
    for (const key of ["b", "t", "j", "Escape", "x"]) expect(press(key), key).toBe(false);
    expect(press("m", { ctrlKey: true })).toBe(false);
    expect(press("m", { repeat: true })).toBe(false);
  });

  test.each([
    ["ringing", { b: "/consult/cancel" }, ["t", "j", "h", "c"]],
    ["talking", { b: "/consult/cancel", t: "/consult/complete", j: "/consult/merge" }, ["h", "c"]],
    ["conference", { b: "/consult/cancel", t: "/consult/complete", h: "/hold" }, ["j", "c"]],
  ] as const)("while a colleague is asked (%s)", async (state, acts, nothing) => {
    scene = await Scene.talking();
    scene.say("call.consulting", { call: consulted(state) });
    for (const key of nothing) expect(press(key), key).toBe(false);
    for (const [key, end] of Object.entries(acts)) {
      expect(press(key), key).toBe(true);
      await settle();
      expect(scene.asked(end), key).toHaveLength(1);
    }
  });

  test("of a partner are his own microphone alone", async () => {
    scene = await Scene.talking(consultOffer(), asked("conference"), "partner");
    for (const key of ["h", "c", "b", "t", "j"]) expect(press(key), key).toBe(false);
    expect(press("M", { shiftKey: true })).toBe(false);
    expect(press("m")).toBe(true);
  });

  test("without a call only answer", async () => {
    scene = await Scene.idle();
    for (const key of ["m", "h", "c", "Enter"]) expect(press(key), key).toBe(false);
    scene.say("call.offered", consultOffer());
    expect(press("Enter")).toBe(true);
    expect(scene.desk.stage.at).toBe("accepting");
  });
});
