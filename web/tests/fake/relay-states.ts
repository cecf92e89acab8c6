// The relay's page for whoever runs the server.

import type { Page } from "playwright-core";
import type { RelayState } from "../../shared/gen/RelayState.ts";
import * as data from "./data.ts";
import { problem, type FakeServer } from "./server.ts";
import { id, staff, type PageState } from "./steps.ts";

/** Somebody who may change settings, and a relay of this state. */
function admin(state: () => RelayState = data.relay) {
  return (fake: FakeServer): void => {
    staff("offline")(fake);
    const { permissions, ...me } = data.me("offline");
    fake.on("GET /api/support/staff/me", { ...me, permissions: [...permissions, "settings.write"] });
    fake.on("GET /api/support/calls/live", () => ({ body: data.liveCalls() }));
    fake.on("GET /api/support/relay", () => ({ body: state() }));
    fake.on("POST /api/support/relay/rotate", () => ({ body: data.relay({ rotatedAt: data.at(0) }) }));
    fake.on("POST /api/support/relay/drain", () => problem(503, "database"));
  };
}

const rows = (page: Page) => id(page, "relay-row").waitFor();

export const RELAY: PageState[] = [
  {
    name: "live-calls-admin",
    path: "/admin",
    prepare: admin(),
    reach: async (page) => {
      await id(page, "live-row").waitFor();
      await id(page, "open-relay").waitFor();
    },
  },
  { name: "relay", path: "/admin/relay", prepare: admin(), reach: rows },
  {
    name: "relay-sw",
    path: "/admin/relay",
    prepare: admin(),
    reach: async (page) => {
      await rows(page);
      await page.getByRole("button", { name: "Kiswahili" }).click();
      await page.getByText("Kutoka kivinjari").first().waitFor({ state: "attached" });
    },
  },
  {
    name: "relay-kill",
    path: "/admin/relay",
    prepare: admin(),
    reach: async (page) => {
      await rows(page);
      await id(page, "relay-kill").click();
      await id(page, "relay-reason").fill("a flood from there");
      await id(page, "relay-submit").waitFor();
    },
  },
  {
    name: "relay-drain-refused",
    path: "/admin/relay",
    prepare: admin(),
    reach: async (page) => {
      await rows(page);
      await id(page, "relay-drain").click();
      await id(page, "relay-reason").fill("an update of the node");
      await id(page, "relay-submit").click();
      await page.getByText("The server did not do it.").waitFor();
    },
  },
  {
    name: "relay-draining",
    path: "/admin/relay",
    prepare: admin(() => data.relay({ draining: true, rotatedAt: data.at(-600) })),
    reach: (page) => id(page, "relay-serve").waitFor(),
  },
  {
    name: "relay-empty",
    path: "/admin/relay",
    prepare: admin(() => data.relay({ allocations: [], total: 0 })),
    reach: (page) => page.getByText("Nobody uses the relay now.").waitFor(),
  },
  {
    name: "relay-off",
    path: "/admin/relay",
    prepare: admin(() => data.relay({ on: false, allocations: [], total: 0 })),
    reach: (page) => page.getByText("This node has no relay of its own.").waitFor(),
  },
  {
    name: "relay-unread",
    path: "/admin/relay",
    prepare: (fake) => {
      admin()(fake);
      fake.on("GET /api/support/relay", () => problem(503, "database"));
    },
    reach: (page) => page.getByText("The relay cannot be read now.").waitFor(),
  },
  {
    name: "relay-forbidden",
    path: "/admin/relay",
    prepare: staff("offline"),
    reach: (page) => page.getByText("You may not see this page").waitFor(),
  },
];
