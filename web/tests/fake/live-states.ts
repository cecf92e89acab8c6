// The supervisor's list of live calls, and what he does about them.

import type { Page } from "playwright-core";
import * as data from "./data.ts";
import { problem, type FakeServer } from "./server.ts";
import { desk, id, reply, staff, welcome, type PageState } from "./steps.ts";

/** A supervisor's list, and the right to take part in its calls. */
function monitor(fake: FakeServer): void {
  staff("offline")(fake);
  fake.on("GET /api/support/calls/live", () => ({ body: data.liveCalls() }));
  for (let n = 0; n < 5; n++) {
    const base = `/api/support/call/${data.liveId(n)}/supervise`;
    fake.on(`POST ${base}`, () => ({ status: 201, body: { ...data.grant("supervisor"), callId: data.liveId(n) } }));
    fake.on(`DELETE ${base}`, () => ({ status: 204 }));
  }
}

const rows = (page: Page) => id(page, "live-row").waitFor();

async function listening(page: Page): Promise<void> {
  await rows(page);
  await id(page, "row-monitor").click();
  await page.locator('[data-testid="supervise-bar"][data-state="on"]').waitFor();
  await page.getByText("Nobody hears you.").waitFor();
  await page.getByRole("img", { name: "Sound of the call" }).waitFor();
}

export const LIVE: PageState[] = [
  { name: "live-calls", path: "/admin", prepare: monitor, reach: rows },
  {
    name: "live-drawer",
    path: `/admin/support?call=${data.liveId(2)}`,
    prepare: monitor,
    reach: (page) => id(page, "leg-customer").waitFor(),
  },
  {
    name: "live-consult",
    path: `/admin?call=${data.liveId(3)}`,
    prepare: monitor,
    reach: (page) => id(page, "leg-partner").waitFor(),
  },
  {
    name: "live-muted-own",
    path: `/admin?call=${data.liveId(4)}`,
    prepare: (fake) => {
      monitor(fake);
      const { calls, serverTime } = data.liveCalls();
      const own = { mutedSelf: ["customer" as const], mutedByOthers: [] };
      const shown = calls.map((call) => (call.callId === data.liveId(4) ? { ...call, ...own } : call));
      fake.on("GET /api/support/calls/live", { calls: shown, serverTime });
    },
    reach: (page) =>
      page
        .locator('[data-testid="live-mute-customer"][aria-pressed="false"][title*="switched the microphone"]:enabled')
        .waitFor(),
  },
  { name: "live-listening", path: "/admin", prepare: monitor, reach: listening },
  {
    name: "live-whisper",
    path: `/admin?call=${data.liveId(2)}`,
    prepare: monitor,
    reach: async (page) => {
      await id(page, "drawer-whisper").click();
      await page.locator('[data-testid="supervise-bar"][data-state="on"]').waitFor();
      await page.getByRole("img", { name: "Your microphone" }).waitFor();
      await page.getByRole("img", { name: "Sound of the call" }).waitFor();
    },
  },
  {
    name: "live-listening-elsewhere",
    path: "/admin",
    prepare: monitor,
    reach: async (page) => {
      await listening(page);
      await page.getByRole("link", { name: "Calls and recordings" }).click();
      await id(page, "qa-row").waitFor();
      await id(page, "supervise-leave").waitFor();
    },
  },
  {
    name: "live-over",
    path: "/admin",
    prepare: monitor,
    reach: async (page, fake) => {
      await listening(page);
      const left = data.liveCalls();
      fake.on("GET /api/support/calls/live", { ...left, calls: left.calls.slice(1) });
      await id(page, "supervise-notice").waitFor();
    },
  },
  {
    name: "live-takeover",
    path: `/admin?call=${data.liveId(2)}`,
    prepare: monitor,
    reach: async (page) => {
      await id(page, "takeover").click();
      await id(page, "takeover-submit").click();
      await page.getByText("Write in a few words why.").waitFor();
    },
  },
  {
    name: "live-taken-over",
    path: `/admin?call=${data.liveId(2)}`,
    prepare: (fake) => {
      monitor(fake);
      let mine = false;
      fake.on(`POST /api/support/call/${data.liveId(2)}/supervise`, () => {
        mine = true;
        return { status: 201, body: data.grant("agent") };
      });
      fake.onmessage = (type) =>
        type === "hello"
          ? welcome({ me: data.me("offline"), ...(mine ? { call: data.answered() } : {}) })
          : reply(type);
    },
    reach: async (page) => {
      await id(page, "takeover").click();
      await id(page, "takeover-reason").fill("The customer asked for a supervisor");
      await id(page, "takeover-submit").click();
      await desk(page, "talking");
      await page.locator('[data-testid="call-state"][data-sound="up"]').waitFor();
    },
  },
  {
    name: "live-held",
    path: `/admin?call=${data.liveId(2)}`,
    prepare: (fake) => {
      monitor(fake);
      fake.on(`POST /api/support/call/${data.liveId(2)}/hold`, () => {
        const { calls, serverTime } = data.liveCalls();
        const held = calls.map((call) => (call.callId === data.liveId(2) ? { ...call, heldSince: data.at(0) } : call));
        fake.on("GET /api/support/calls/live", { calls: held, serverTime });
        return { body: data.answered() };
      });
    },
    reach: async (page) => {
      await id(page, "live-hold").click();
      await id(page, "live-resume").waitFor();
    },
  },
  {
    name: "live-hold-refused",
    path: `/admin?call=${data.liveId(1)}`,
    prepare: (fake) => {
      monitor(fake);
      // A team lead, who ends no call of others.
      const me = data.me("offline");
      const permissions = ["contact.reassign", "call.monitor", "call.whisper"];
      fake.on("GET /api/support/staff/me", { ...me, role: "team_lead", permissions });
      fake.on(`POST /api/support/call/${data.liveId(1)}/resume`, () => problem(409, "illegal_transition"));
    },
    reach: async (page) => {
      await id(page, "live-resume").click();
      await page.getByText("That did not work.").waitFor();
      if (await id(page, "live-end").isVisible()) throw new Error("a team lead may not end calls of others");
    },
  },
  {
    name: "live-end",
    path: `/admin?call=${data.liveId(6)}`,
    prepare: monitor,
    reach: async (page) => {
      await id(page, "live-end").click();
      await page.getByText("loses the place in the queue").waitFor();
    },
  },
  {
    name: "live-end-refused",
    path: `/admin?call=${data.liveId(2)}`,
    prepare: monitor,
    reach: async (page, fake) => {
      fake.on(`POST /api/support/call/${data.liveId(2)}/hangup`, () => problem(503, "database"));
      await id(page, "live-end").click();
      await id(page, "end-reason").fill("abusive");
      await id(page, "end-submit").click();
      await page.getByText("That did not work.").waitFor();
    },
  },
  {
    name: "live-ended",
    path: `/admin?call=${data.liveId(2)}`,
    prepare: (fake) => {
      monitor(fake);
      fake.on(`POST /api/support/call/${data.liveId(2)}/hangup`, () => {
        const left = data.liveCalls();
        left.calls.splice(2, 1);
        fake.on("GET /api/support/calls/live", left);
        return { body: { ...data.answered(), status: "completed" } };
      });
    },
    reach: async (page) => {
      await id(page, "live-end").click();
      await id(page, "end-submit").click();
      await page.getByText("This call is over.").waitFor();
    },
  },
  {
    name: "live-empty",
    path: "/admin",
    prepare: (fake) => {
      staff("offline")(fake);
      fake.on("GET /api/support/calls/live", () => ({ body: { calls: [], serverTime: data.at(0) } }));
    },
    reach: (page) => page.getByText("No call is going on.").waitFor(),
  },
  {
    name: "live-stale",
    path: "/admin",
    prepare: monitor,
    reach: async (page, fake) => {
      await rows(page);
      fake.on("GET /api/support/calls/live", () => problem(503, "unavailable"));
      await id(page, "live-stale").waitFor();
    },
  },
  {
    name: "live-forbidden",
    path: "/admin",
    prepare: (fake) => {
      staff("online")(fake);
      fake.on("GET /api/support/staff/me", { ...data.me("online"), permissions: [] });
    },
    reach: (page) => page.getByText("You may not see this page").waitFor(),
  },
];
