// Steps that page states share: what the server is prepared with, and the way to a call.

import type { Page } from "playwright-core";
import * as data from "./data.ts";
import type { FakeServer } from "./server.ts";

export interface PageState {
  name: string;
  path: string;
  /** Prepares the server before the page opens. */
  prepare?: (fake: FakeServer) => void;
  /** Brings the open page into the state. */
  reach: (page: Page, fake: FakeServer) => Promise<void>;
  microphone?: "denied";
}

export const id = (page: Page, name: string) => page.getByTestId(name).first();

/** The replies that every page of staff needs. */
export function staff(presence: "online" | "offline", snapshot: () => Record<string, unknown> = () => ({})) {
  return (fake: FakeServer): void => {
    const me = data.me(presence);
    fake.on("GET /api/support/staff/me", me);
    fake.on("PUT /api/support/staff/me/status", {});
    fake.on("GET /api/support/queue/calls", () => ({ body: data.queue() }));
    fake.on("GET /api/support/calls", () => ({ body: { calls: data.rows(), next: "cursor" } }));
    fake.on("GET /api/support/staff", { staff: [] });
    // As far as the running call of `data.answered` has come.
    fake.on(`GET /api/support/call/${data.CALL}/events`, () => ({
      body: { events: data.events(Date.now() - 252_000).slice(0, 8) },
    }));
    fake.onmessage = (type) => {
      if (type === "hello") return welcome({ me, queue: data.queue(), ...snapshot() });
      return reply(type);
    };
  };
}

export function welcome(snapshot: Record<string, unknown>) {
  return { type: "welcome", data: { session: "s-1", resumed: false, serverTime: data.at(0), snapshot } };
}

export function reply(type: string): { type: string; data: unknown } | undefined {
  if (type === "leg.offer") return { type: "leg.answer", data: { legId: data.LEG, sdp: "v=0\r\n" } };
  if (type === "leg.renew") return { type: "leg.grant", data: { grant: data.grant("agent") } };
  return undefined;
}

export const desk = (page: Page, state: string) =>
  page.locator(`[data-testid="call-state"][data-state="${state}"]`).waitFor();

export async function accepted(page: Page, fake: FakeServer): Promise<void> {
  fake.on(`POST /api/support/offers/${data.OFFER}/accept`, () => ({
    body: { call: data.call("connecting"), leg: data.grant("agent") },
  }));
  await fake.ready();
  await desk(page, "idle");
  fake.push("call.offered", data.offer());
  await id(page, "offer-accept").click();
  await desk(page, "connecting");
}

export async function onCall(page: Page, fake: FakeServer): Promise<void> {
  await accepted(page, fake);
  await page.locator('[data-testid="call-state"][data-sound="up"]').waitFor();
  fake.push("call.answered", { call: data.answered() });
  for (let n = 0; n < 5; n++) fake.push("call.quality", data.heard(4.3, 4.4));
  await desk(page, "talking");
}
