// Every state of every page, and how to get there: one list for the accessibility tests and for the pictures.

import type { Page } from "playwright-core";
import * as data from "./data.ts";
import { CONTROL } from "./control-states.ts";
import { HOUSE } from "./house-states.ts";
import { LIVE } from "./live-states.ts";
import { NODE } from "./node-states.ts";
import { PREFLIGHT } from "./preflight-states.ts";
import { RELAY } from "./relay-states.ts";
import { problem, type FakeServer } from "./server.ts";
import { accepted, desk, id, onCall, reply, staff, welcome, type PageState } from "./steps.ts";

export type { PageState };

function customer(fake: FakeServer): void {
  fake.on("POST /api/support/call/start", () => ({ status: 201, body: data.started(fake.socketUrl) }));
  fake.onmessage = (type) =>
    type === "hello"
      ? welcome({ call: data.call("queued", { position: 3, estimatedWaitSeconds: 200 }) })
      : type === "leg.renew"
        ? { type: "leg.grant", data: { grant: data.grant("customer") } }
        : reply(type);
}

async function home(page: Page): Promise<void> {
  await id(page, "launcher").click();
  await id(page, "call-us").waitFor();
}

async function check(page: Page): Promise<void> {
  await home(page);
  await id(page, "call-us").click();
  await page.locator('[data-testid="call-now"]:not([disabled])').waitFor();
}

async function queued(page: Page, fake: FakeServer): Promise<void> {
  await check(page);
  await id(page, "call-now").click();
  await id(page, "leave-queue").waitFor();
  await fake.ready();
}

async function talking(page: Page, fake: FakeServer): Promise<void> {
  await queued(page, fake);
  fake.push("call.accepted", { call: data.call("connecting", { agentName: "Joyce Atieno" }) });
  fake.push("leg.grant", { grant: data.grant("customer") });
  fake.push("call.answered", { call: data.answered() });
  await id(page, "mute").waitFor();
  fake.push("call.quality", data.heard(4.3, 4.3));
  await page.getByText("Good connection").waitFor();
}

const WIDGET: PageState[] = [
  { name: "widget-closed", path: "/demo", reach: (page) => id(page, "launcher").waitFor() },
  { name: "widget-home", path: "/demo", reach: home },
  {
    name: "widget-home-sw",
    path: "/demo",
    reach: async (page) => {
      await home(page);
      await page.getByText("Kiswahili").click();
      await page.getByText("Tukusaidie vipi leo?").waitFor();
    },
  },
  { name: "widget-check", path: "/demo", reach: check },
  { name: "widget-queued", path: "/demo", prepare: customer, reach: queued },
  {
    name: "widget-queued-lost",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await queued(page, fake);
      fake.refuse = true;
      fake.cut();
      await page.getByText("You keep your place in the line.").waitFor();
    },
  },
  {
    name: "widget-ringing",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await queued(page, fake);
      fake.push("call.ringing", { call: data.call("ringing") });
      await page.getByText("We are ringing an agent").waitFor();
    },
  },
  {
    name: "widget-connecting",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await queued(page, fake);
      fake.push("call.accepted", { call: data.call("connecting", { agentName: "Joyce Atieno" }) });
      await page.getByText("Joyce is picking up").waitFor();
    },
  },
  { name: "widget-talking", path: "/demo", prepare: customer, reach: talking },
  {
    name: "widget-devices",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      await id(page, "devices").click();
      await page.getByText("Microphone and sound").waitFor();
    },
  },
  {
    name: "widget-muted-weak",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      fake.push("call.quality", data.heard(3.1, 3.1));
      await id(page, "mute").click();
      await page.getByText("Joyce cannot hear you").waitFor();
    },
  },
  {
    name: "widget-muted-by-us",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      const muted = { muted: ["customer" as const], mutedSelf: [], mutedByOthers: ["customer" as const] };
      fake.push("call.muted", { call: { ...data.answered(), ...muted } });
      await page.getByText("We have muted you").waitFor();
      await page.getByRole("img", { name: "Your microphone" }).waitFor({ state: "detached" });
    },
  },
  {
    name: "widget-held",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      fake.push("call.held", { call: { ...data.answered(), heldSince: data.at(-20) } });
      await page.getByText("You are on hold and not recorded").waitFor();
      await id(page, "recording").waitFor({ state: "detached" });
    },
  },
  {
    name: "widget-agent-away",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      fake.push("call.changed", { call: { ...data.answered(), reconnecting: ["agent"] } });
      await page.getByText("You hear music until then").waitFor();
    },
  },
  {
    name: "widget-reconnecting",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      // Nobody answers the restart: an answered one is over before anybody could look.
      fake.onmessage = () => undefined;
      await page.evaluate("window.peer.go('disconnected')");
      await page.getByText("Joyce is still here").waitFor();
    },
  },
  {
    name: "widget-mini",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      await id(page, "minimise").click();
      await page.getByRole("button", { name: "Hang up" }).waitFor();
    },
  },
  {
    name: "widget-ended",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await talking(page, fake);
      await id(page, "hangup").click();
      await id(page, "ended").waitFor();
    },
  },
  {
    name: "widget-denied",
    path: "/demo",
    microphone: "denied",
    reach: async (page) => {
      await home(page);
      await id(page, "call-us").click();
      await id(page, "problem").waitFor();
    },
  },
  {
    name: "widget-closed-hours",
    path: "/demo",
    prepare: (fake) => fake.on("POST /api/support/call/start", () => problem(409, "closed_hours")),
    reach: async (page) => {
      await check(page);
      await id(page, "call-now").click();
      await id(page, "problem").waitFor();
    },
  },
  {
    name: "widget-offline",
    path: "/demo",
    reach: async (page) => {
      await check(page);
      await page.context().setOffline(true);
      await id(page, "call-now").click();
      await page.getByText("You are offline").waitFor();
    },
  },
  {
    name: "widget-busy",
    path: "/demo",
    prepare: customer,
    reach: async (page, fake) => {
      await queued(page, fake);
      fake.push("call.abandoned", { call: data.call("abandoned", { endReason: "queue_timeout" }) });
      await id(page, "ended").waitFor();
    },
  },
  {
    name: "widget-elsewhere",
    path: "/demo",
    prepare: customer,
    reach: async (page) => {
      const lock =
        "new Promise((held) => navigator.locks.request('helpline-call', () => (held(1), new Promise(() => {}))))";
      await page.evaluate(lock);
      await check(page);
      await id(page, "call-now").click();
      await id(page, "take-over").waitFor();
    },
  },
  { name: "call-page", path: "/call", reach: (page) => id(page, "call-us").waitFor() },
];

const AGENT: PageState[] = [
  {
    name: "sign-in",
    path: "/agent",
    prepare: (fake) => fake.on("GET /api/support/staff/me", () => problem(401, "unauthenticated")),
    reach: (page) => id(page, "sign-in").waitFor(),
  },
  {
    name: "sign-in-wrong",
    path: "/agent",
    prepare: (fake) => {
      fake.on("GET /api/support/staff/me", () => problem(401, "unauthenticated"));
      fake.on("POST /api/support/auth/login", () => problem(401, "unauthenticated"));
    },
    reach: async (page) => {
      await id(page, "email").fill("joyce@example.com");
      await id(page, "password").fill("not this one");
      await id(page, "sign-in").click();
      await page.getByRole("alert").waitFor();
    },
  },
  { name: "agent-offline", path: "/agent", prepare: staff("offline"), reach: (page) => id(page, "online").waitFor() },
  {
    name: "agent-online",
    path: "/agent",
    prepare: staff("offline"),
    reach: async (page, fake) => {
      await fake.ready();
      await id(page, "online").click();
      await id(page, "microphone-checked").waitFor();
    },
  },
  {
    name: "agent-denied",
    path: "/agent",
    microphone: "denied",
    prepare: staff("offline"),
    reach: async (page) => {
      await id(page, "online").click();
      await id(page, "notice").waitFor();
    },
  },
  {
    name: "agent-offer",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await fake.ready();
      await desk(page, "idle");
      fake.push("call.offered", data.offer());
      await id(page, "offer-accept").waitFor();
    },
  },
  { name: "agent-connecting", path: "/agent", prepare: staff("online"), reach: accepted },
  { name: "agent-call", path: "/agent", prepare: staff("online"), reach: onCall },
  {
    name: "agent-call-weak",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      for (let n = 0; n < 60; n++) fake.push("call.quality", data.heard(2.6, 4.4));
      await id(page, "mute").click();
      await id(page, "devices").click();
      await page.getByText("Bad").first().waitFor();
    },
  },
  {
    name: "agent-held",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.held", { call: { ...data.answered(), heldSince: data.at(-75) } });
      await page.getByText("on hold for more than a minute").waitFor();
    },
  },
  {
    name: "agent-customer-away",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.changed", { call: { ...data.answered(), reconnecting: ["customer"] } });
      await page.getByText("The customer is reconnecting").waitFor();
    },
  },
  {
    name: "agent-line-lost",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.refuse = true;
      fake.cut();
      await page.getByText("The desk is reconnecting").waitFor();
    },
  },
  {
    name: "agent-wrap",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.wrap_up", {
        offerId: data.OFFER,
        callId: data.CALL,
        customerName: "Amina Wanjiru",
        endsAt: data.at(38),
        extensionsLeft: 2,
      });
      fake.push("call.completed", { call: { ...data.answered(), status: "completed", endedAt: data.at(0) } });
      await id(page, "wrapup-done").waitFor();
    },
  },
  {
    name: "agent-call-elsewhere",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      await page.getByRole("link", { name: "Calls and recordings" }).click();
      await id(page, "desk-bar").waitFor();
    },
  },
  {
    name: "agent-second-tab",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page) => {
      await desk(page, "idle");
      const address = page.url();
      await page.goto("about:blank");
      const other = await page.context().newPage();
      await other.goto(address);
      await desk(other, "idle");
      await page.goto(address);
      await id(page, "desk-elsewhere").waitFor();
    },
  },
];

const WAVEFORM = `GET /api/support/recordings/${data.RECORDING}/waveform`;

function review(fake: FakeServer): void {
  staff("online")(fake);
  const base = `/api/support/call/${data.CALL}`;
  fake.on(`GET ${base}`, data.reviewed());
  fake.on(`GET ${base}/events`, { events: data.events() });
  fake.on(`GET ${base}/quality`, {
    tracks: [data.track("customer"), data.trackTo("customer"), data.track("agent"), data.trackTo("agent")],
    endToEnd: data.endToEnd(),
    heard: [data.heardTrack("customer"), data.heardTrack("agent")],
  });
  fake.on(`GET ${base}/recordings`, { recordings: [data.recording()] });
  fake.on(WAVEFORM, ({ url }: { url: URL }) => ({
    body: data.waveform(Number(url.searchParams.get("points") ?? 1000)),
  }));
  const sound = data.wav();
  fake.on(`GET /api/support/recordings/${data.RECORDING}/audio`, () => ({ bytes: sound, type: "audio/wav" }));
}

const QA: PageState[] = [
  { name: "qa-list", path: "/qa", prepare: staff("online"), reach: (page) => id(page, "qa-row").waitFor() },
  {
    name: "qa-empty",
    path: "/qa?status=failed&when=today",
    prepare: (fake) => {
      staff("online")(fake);
      fake.on("GET /api/support/calls", { calls: [] });
    },
    reach: (page) => page.getByText("No call matches.").waitFor(),
  },
  {
    name: "qa-call",
    path: `/qa/calls/${data.CALL}`,
    prepare: review,
    reach: async (page) => {
      await page.locator(".wave-customer").first().waitFor({ state: "attached" });
      await id(page, "qa-events").getByText("Network trouble").click();
      await page.getByText("5:18").first().waitFor();
      // Wide pages scroll their column, narrow ones themselves.
      await page.locator("main").evaluate((main) => (main.scrollTo(0, 0), scrollTo(0, 0)));
    },
  },
  {
    name: "qa-call-scores",
    path: `/qa/calls/${data.CALL}`,
    prepare: review,
    reach: async (page) => {
      await page.locator(".wave-customer").first().waitFor({ state: "attached" });
      await id(page, "qa-scores").getByText("Joyce Atieno heard").waitFor();
      await id(page, "qa-scores").evaluate((scores) => scores.scrollIntoView({ block: "center" }));
    },
  },
  {
    name: "qa-call-reading",
    path: `/qa/calls/${data.CALL}`,
    prepare: review,
    reach: async (page) => {
      await page.locator(".wave-customer").first().waitFor({ state: "attached" });
      await id(page, "qa-axis").press("End");
      for (let n = 0; n < 16; n++) await id(page, "qa-axis").press("PageDown");
      await id(page, "qa-reading").getByText("5:35").waitFor();
    },
  },
  {
    name: "qa-call-drawing",
    path: `/qa/calls/${data.CALL}`,
    prepare: (fake) => {
      review(fake);
      fake.on(WAVEFORM, () => ({ status: 202, body: { percent: 40 } }));
    },
    reach: async (page) => {
      await page.locator(".wave-note").getByText("40 %").waitFor();
      await id(page, "qa-play").click();
      await page.locator(`[data-testid="qa-player"][data-state="playing"]`).waitFor();
    },
  },
  {
    name: "qa-call-drawn-later",
    path: `/qa/calls/${data.CALL}`,
    prepare: (fake) => {
      review(fake);
      let asked = 0;
      fake.on(WAVEFORM, () => {
        asked += 1;
        if (asked === 1) return { status: 202, body: { percent: 7 } };
        if (asked === 2) return { status: 500, body: { code: "recording_damaged" }, type: "application/problem+json" };
        return { body: data.waveform(1000) };
      });
    },
    reach: async (page) => {
      await id(page, "qa-wave-failed").getByRole("button", { name: "Try again" }).click();
      await page.locator(".wave-customer").first().waitFor({ state: "attached" });
      await id(page, "qa-wave-failed").waitFor({ state: "detached" });
    },
  },
  {
    name: "qa-call-undrawn",
    path: `/qa/calls/${data.CALL}`,
    prepare: (fake) => {
      review(fake);
      fake.on(WAVEFORM, () => ({
        status: 500,
        body: { code: "recording_damaged" },
        type: "application/problem+json",
      }));
    },
    reach: (page) => id(page, "qa-wave-failed").waitFor(),
  },
  {
    name: "qa-call-voices",
    path: `/qa/calls/${data.CALL}`,
    prepare: (fake) => {
      review(fake);
      fake.on(`GET /api/support/call/${data.CALL}/recordings`, {
        recordings: [{ ...data.recording(), voices: data.voices() }],
      });
      const sound = data.wav();
      for (const { audioUrl } of data.voices()) fake.on(`GET ${audioUrl}`, () => ({ bytes: sound, type: "audio/wav" }));
      for (const voice of data.voices()) {
        fake.on(`GET ${voice.waveformUrl}`, ({ url }: { url: URL }) => ({
          body: data.voiceWaveform(voice, Number(url.searchParams.get("points") ?? 1000)),
        }));
      }
    },
    reach: async (page) => {
      await page.locator(".wave-voice").nth(3).waitFor({ state: "attached" });
      await page.getByTestId("qa-voice-hear").nth(1).click();
      await id(page, "qa-voices").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "qa-call-voices-undrawn",
    path: `/qa/calls/${data.CALL}`,
    prepare: (fake) => {
      review(fake);
      const voices = data.voices();
      fake.on(`GET /api/support/call/${data.CALL}/recordings`, { recordings: [{ ...data.recording(), voices }] });
      const sound = data.wav();
      for (const { audioUrl } of voices) fake.on(`GET ${audioUrl}`, () => ({ bytes: sound, type: "audio/wav" }));
      const [first, second] = voices;
      if (!first || !second) return;
      const damaged = { status: 500, body: { code: "recording_damaged" }, type: "application/problem+json" };
      fake.on(`GET ${first.waveformUrl}`, () => damaged);
      fake.on(`GET ${second.waveformUrl}`, () => ({ status: 202, body: { percent: 40 } }));
    },
    reach: async (page) => {
      await id(page, "qa-voice-wave-failed").waitFor();
      await id(page, "qa-voices").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "qa-call-unrecorded",
    path: `/qa/calls/${data.CALL}`,
    prepare: (fake) => {
      review(fake);
      fake.on(`GET /api/support/call/${data.CALL}/recordings`, { recordings: [] });
    },
    reach: (page) => page.getByText("There is no recording").waitFor(),
  },
  {
    name: "qa-forbidden",
    path: "/qa",
    prepare: (fake) => {
      staff("online")(fake);
      fake.on("GET /api/support/staff/me", { ...data.me("online"), permissions: [] });
    },
    reach: (page) => page.getByText("You may not see this page").waitFor(),
  },
];

/** An address that an old link or a typing error leads to. */
const MISSING: PageState[] = [
  {
    name: "missing-page",
    path: "/admin/unheard-of",
    prepare: staff("online"),
    reach: (page) => page.getByText("There is no such page").waitFor(),
  },
];

export const STATES: PageState[] = [
  ...WIDGET,
  ...AGENT,
  ...CONTROL,
  ...LIVE,
  ...HOUSE,
  ...RELAY,
  ...NODE,
  ...QA,
  ...PREFLIGHT,
  ...MISSING,
];
