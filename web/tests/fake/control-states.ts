// The agent's desk while something is done about a call: muted, asked about, passed on, watched.

import type { Page } from "playwright-core";
import * as data from "./data.ts";
import { problem, type FakeServer } from "./server.ts";
import { desk, id, onCall, staff, type PageState } from "./steps.ts";

function colleagues(fake: FakeServer): void {
  staff("online")(fake);
  fake.on("GET /api/support/staff/available", { staff: data.available() });
  fake.on(`POST /api/support/call/${data.CALL}/consult`, () => ({ status: 202, body: data.consulted("ringing") }));
}

async function asking(page: Page, fake: FakeServer): Promise<void> {
  await onCall(page, fake);
  await id(page, "ask-open").click();
  await id(page, "ask-ring").waitFor();
}

const consulting = (page: Page, state: string) =>
  page.locator(`[data-testid="consult"][data-state="${state}"]`).waitFor();

/** A colleague who has answered the agent's question. */
async function partner(page: Page, fake: FakeServer): Promise<void> {
  fake.on(`POST /api/support/offers/${data.OFFER}/accept`, () => ({
    body: { call: data.asked("talking"), leg: data.grant("partner") },
  }));
  await fake.ready();
  await desk(page, "idle");
  fake.push("call.offered", data.consultOffer());
  await id(page, "offer-accept").click();
  await desk(page, "talking");
  await page.locator('[data-testid="call-state"][data-sound="up"]').waitFor();
  for (let n = 0; n < 5; n++) fake.push("call.quality", data.heardOf(["customer", "partner", "agent"], "agent"));
}

export const CONTROL: PageState[] = [
  {
    name: "agent-muted-customer",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      const muted = { ...data.answered(), muted: ["customer" as const] };
      fake.on(`POST /api/support/call/${data.CALL}/mute`, muted);
      await onCall(page, fake);
      await id(page, "mute-customer").click();
      await page.getByText("that voice is not recorded").waitFor();
    },
  },
  {
    name: "agent-shielded",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      fake.on(`POST /api/support/call/${data.CALL}/shield`, { ...data.answered(), shielded: "on" as const });
      await onCall(page, fake);
      await id(page, "shield").click();
      await page.getByText("Nobody gets the keys").waitFor();
    },
  },
  {
    name: "agent-shielded-always",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.changed", { call: { ...data.answered(), shielded: "always" as const } });
      await page.locator('[data-testid="shield"][aria-pressed="true"]:disabled').waitFor();
    },
  },
  {
    name: "agent-muted-own",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      const own = { muted: ["customer" as const], mutedSelf: ["customer" as const] };
      fake.push("call.muted", { call: { ...data.answered(), ...own } });
      await page.getByText("You are still heard").waitFor();
    },
  },
  {
    name: "agent-muted-by-other",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.muted", { call: { ...data.answered(), muted: ["agent" as const], mutedSelf: [] } });
      await page.getByText("Somebody else has muted you").waitFor();
    },
  },
  {
    name: "agent-mute-kept",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      fake.on(`POST /api/support/call/${data.CALL}/unmute`, () => problem(403, "forbidden"));
      await onCall(page, fake);
      const muted = { muted: ["agent" as const], mutedSelf: [], mutedByOthers: ["agent" as const] };
      fake.push("call.muted", { call: { ...data.answered(), ...muted } });
      await page.locator('[data-testid="mute"][aria-pressed="true"]').click();
      await page.getByText("Only a supervisor can end this mute").waitFor();
    },
  },
  {
    name: "agent-muted-twice",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      const own = { muted: ["customer" as const], mutedSelf: ["customer" as const] };
      fake.on(`POST /api/support/call/${data.CALL}/mute`, {
        ...data.answered(),
        ...own,
        mutedByOthers: ["customer" as const],
      });
      fake.push("call.muted", { call: { ...data.answered(), ...own, mutedByOthers: [] } });
      await page
        .locator('[data-testid="mute-customer"][aria-pressed="false"][title*="switched the microphone"]')
        .click();
      await page.locator('[data-testid="mute-customer"][aria-pressed="true"]').waitFor();
      await page.getByText("that voice is not recorded").waitFor();
    },
  },
  {
    name: "agent-alerts",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      const { callId, legs } = data.heard(2.6, 4.3);
      const troubled = legs.map((leg) => ({
        ...leg,
        flags: leg.part === "customer" ? ["dead_microphone", "loss_burst"] : [],
        speaking: leg.part === "agent",
      }));
      for (let n = 0; n < 12; n++) fake.push("call.quality", { callId, legs: troubled });
      await page.getByText("microphone is silent").waitFor();
    },
  },
  {
    name: "agent-supervised",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      const supervised = [{ staffName: "Esther Nyambura", mode: "whisper" as const }];
      fake.push("call.held", { call: { ...data.answered(), supervised } });
      await page.getByText("Esther Nyambura speaks to you").waitFor();
    },
  },
  { name: "agent-ask", path: "/agent", prepare: colleagues, reach: asking },
  {
    name: "agent-consult-ringing",
    path: "/agent",
    prepare: colleagues,
    reach: async (page, fake) => {
      await asking(page, fake);
      await id(page, "ask-ring").click();
      await consulting(page, "ringing");
    },
  },
  {
    name: "agent-consult",
    path: "/agent",
    prepare: colleagues,
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.consulting", { call: data.consulted("talking") });
      await consulting(page, "talking");
      fake.push("call.quality", data.heardOf(["customer", "partner", "agent"], "partner"));
      await page.locator('[data-testid="lane-partner"][data-speaking="true"]').waitFor();
    },
  },
  {
    name: "agent-conference",
    path: "/agent",
    prepare: colleagues,
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.consulting", { call: data.consulted("conference") });
      await consulting(page, "conference");
      for (let n = 0; n < 5; n++) fake.push("call.quality", data.heardOf(["customer", "partner", "agent"], "customer"));
      await page.locator('[data-testid="lane-customer"][data-speaking="true"]').waitFor();
    },
  },
  {
    name: "agent-consult-offer",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await fake.ready();
      await desk(page, "idle");
      fake.push("call.offered", data.consultOffer());
      await page.getByText("asks you about").first().waitFor();
    },
  },
  { name: "agent-partner", path: "/agent", prepare: staff("online"), reach: partner },
  {
    name: "agent-partner-conference",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await partner(page, fake);
      fake.push("call.consulting", { call: data.asked("conference") });
      await consulting(page, "conference");
      fake.push("call.quality", data.heardOf(["customer", "partner", "agent"], "agent"));
      await page.locator('[data-testid="lane-agent"][data-speaking="true"]').waitFor();
    },
  },
  {
    name: "agent-transferred-to",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await partner(page, fake);
      fake.push("call.transferred", { call: { ...data.answered(), recorded: true } });
      await page.getByText("is yours now").waitFor();
    },
  },
  {
    name: "agent-transferred",
    path: "/agent",
    prepare: staff("online"),
    reach: async (page, fake) => {
      await onCall(page, fake);
      fake.push("call.transferred", { call: { ...data.answered(), agentName: "David Kimani", agentId: data.DAVID } });
      fake.push("call.wrap_up", {
        offerId: data.OFFER,
        callId: data.CALL,
        customerName: "Amina Wanjiru",
        endsAt: data.at(58),
        extensionsLeft: 2,
      });
      await page.getByText("David Kimani goes on with").waitFor();
    },
  },
];
