// A real Chromium with a known sound as its microphone, and an ear on what it plays.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type BrowserContext, type Page } from "playwright-core";

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

/** Runs in the page: keeps every peer connection, turns processing off, and hears remote tracks on demand. */
function installEar(): void {
  const scope = window as unknown as {
    __ear: { peers: RTCPeerConnection[]; samples: number[]; rate: number; stop?: () => void };
  };
  scope.__ear = { peers: [], samples: [], rate: 0 };
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      super(configuration);
      scope.__ear.peers.push(this);
    }
  };
  // Echo cancellation and noise suppression would be measured instead of the line.
  const devices = navigator.mediaDevices;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (constraints) => {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const audio = constraints?.audio === true ? plain : { ...(constraints?.audio || {}), ...plain };
    return ask({ ...constraints, audio });
  };
}

/** Hears what the page receives for `ms`, as 16-bit samples. */
export async function hear(page: Page, ms: number): Promise<{ samples: Int16Array; rate: number }> {
  const heard = await page.evaluate(async (duration) => {
    const ear = (window as unknown as { __ear: { peers: RTCPeerConnection[] } }).__ear;
    const live = ear.peers.filter((peer) => peer.connectionState === "connected").at(-1);
    const track = live
      ?.getReceivers()
      .map((receiver) => receiver.track)
      .find((candidate) => candidate.kind === "audio" && candidate.readyState === "live" && !candidate.muted);
    if (!track) throw new Error(`no live remote track; peers: ${ear.peers.map((p) => p.connectionState).join(",")}`);
    const stream = new MediaStream([track]);
    // Without an element that plays the same stream Chromium hands the graph pure zeros.
    const element = new Audio();
    element.srcObject = stream;
    element.muted = true;
    await element.play();
    const context = new AudioContext({ sampleRate: 48_000 });
    await context.resume();
    const source = context.createMediaStreamSource(stream);
    const tap = context.createScriptProcessor(4096, 1, 1);
    const blocks: Float32Array[] = [];
    tap.onaudioprocess = (event) => blocks.push(event.inputBuffer.getChannelData(0).slice());
    source.connect(tap);
    tap.connect(context.destination);
    await new Promise((done) => setTimeout(done, duration));
    tap.disconnect();
    source.disconnect();
    const rate = context.sampleRate;
    await context.close();
    const total = blocks.reduce((sum, block) => sum + block.length, 0);
    const bytes = new Uint8Array(total * 2);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const block of blocks) {
      for (const value of block) {
        view.setInt16(at, Math.max(-1, Math.min(1, value)) * 32_767, true);
        at += 2;
      }
    }
    let text = "";
    for (let from = 0; from < bytes.length; from += 32_768) {
      text += String.fromCharCode(...bytes.subarray(from, from + 32_768));
    }
    return { rate, base64: btoa(text) };
  }, ms);
  const bytes = Buffer.from(heard.base64, "base64");
  return {
    rate: heard.rate,
    samples: new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
  };
}
