// A real Firefox with a known sound as its microphone. Driven over WebDriver BiDi; Playwright would want a build of its
// own.

import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { installEar } from "./ear.ts";
import { until } from "./wait.ts";

// The program itself and not Debian's wrapper, so that an end by signal reaches it.
const CANDIDATES = [
  process.env["FIREFOX_BIN"],
  "/usr/lib/firefox-esr/firefox-esr",
  "/usr/bin/firefox-esr",
  "/usr/bin/firefox",
];

/** A first start writes its profile: 3 to 10 s on two cores. */
const START_MS = 60_000;
/**
 * The sound server ends by itself when nobody is connected for this long, seconds: it outlives a test that was killed by
 * no more than that. Higher than the time from its start to the first sound.
 */
const SOUND_IDLE_S = 120;

const PREFERENCES = {
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "media.navigator.permission.disabled": true,
  "media.navigator.streams.fake": true,
  // As in any call with a granted microphone: with ours the browser does not know that there is one.
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  // A machine may have no other address than 127.0.0.1.
  "media.peerconnection.ice.loopback": true,
};

/** A browser of one person. */
export interface FirefoxPerson {
  page: Page;
  version: string;
  /** What the page wrote to its console. */
  log: string[];
  /** Presses the control of this name, also inside of the widget's shadow root. */
  press(name: string): Promise<void>;
  /** Waits until the control or view of this name is there. */
  see(name: string): Promise<void>;
  close(): Promise<void>;
}

/** What is missing here to tell a profile of a certificate; undefined for nothing. */
export const cannotTrust = (): string | undefined =>
  spawnSync("certutil", ["-H"], { stdio: "ignore" }).error && "no certutil (apt-get install libnss3-tools)";

/** A profile that trusts the certificates which `authority`, a file, has signed. */
function trusting(authority: string): string {
  const folder = mkdtempSync(join(tmpdir(), "hl-firefox-"));
  const certutil = (...words: string[]): void =>
    void execFileSync("certutil", [...words, "-d", `sql:${folder}`], { stdio: "ignore" });
  certutil("-N", "--empty-password");
  certutil("-A", "-n", "test", "-t", "C,,", "-i", authority);
  return folder;
}

/** Starts a Firefox whose microphone plays `wav` in a loop; `authority`: whose certificates it trusts beside the usual. */
export async function firefoxPerson(wav: string, authority?: string): Promise<FirefoxPerson> {
  const profile = authority === undefined ? undefined : trusting(authority);
  const sound = await soundServer();
  let browser: Browser;
  try {
    browser = await puppeteer.launch({
      browser: "firefox",
      executablePath: executable(),
      headless: true,
      timeout: START_MS,
      ...(profile === undefined ? {} : { userDataDir: profile }),
      extraPrefsFirefox: PREFERENCES,
      env: { ...process.env, PULSE_SERVER: sound.address },
    });
  } catch (fault) {
    await sound.stop();
    throw fault;
  }
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 800 });
  const log: string[] = [];
  page.on("console", (message) => log.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (fault) => log.push(`pageerror: ${String(fault)}`));
  await page.evaluateOnNewDocument(installMicrophone, readFileSync(wav).toString("base64"));
  await page.evaluateOnNewDocument(installEar);
  const control = (name: string) => page.locator(`>>> [data-testid="${name}"]`);
  return {
    page,
    version: await browser.version(),
    log,
    press: (name) => control(name).click(),
    see: async (name) => void (await control(name).wait()),
    close: async () => {
      await browser.close();
      await sound.stop();
      if (profile !== undefined) rmSync(profile, { recursive: true, force: true });
    },
  };
}

function executable(): string {
  const found = CANDIDATES.find((path) => path && existsSync(path));
  if (!found) throw new Error("no Firefox here; set FIREFOX_BIN");
  return found;
}

/**
 * A private PulseAudio that plays into nothing. Without a sound server Firefox has no clock for audio, and
 * `AudioContext.resume()` never settles.
 */
async function soundServer(): Promise<{ address: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "hl-pulse-"));
  const socket = join(folder, "native");
  const child = spawn(
    "pulseaudio",
    [
      "-n",
      "--daemonize=no",
      "--use-pid-file=no",
      `--exit-idle-time=${SOUND_IDLE_S}`,
      "-L",
      // The rate of the calls: Firefox refuses to join graphs of different rates.
      "module-null-sink rate=48000",
      "-L",
      `module-native-protocol-unix socket=${socket} auth-anonymous=1`,
    ],
    { stdio: "ignore", env: { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder } },
  );
  let fault: Error | undefined;
  child.once("error", (error) => (fault = error));
  const stop = async (): Promise<void> => {
    await ended(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await until("the sound server listens", () => fault !== undefined || child.exitCode !== null || existsSync(socket));
    if (!existsSync(socket)) throw fault ?? new Error(`pulseaudio ended with ${String(child.exitCode)}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { address: `unix:${socket}`, stop };
}

function ended(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    // It plays into nothing and keeps nothing: there is no better end than this one.
    child.kill("SIGKILL");
  });
}

/** Runs in the page: the microphone is a WAV file in a loop, which Firefox has no switch for. */
function installMicrophone(base64: string): void {
  // Pages of other kinds (about:blank) have no devices.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) return;
  devices.getUserMedia = async () => {
    const context = new AudioContext({ sampleRate: 48_000 });
    await context.resume();
    const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
    const source = context.createBufferSource();
    source.buffer = await context.decodeAudioData(bytes.buffer);
    source.loop = true;
    const out = context.createMediaStreamDestination();
    source.connect(out);
    source.start();
    return out.stream;
  };
}
