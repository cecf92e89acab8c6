// A real Chromium with a known sound as its microphone, and an ear on what it plays.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import { installEar } from "./ear.ts";

const CANDIDATES = [
  process.env["CHROME_BIN"],
  "/usr/lib/chromium/chromium",
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
];

/** A browser of one person. */
export interface Person {
  page: Page;
  context: BrowserContext;
  /** What the page wrote to its console, errors and CSP reports. */
  log: string[];
  close(): Promise<void>;
}

/** Starts a browser whose microphone plays `wav` in a loop. */
export async function person(options: {
  wav?: string;
  /** Sound tests need the ear, which the pages' own policy would refuse. */
  ear?: boolean;
  microphone?: "granted" | "denied";
  viewport?: { width: number; height: number };
  dark?: boolean;
  /** More words for the browser's command line. */
  args?: string[];
}): Promise<Person> {
  const profile = mkdtempSync(join(tmpdir(), "hl-chromium-"));
  const microphone = options.microphone ?? "granted";
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: await executable(),
    headless: true,
    bypassCSP: options.ear ?? false,
    viewport: options.viewport ?? { width: 1280, height: 800 },
    colorScheme: options.dark ? "dark" : "light",
    permissions: microphone === "granted" ? ["microphone"] : [],
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
      "--use-fake-device-for-media-stream",
      ...(microphone === "granted" ? ["--use-fake-ui-for-media-stream"] : ["--deny-permission-prompts"]),
      ...(options.wav ? [`--use-file-for-fake-audio-capture=${options.wav}`] : []),
      ...(options.args ?? []),
    ],
  });
  const log: string[] = [];
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("console", (message) => log.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (fault) => log.push(`pageerror: ${fault.message}`));
  if (options.ear) await page.addInitScript(installEar);
  return {
    page,
    context,
    log,
    close: async () => {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

async function executable(): Promise<string> {
  const { existsSync } = await import("node:fs");
  const found = CANDIDATES.find((path) => path && existsSync(path));
  if (!found) throw new Error("no Chromium here; set CHROME_BIN");
  return found;
}
