// What tests with people at consoles share: signing in, being there, and what they saw when a test failed.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterEach } from "vitest";
import type { Account, Addresses } from "./server.ts";

/** Signs in on the page at `path`. */
export async function signIn(page: Page, server: Addresses, account: Account, path = "/agent"): Promise<void> {
  await page.goto(`${server.url}${path}`);
  await page.getByTestId("email").fill(account.email);
  await page.getByTestId("password").fill(account.password);
  await page.getByTestId("sign-in").click();
}

/** Takes calls from now on, with the microphone checked. */
export async function online(page: Page): Promise<void> {
  await page.getByTestId("online").first().click();
  await page.getByTestId("microphone-checked").first().waitFor();
}

/** Somebody with a page of whatever browser. */
interface Seen {
  page: { screenshot(options: { path: `${string}.png` }): Promise<unknown> };
  log: string[];
}

/** Keeps a picture and the log of everybody who is there when a test fails, for whoever looks into it. */
export function keepWhatTheySaw(folder: string, people: () => Record<string, Seen | undefined>): void {
  afterEach(async (context) => {
    if (context.task.result?.state !== "fail") return;
    for (const [name, one] of Object.entries(people())) {
      await one?.page.screenshot({ path: join(folder, `${name}.png`) as `${string}.png` });
      writeFileSync(join(folder, `${name}.log`), one?.log.join("\n") ?? "");
    }
  });
}
