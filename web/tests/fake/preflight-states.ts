// The states of the page that tests a line.

import type { Page } from "playwright-core";
import type { IceServer } from "../../shared/gen/IceServer.ts";
import * as data from "./data.ts";
import { problem, type FakeServer } from "./server.ts";
import { id, type PageState } from "./steps.ts";

/** Relays by UDP, TCP and TLS, of which those of the name `closed…` do not answer. */
const relays = (udp: string, tls?: string): IceServer[] => {
  const urls = [`turn:${udp}:3478?transport=udp`, "turn:help.example:3478?transport=tcp"];
  return [{ urls: [...urls, ...(tls ? [`turns:${tls}:5349?transport=tcp`] : [])], username: "u", credential: "c" }];
};

/** A line that is well; `report` is taken. */
function line(fake: FakeServer, iceServers = relays("help.example", "help.example")): void {
  const leg = { ...data.grant("preflight"), iceServers };
  const started = { preflightId: data.CALL, code: "K7M2QX", leg, serverTime: data.at(0) };
  fake.on("POST /api/support/preflight", () => ({ status: 201, body: started }));
  fake.on("POST /api/rtc", () => ({ status: 201, bytes: Buffer.from("v=0\r\n"), type: "application/sdp" }));
  fake.on(`POST /api/support/preflight/${data.CALL}/report`, () => ({ status: 204 }));
}

async function tested(page: Page, verdict: "ok" | "warn" | "failed"): Promise<void> {
  await id(page, "start").click();
  await page.locator(`[data-testid="verdict"][data-verdict="${verdict}"]`).waitFor();
}

export const PREFLIGHT: PageState[] = [
  { name: "preflight-ready", path: "/preflight", reach: (page) => id(page, "start").waitFor() },
  { name: "preflight-ready-sw", path: "/preflight?lang=sw", reach: (page) => page.getByText("Anza kupima").waitFor() },
  {
    name: "preflight-echo",
    path: "/preflight",
    prepare: (fake) => line(fake),
    reach: async (page) => {
      await id(page, "start").click();
      await page.getByText("You hear yourself.", { exact: false }).waitFor();
    },
  },
  {
    name: "preflight-good",
    path: "/preflight",
    prepare: (fake) => line(fake),
    reach: async (page) => {
      await tested(page, "ok");
      await page.getByText("Figures for support").click();
    },
  },
  {
    name: "preflight-relay-over-tcp",
    path: "/preflight",
    prepare: (fake) => line(fake, relays("closed.example")),
    reach: async (page) => {
      await tested(page, "warn");
      await page.getByText("UDP closed.example:3478").waitFor();
      await page.getByText("not offered").waitFor();
    },
  },
  {
    name: "preflight-sent",
    path: "/preflight?lang=sw",
    prepare: (fake) => line(fake),
    reach: async (page) => {
      await tested(page, "ok");
      await id(page, "send").click();
      await id(page, "sent").waitFor();
    },
  },
  {
    name: "preflight-denied",
    path: "/preflight",
    prepare: (fake) => line(fake),
    microphone: "denied",
    reach: (page) => tested(page, "failed"),
  },
  {
    name: "preflight-used-up",
    path: "/preflight#hll_used",
    prepare: (fake) => fake.on("POST /api/support/preflight", () => problem(401, "unauthenticated")),
    reach: (page) => tested(page, "failed"),
  },
];
