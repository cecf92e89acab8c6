// Settings, and the list of line tests.

import type { Page } from "playwright-core";
import type { Preflight } from "../../shared/gen/Preflight.ts";
import type { PreflightStepResult } from "../../shared/gen/PreflightStepResult.ts";
import type { QualityThresholds } from "../../shared/gen/QualityThresholds.ts";
import type { Settings } from "../../shared/gen/Settings.ts";
import * as data from "./data.ts";
import { problem, type Answer, type FakeServer } from "./server.ts";
import { id, staff, type PageState } from "./steps.ts";

const usual: QualityThresholds = {
  lowMos: 3.5,
  lossBurstPackets: 10,
  highRttMs: 400,
  highJitterMs: 30,
  highLossPercent: 3,
  oneWaySeconds: 5,
  deadAirSeconds: 15,
  deadMicrophoneSeconds: 10,
  clippingPercent: 10,
};

/** What a house has set that changed two thresholds. */
export const houseSettings = (): Settings => {
  const mail = {
    notifyStaffOnIncomingCall: true,
    notifyOnQualityAlert: true,
    qualityAlertRoles: ["supervisor", "admin", "super_admin"] as Settings["mail"]["value"]["qualityAlertRoles"],
    qualityAlertAfterSeconds: 30,
    qualityAlertQuietMinutes: 15,
  };
  return {
    quality: {
      version: 3,
      value: { ...usual, lowMos: 3.2, deadAirSeconds: 20 },
      usual,
      min: {
        lowMos: 1.5,
        lossBurstPackets: 2,
        highRttMs: 50,
        highJitterMs: 5,
        highLossPercent: 0.5,
        oneWaySeconds: 3,
        deadAirSeconds: 5,
        deadMicrophoneSeconds: 5,
        clippingPercent: 1,
      },
      max: {
        lowMos: 4.4,
        lossBurstPackets: 250,
        highRttMs: 5000,
        highJitterMs: 500,
        highLossPercent: 50,
        oneWaySeconds: 60,
        deadAirSeconds: 600,
        deadMicrophoneSeconds: 300,
        clippingPercent: 100,
      },
    },
    mail: {
      version: 1,
      value: mail,
      usual: mail,
      afterSecondsMin: 5,
      afterSecondsMax: 600,
      quietMinutesMin: 1,
      quietMinutesMax: 1440,
    },
    supervision: {
      version: 2,
      value: { announce: "notice", announceTo: "agent" },
      usual: { announce: "off", announceTo: "agent" },
    },
  };
};

const STEPS = [
  "secure_context",
  "microphone",
  "level",
  "server",
  "socket",
  "network",
  "relay",
  "connection",
  "echo",
] as const;

/** A report whose steps went well, but for those that are named. */
function steps(odd: Partial<Record<(typeof STEPS)[number], PreflightStepResult>> = {}): PreflightStepResult[] {
  return STEPS.map((step) => odd[step] ?? { step, result: "ok" });
}

const testId = (n: number): string => `00000000-0000-4000-8000-0000000000e${n}`;

/** Line tests of every outcome. */
export function lineTests(): Preflight[] {
  const line = { packetsReceived: 1480, packetsLost: 2, rttMs: 38, jitterMs: 3, mos: 4.3, level: 92, seconds: 30 };
  const figures = {
    totalMs: 310,
    mos: 4.3,
    rttMs: 41,
    loss: 0.001,
    jitterMs: 4,
    level: 0.6,
    candidates: { host: 1, mdns: 1, srflx: 1, relay: 2 },
    relay: { udp: "ok", tcp: "ok", tls: "not_offered" },
    local: "srflx",
    path: "udp",
  } as const;
  return [
    {
      preflightId: testId(0),
      code: "K7M3QX",
      createdAt: data.at(-340),
      via: "customer",
      who: "user-4711",
      verdict: "failed",
      report: {
        steps: steps({
          network: { step: "network", result: "warn", code: "relay_only" },
          relay: { step: "relay", result: "warn", code: "relay_over_tls" },
          connection: { step: "connection", result: "failed", code: "ice_failed" },
          echo: { step: "echo", result: "skipped" },
        }),
        figures: {
          candidates: { host: 1, mdns: 0, srflx: 0, relay: 1 },
          relay: { udp: "failed", tcp: "failed", tls: "ok" },
        },
        browser: "Firefox 153 (Windows)",
      },
    },
    {
      preflightId: testId(1),
      code: "PW2H6C",
      createdAt: data.at(-2900),
      via: "link",
      who: "Grace Mutiso, home",
      verdict: "warn",
      report: {
        steps: steps({ echo: { step: "echo", result: "warn", code: "weak_line" } }),
        figures: { ...figures, mos: 3.3, loss: 0.024, rttMs: 182 },
        browser: "Chrome 156 (Android)",
      },
      line: { ...line, packetsLost: 41, mos: 3.4, rttMs: 176, cause: "limit" },
    },
    {
      preflightId: testId(2),
      code: "B9TRFA",
      createdAt: data.at(-9000),
      via: "staff",
      who: "David Kimani",
      verdict: "ok",
      report: { steps: steps(), figures, browser: "Chrome 156 (Linux)" },
      line: { ...line, cause: "limit" },
    },
    {
      preflightId: testId(3),
      code: "ZH4NUE",
      createdAt: data.at(-98_000),
      via: "service",
      line: { ...line, cause: "lost", seconds: 9 },
    },
  ];
}

const ADMIN = ["settings.write", "preflight.view"];

function signedIn(permissions: string[]) {
  return (fake: FakeServer): void => {
    staff("offline")(fake);
    const me = data.me("offline");
    fake.on("GET /api/support/staff/me", { ...me, permissions: [...me.permissions, ...permissions] });
  };
}

/** An admin, and a server that keeps what he sets. */
function admin(fake: FakeServer): void {
  signedIn(ADMIN)(fake);
  let settings = houseSettings();
  const set = (group: "quality" | "mail" | "supervision", value: unknown): void => {
    settings = { ...settings, [group]: { ...settings[group], version: settings[group].version + 1, value } };
  };
  fake.on("GET /api/support/settings", () => ({ body: settings }));
  for (const group of ["quality", "mail", "supervision"] as const) {
    fake.on(`PUT /api/support/settings/${group}`, ({ body, ifMatch }: { body: unknown; ifMatch?: string }) => {
      if (ifMatch !== `"${settings[group].version}"`) return problem(412, "version_mismatch");
      set(group, body);
      return { body: settings };
    });
  }
  // Another admin, whom a page's own requests never meet.
  fake.on("POST /other-admin", () => {
    set("quality", { ...settings.quality.value, lowMos: 2.9, highRttMs: 500 });
    return { body: settings };
  });
}

/** The other admin saves thresholds while this one has typed his. */
async function overtaken(page: Page, fake: FakeServer): Promise<void> {
  await id(page, "set-highRttMs").fill("300");
  fake.routes.get("POST /other-admin")?.({ url: new URL(fake.origin), body: undefined });
  await id(page, "settings-save").click();
  await page.getByText("Somebody else has changed these settings meanwhile").waitFor();
}

function support(fake: FakeServer): void {
  signedIn(["preflight.view"])(fake);
  fake.on("GET /api/support/preflight", ({ url }: { url: URL }) => {
    const code = url.searchParams.get("code");
    const preflights = lineTests().filter((test) => !code || test.code === code);
    return { body: { preflights, ...(code ? {} : { next: "cursor" }) } };
  });
}

const LINK = "POST /api/support/preflight/link";

/** An agent who may hand out links to the line test, and a page that may copy them. */
function hands(answer: () => Answer) {
  return (fake: FakeServer): void => {
    signedIn(["preflight.view"])(fake);
    fake.on("GET /api/support/preflight", { preflights: lineTests() });
    fake.on(LINK, answer);
  };
}

const linked = (): Answer => ({
  status: 201,
  body: { path: "/preflight#hll_9Vb2kQ7mX4tLw0RzYcJ6sNfGhPd1aEuTiO3vKyBqMxA", expiresAt: data.at(24 * 3600) },
});

/** The part at the desk is in the customer's column, which narrow screens show for itself. */
async function opensLink(page: Page): Promise<void> {
  await id(page, "call-state").waitFor();
  const tab = page.locator(".bottom-tab").last();
  if (await tab.isVisible()) await tab.click();
  await id(page, "link-open").click();
  await id(page, "link-note").fill("Amina Wanjiru, ticket 4711");
}

const LINKS: PageState[] = [
  { name: "link-wish", path: "/agent", prepare: hands(linked), reach: opensLink },
  {
    name: "link-copied",
    path: "/agent",
    prepare: hands(linked),
    reach: async (page) => {
      await page.context().grantPermissions(["microphone", "clipboard-write"]);
      await opensLink(page);
      await id(page, "link-make").click();
      await id(page, "link-copy").click();
      await page.getByText("Copied", { exact: true }).waitFor();
    },
  },
  {
    name: "link-not-copied",
    path: "/admin/tests",
    prepare: hands(linked),
    reach: async (page) => {
      await page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))");
      await id(page, "link-open").click();
      await id(page, "link-make").click();
      await id(page, "link-copy").click();
      await page.getByText("copy it by hand").waitFor();
    },
  },
  {
    name: "link-failed",
    path: "/agent",
    prepare: hands(() => problem(503, "database")),
    reach: async (page) => {
      await opensLink(page);
      await id(page, "link-make").click();
      await page.getByText("No link could be made.").waitFor();
    },
  },
  {
    name: "link-sw",
    path: "/admin/tests",
    prepare: hands(linked),
    reach: async (page) => {
      await page.getByRole("button", { name: "Kiswahili" }).click();
      await page.getByText("Kiungo cha jaribio la laini").click();
      await id(page, "link-make").click();
      await page.getByText("kwa majaribio matano").waitFor();
    },
  },
];

export const HOUSE: PageState[] = [
  ...LINKS,
  {
    name: "settings-sound",
    path: "/admin/settings",
    prepare: admin,
    reach: (page) => id(page, "set-lowMos").waitFor(),
  },
  {
    name: "settings-sound-wrong",
    path: "/admin/settings",
    prepare: admin,
    reach: async (page) => {
      await id(page, "set-lowMos").fill("4.9");
      await id(page, "set-highRttMs").fill("300");
      await page.getByText("Must lie between 1.5 and 4.4").waitFor();
      await page.getByText("2 changes not saved").waitFor();
    },
  },
  {
    name: "settings-sound-saved",
    path: "/admin/settings",
    prepare: admin,
    reach: async (page) => {
      await id(page, "settings-usual").click();
      await page.getByText("2 changes not saved").waitFor();
      await id(page, "settings-save").click();
      await page.getByText("Saved", { exact: true }).waitFor();
    },
  },
  { name: "settings-behind", path: "/admin/settings", prepare: admin, reach: overtaken },
  {
    name: "settings-behind-mine",
    path: "/admin/settings",
    prepare: admin,
    reach: async (page, fake) => {
      await overtaken(page, fake);
      // What was typed stands until it is decided about, and the key that saved overwrites nothing.
      await page.waitForFunction("document.activeElement?.dataset.testid === 'settings-theirs'");
      if ((await id(page, "set-highRttMs").inputValue()) !== "300") throw new Error("what was typed is gone");
      await id(page, "settings-mine").click();
      await page.getByText("Saved", { exact: true }).waitFor();
      await page.waitForFunction(
        "document.querySelector('#set-highRttMs').value === '300' && document.querySelector('#set-lowMos').value === '2.9'",
      );
    },
  },
  {
    name: "settings-behind-theirs",
    path: "/admin/settings",
    prepare: admin,
    reach: async (page, fake) => {
      await overtaken(page, fake);
      await id(page, "settings-theirs").click();
      await page.waitForFunction(
        "document.querySelector('#set-highRttMs').value === '500' && document.querySelector('#set-lowMos').value === '2.9'",
      );
      await id(page, "settings-save").waitFor();
    },
  },
  {
    name: "settings-supervision",
    path: "/admin/settings?tab=supervision",
    prepare: admin,
    reach: async (page) => {
      await id(page, "set-announce-tone").check();
      await id(page, "set-announceTo-all").waitFor();
      await page.getByText("1 change not saved").waitFor();
    },
  },
  {
    name: "settings-mail",
    path: "/admin/settings?tab=mail",
    prepare: admin,
    reach: async (page) => {
      await id(page, "set-role-team_lead").check();
      await page.getByText("1 change not saved").waitFor();
    },
  },
  {
    name: "settings-unread",
    path: "/admin/settings",
    prepare: (fake) => {
      signedIn(ADMIN)(fake);
      fake.on("GET /api/support/settings", () => problem(503, "database"));
    },
    reach: (page) => page.getByText("The settings could not be loaded.").waitFor(),
  },
  {
    name: "settings-forbidden",
    path: "/admin/settings",
    prepare: staff("offline"),
    reach: (page) => page.getByText("Settings are for admins.").waitFor(),
  },
  { name: "tests-list", path: "/admin/tests", prepare: support, reach: (page) => id(page, "tests-row").waitFor() },
  {
    name: "tests-failed",
    path: "/admin/tests",
    prepare: support,
    reach: async (page) => {
      await id(page, "tests-code").fill("k7m 3qx");
      await page.getByRole("link", { name: "Line test K7M 3QX" }).click();
      await id(page, "tests-drawer").waitFor();
    },
  },
  {
    name: "tests-both-sides",
    path: `/admin/tests?test=${testId(1)}`,
    prepare: support,
    reach: (page) => id(page, "tests-drawer").waitFor(),
  },
  {
    name: "tests-unsent",
    path: `/admin/tests?test=${testId(3)}`,
    prepare: support,
    reach: (page) => page.getByText("The visitor has not sent his report.").waitFor(),
  },
  {
    name: "tests-none",
    path: "/admin/tests?code=AAAAAA",
    prepare: support,
    reach: (page) => page.getByText("No line test found").waitFor(),
  },
];
