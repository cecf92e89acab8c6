// A Chromium for page tests: a fake microphone, and a peer connection that the test moves by hand.

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { voice, VOICE_RATE, writeVoice } from "./voice.ts";

const CANDIDATES = [
  process.env["CHROME_BIN"],
  "/usr/lib/chromium/chromium",
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
];

export const chromiumPath = (): string | undefined => CANDIDATES.find((path) => path && existsSync(path));

export async function launch(microphone: "granted" | "denied" = "granted"): Promise<Browser> {
  const executablePath = chromiumPath();
  if (!executablePath) throw new Error("no Chromium here; set CHROME_BIN");
  const folder = mkdtempSync(join(tmpdir(), "hl-voice-"));
  const sound = join(folder, "voice.wav");
  writeVoice(sound, 11);
  const browser = await chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--autoplay-policy=no-user-gesture-required",
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-audio-capture=${sound}`,
      microphone === "granted" ? "--use-fake-ui-for-media-stream" : "--deny-permission-prompts",
    ],
  });
  browser.once("disconnected", () => rmSync(folder, { recursive: true, force: true }));
  return browser;
}

export interface Look {
  width: number;
  height: number;
  dark: boolean;
  /** False leaves motion on; pictures of moving lines want it. */
  calm?: boolean;
  microphone?: "granted" | "denied";
}

export interface Visit {
  page: Page;
  context: BrowserContext;
  /** Errors of the page, among them reports of its content policy. */
  faults: string[];
}

export async function visit(browser: Browser, look: Look): Promise<Visit> {
  const context = await browser.newContext({
    viewport: { width: look.width, height: look.height },
    colorScheme: look.dark ? "dark" : "light",
    // Pictures and rules are about what stands still.
    reducedMotion: look.calm === false ? "no-preference" : "reduce",
    locale: "en-GB",
    timezoneId: "Africa/Nairobi",
    permissions: look.microphone === "denied" ? [] : ["microphone"],
  });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("pageerror", (fault) => faults.push(fault.message));
  page.on("console", (message) => {
    // A reply with an error status is what a test asked for; everything else is a fault of the page.
    const planned = /Failed to load resource|WebSocket connection to/.test(message.text());
    if (message.type() === "error" && !planned) faults.push(message.text());
  });
  await page.addInitScript(installPeer, { values: voice(23), rate: VOICE_RATE });
  return { page, context, faults };
}

/** Runs in the page: a peer connection that is up as soon as it has an answer, and in which somebody speaks. */
function installPeer(speech: { values: number[]; rate: number }): void {
  type State = RTCPeerConnectionState;
  class FakePeer {
    connectionState: State = "new";
    iceConnectionState = "new";
    localDescription = { type: "offer", sdp: "v=0\r\n" };
    oniceconnectionstatechange: (() => void) | null = null;
    /** A machine behind a router, as a line test finds it. */
    onicecandidate: ((event: { candidate: { type: string; address: string } | null }) => void) | null = null;
    iceGatheringState = "new";
    onicegatheringstatechange: (() => void) | null = null;
    readonly found: string[];
    onconnectionstatechange: (() => void) | null = null;
    ontrack: ((event: { track: MediaStreamTrack }) => void) | null = null;
    addTransceiver(): unknown {
      return { sender: { replaceTrack: () => Promise.resolve() } };
    }
    createOffer(): Promise<unknown> {
      return Promise.resolve({ type: "offer", sdp: "v=0\r\n" });
    }
    setLocalDescription(): Promise<void> {
      for (const type of this.found) this.onicecandidate?.({ candidate: { type, address: "192.0.2.1" } });
      this.onicecandidate?.({ candidate: null });
      this.iceGatheringState = "complete";
      this.onicegatheringstatechange?.();
      return Promise.resolve();
    }
    setRemoteDescription(): Promise<void> {
      this.iceConnectionState = "connected";
      this.oniceconnectionstatechange?.();
      this.go("connected");
      this.ontrack?.({ track: voice() });
      return Promise.resolve();
    }
    getStats(): Promise<Map<string, unknown>> {
      const packets = Math.floor(performance.now() / 20);
      const row = {
        type: "inbound-rtp",
        kind: "audio",
        packetsReceived: packets,
        packetsLost: 0,
        bytesReceived: packets * 80,
        jitter: 0.004,
        jitterBufferDelay: packets * 0.04,
        jitterBufferEmittedCount: packets,
      };
      const pair = { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.048, localCandidateId: "c" };
      const local = { type: "local-candidate", id: "c", candidateType: "srflx", protocol: "udp" };
      return Promise.resolve(new Map<string, unknown>([["a", row], ["b", pair], ["c", local]])); // prettier-ignore
    }
    close(): void {
      this.connectionState = "closed";
    }
    go(state: State): void {
      this.connectionState = state;
      this.onconnectionstatechange?.();
    }
    constructor({ iceTransportPolicy, iceServers = [] }: RTCConfiguration = {}) {
      (window as unknown as { peer: FakePeer }).peer = this;
      // A firewall stands before every relay of this name.
      const relays = iceServers.flatMap(({ urls }) => urls).filter((url) => !url.includes("closed"));
      this.found = iceTransportPolicy !== "relay" ? ["host", "srflx"] : relays.length > 0 ? ["relay"] : [];
    }
  }
  function voice(): MediaStreamTrack {
    const context = new AudioContext();
    const tone = context.createOscillator();
    const loud = context.createGain();
    const out = context.createMediaStreamDestination();
    tone.frequency.value = 220;
    tone.connect(loud).connect(out);
    loud.gain.setValueCurveAtTime(speech.values, context.currentTime, speech.values.length / speech.rate);
    tone.start();
    return out.stream.getAudioTracks()[0]!;
  }
  Object.assign(window, { RTCPeerConnection: FakePeer });
}
