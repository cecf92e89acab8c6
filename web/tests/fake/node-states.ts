// A node that is taken out of service, for whoever runs the server.

import type { DrainState } from "../../shared/gen/DrainState.ts";
import * as data from "./data.ts";
import { problem, type FakeServer } from "./server.ts";
import { id, staff, type PageState } from "./steps.ts";

const serving = (): DrainState => ({
  nodeId: "node-1",
  draining: false,
  calls: 7,
  waiting: 2,
  rooms: 5,
  oldestSeconds: 843,
});

/** A node that is emptied since a while. */
const draining = (more: Partial<DrainState> = {}): DrainState => ({
  ...serving(),
  draining: true,
  calls: 3,
  waiting: 1,
  rooms: 2,
  closesInSeconds: 512,
  ...more,
});

/** Somebody who may change settings, and a node that does as it is told. */
function admin(first: () => DrainState = serving) {
  return (fake: FakeServer): void => {
    staff("offline")(fake);
    const { permissions, ...me } = data.me("offline");
    fake.on("GET /api/support/staff/me", { ...me, permissions: [...permissions, "settings.write"] });
    let state = first();
    fake.on("GET /api/support/node/drain", () => ({ body: state }));
    fake.on("POST /api/support/node/drain", ({ body }: { body: unknown }) => {
      const { seconds } = body as { seconds: number };
      state = { ...state, draining: true, closesInSeconds: seconds };
      return { body: state };
    });
    fake.on("DELETE /api/support/node/drain", () => {
      const { closesInSeconds: _, ...rest } = state;
      state = { ...rest, draining: false };
      return { body: state };
    });
  };
}

export const NODE: PageState[] = [
  { name: "node-serving", path: "/admin/node", prepare: admin(), reach: (page) => id(page, "node-drain").waitFor() },
  {
    name: "node-ask",
    path: "/admin/node",
    prepare: admin(),
    reach: async (page) => {
      await id(page, "node-drain").click();
      await id(page, "node-reason").fill("an update of the node");
      await page.getByText("7 calls that it has go on").waitFor();
    },
  },
  {
    name: "node-ask-wrong",
    path: "/admin/node",
    prepare: admin(draining),
    reach: async (page) => {
      await id(page, "node-drain").click();
      await id(page, "node-minutes").fill("0");
      await page.getByText("Must lie between 1 and 1,440").waitFor();
    },
  },
  {
    name: "node-draining",
    path: "/admin/node",
    prepare: admin(),
    reach: async (page) => {
      await id(page, "node-drain").click();
      await id(page, "node-minutes").fill("20");
      await id(page, "node-submit").click();
      await page.getByText("until the rest is ended").waitFor();
    },
  },
  {
    name: "node-undone",
    path: "/admin/node",
    prepare: admin(draining),
    reach: async (page) => {
      await id(page, "node-serve").click();
      await page.getByText("New calls begin here.").waitFor();
    },
  },
  {
    name: "node-draining-sw",
    path: "/admin/node",
    prepare: admin(draining),
    reach: async (page) => {
      await id(page, "node-serve").waitFor();
      await page.getByRole("button", { name: "Kiswahili" }).click();
      await page.getByText("hadi zilizobaki zikatwe").waitFor();
    },
  },
  {
    name: "node-drained",
    path: "/admin/node",
    prepare: admin(() => draining({ calls: 0, waiting: 0, rooms: 0, oldestSeconds: 0 })),
    reach: (page) => page.getByText("It may be stopped or updated now.").waitFor(),
  },
  {
    name: "node-refused",
    path: "/admin/node",
    prepare: (fake) => {
      admin()(fake);
      fake.on("POST /api/support/node/drain", () => problem(503, "database"));
    },
    reach: async (page) => {
      await id(page, "node-drain").click();
      await id(page, "node-submit").click();
      await page.getByText("The server did not do it.").waitFor();
    },
  },
  {
    name: "node-moved",
    path: "/admin/node",
    prepare: (fake) => {
      admin()(fake);
      fake.on("POST /api/support/node/drain", { ...draining(), nodeId: "node-2" });
    },
    reach: async (page) => {
      await id(page, "node-drain").click();
      await id(page, "node-submit").click();
      await page.getByText("Several nodes answer at this address").waitFor();
    },
  },
  {
    name: "node-unread",
    path: "/admin/node",
    prepare: (fake) => {
      admin()(fake);
      fake.on("GET /api/support/node/drain", () => problem(503, "database"));
    },
    reach: (page) => page.getByText("The node cannot be read now.").waitFor(),
  },
  {
    name: "node-forbidden",
    path: "/admin/node",
    prepare: staff("offline"),
    reach: (page) => page.getByText("Settings are for admins.").waitFor(),
  },
];
