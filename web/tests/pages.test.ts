// Every state of every built page in a real browser: reachable, without a violation of accessibility rules, without a
// report of the content policy, light and dark, wide and narrow.

import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromiumPath, launch, visit, type Look } from "./fake/browser.ts";
import { CONSOLE_POLICY, DEMO_POLICY, FakeServer } from "./fake/server.ts";
import { STATES, type PageState } from "./fake/states.ts";

const axe = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** A page under test is closed after this time, milliseconds. */
const LIMIT_MS = 15_000;

interface Violation {
  id: string;
  nodes: { html: string; failureSummary?: string }[];
}

/** Rules that a page breaks, with the elements; the script is evaluated by the debugger, which no policy stops. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = (await page.evaluate(
    "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then((r) => r.violations)",
  )) as Violation[];
  return found.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`),
  );
}

/** True when the page can be moved sideways: something is wider than the screen. */
const overflows = (page: Page): Promise<boolean> =>
  page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");

const LOOKS: Record<string, Look> = {
  "wide, light": { width: 1280, height: 800, dark: false },
  "narrow, dark": { width: 390, height: 844, dark: true },
};

describe.skipIf(!chromiumPath())("pages", () => {
  let granted: Browser;
  let denied: Browser;
  beforeAll(async () => {
    [granted, denied] = await Promise.all([launch("granted"), launch("denied")]);
  }, LIMIT_MS);
  afterAll(() => Promise.all([granted?.close(), denied?.close()]));

  async function reach(state: PageState, look: Look): Promise<{ rules: string[]; faults: string[]; wide: boolean }> {
    const fake = await FakeServer.start();
    state.prepare?.(fake);
    const { page, context, faults } = await visit(state.microphone ? denied : granted, { ...look, ...state });
    try {
      await page.goto(fake.origin + state.path);
      await state.reach(page, fake);
      return { rules: await violations(page), faults, wide: await overflows(page) };
    } finally {
      await context.close();
      await fake.stop();
    }
  }

  for (const [name, look] of Object.entries(LOOKS)) {
    test.each(STATES.map((state) => [state.name, state] as const))(
      `%s, ${name}`,
      async (_, state) => {
        expect(await reach(state, look), state.name).toEqual({ rules: [], faults: [], wide: false });
      },
      LIMIT_MS,
    );
  }
});

test("the pages are tried under the policies that the server sends", () => {
  const source = readFileSync(new URL("../../api/src/headers.rs", import.meta.url), "utf8").replace(/\\\n\s*/g, "");
  for (const policy of [CONSOLE_POLICY, DEMO_POLICY]) {
    expect(source).toContain(policy.replace("connect-src 'self'", "connect-src {connect}"));
  }
});
