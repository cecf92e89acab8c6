// A line test: what is looked at, in which order, and what is made of it.
//
// No DOM and no clock of its own: devices, network and time are handed in. Steps that another one's failure makes
// pointless are skipped, all others are tried, because the next fault is worth knowing too.
//
// Invariant: whatever way the test ends, the microphone and the echo are let go of.

import type { Clock } from "../../../shared/clock.ts";
import type { Device, Opened } from "../../../shared/devices.ts";
import { Emitter } from "../../../shared/emitter.ts";
import type { CandidateKind } from "../../../shared/gen/CandidateKind.ts";
import type { IceServer } from "../../../shared/gen/IceServer.ts";
import type { PreflightCandidates } from "../../../shared/gen/PreflightCandidates.ts";
import type { PreflightFigures } from "../../../shared/gen/PreflightFigures.ts";
import type { PreflightPath } from "../../../shared/gen/PreflightPath.ts";
import type { PreflightRelay } from "../../../shared/gen/PreflightRelay.ts";
import type { PreflightReport } from "../../../shared/gen/PreflightReport.ts";
import type { PreflightResult } from "../../../shared/gen/PreflightResult.ts";
import type { PreflightStarted } from "../../../shared/gen/PreflightStarted.ts";
import type { PreflightStep } from "../../../shared/gen/PreflightStep.ts";
import type { PreflightWay } from "../../../shared/gen/PreflightWay.ts";
import type { Reply } from "../../../shared/api.ts";
import { between, type Reading, type Second } from "../../../shared/quality.ts";
import { asked, judged, urlsOf, WAYS, type Way } from "./relay.ts";

/** The steps in their order. */
export const STEPS: readonly PreflightStep[] = [
  "secure_context",
  "microphone",
  "level",
  "server",
  "socket",
  "network",
  "relay",
  "connection",
  "echo",
];

/** Loudness that counts as having been heard, 0 to 1. */
export const HEARD_LEVEL = 0.35;
/** Longest wait for a word into the microphone, milliseconds. */
export const LEVEL_WAIT_MS = 8_000;
/** How often the level is looked at, milliseconds. */
export const LEVEL_EVERY_MS = 100;
/**
 * Longest wait for an address of the relay by one way, milliseconds: TCP, TLS and two requests are six round trips, and
 * one of them may be lost and said again after a second.
 */
export const RELAY_TIMEOUT_MS = 5_000;
/** Longest time for a path and keys, milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Length of the echo, seconds. */
export const ECHO_SECONDS = 5;
/** Score below which a line is weak, and below which it is bad. */
const MOS_FAIR = 3.6;
const MOS_BAD = 2.8;
/** Round trip beyond which people talk over one another, milliseconds. */
const RTT_SLOW_MS = 400;

export interface Step {
  readonly step: PreflightStep;
  result: PreflightResult | "waiting" | "running";
  /** What was found, a stable word. */
  code?: string;
  ms?: number;
}

/** What a step says when it is over. */
type Found = { result: PreflightResult; code?: string };

/** The echo once it has a path and keys. */
export interface Echo {
  /** From the answer to a path, and from there to keys, milliseconds. */
  iceMs: number;
  dtlsMs: number;
  local: CandidateKind | undefined;
  path: PreflightPath | undefined;
  read(): Promise<Reading | undefined>;
  /** Loudness of what comes back, 0 to 1. */
  level(): number;
}

export type Connected = { ok: true; signallingMs: number; echo: Echo } | { ok: false; code: string };

export interface Env {
  clock: Clock;
  secure(): boolean;
  /** `id`: the one that was chosen, empty for the browser's own choice. Closes the one before. */
  openMicrophone(id: string): Promise<Opened>;
  /** The microphones by name; known once one was allowed. */
  microphones(): Promise<Device[]>;
  /** Loudness of the opened microphone, 0 to 1. */
  level(): number;
  start(): Promise<Reply<PreflightStarted>>;
  /** Whether a WebSocket to this server opens. */
  socket(): Promise<boolean>;
  candidates(servers: readonly IceServer[]): Promise<PreflightCandidates>;
  /** Whether one of these gives an address within `timeoutMs`; it is given back at once. */
  relay(servers: readonly IceServer[], timeoutMs: number): Promise<boolean>;
  /** Attaches the echo; gives up after `timeoutMs`. */
  connect(started: PreflightStarted, timeoutMs: number): Promise<Connected>;
  report(started: PreflightStarted, report: PreflightReport): Promise<Reply<unknown>>;
  /** Lets go of microphone and echo. */
  close(): void;
  browser(): string;
}

export type Phase = "ready" | "running" | "done";
export type Sending = "no" | "sending" | "sent" | "failed";

export class LineTest {
  phase: Phase = "ready";
  steps: Step[] = [];
  figures: PreflightFigures = { candidates: { host: 0, mdns: 0, srflx: 0, relay: 0 } };
  /** What the visitor reads out, once the server knows of the test. */
  code: string | undefined;
  sending: Sending = "no";
  /** The microphones to choose from, and the chosen one; empty is the browser's own choice. */
  microphones: Device[] = [];
  microphone = "";
  /** Seconds of the echo that have passed. */
  second = 0;
  /** What a network team is asked to open: the ways to the relay that failed, such as `UDP help.example:3478`. */
  closed: string[] = [];
  readonly changed = new Emitter();
  #started: PreflightStarted | undefined;
  #echo: Echo | undefined;
  #loudest = 0;

  constructor(private readonly env: Env) {
    this.#reset();
  }

  /** The worst of the steps. */
  get verdict(): PreflightResult {
    const has = (result: PreflightResult): boolean => this.steps.some((step) => step.result === result);
    return has("failed") ? "failed" : has("warn") ? "warn" : "ok";
  }

  /** Loudness of what comes back. */
  echoLevel(): number {
    return this.#echo?.level() ?? 0;
  }

  async run(): Promise<void> {
    if (this.phase === "running") return;
    this.#reset();
    this.phase = "running";
    this.changed.emit();
    try {
      await this.#all();
    } finally {
      this.env.close();
      this.#echo = undefined;
      this.phase = "done";
      this.changed.emit();
    }
  }

  /** Another microphone: at once while we listen for it, with the next test otherwise. */
  async choose(id: string): Promise<void> {
    this.microphone = id;
    this.changed.emit();
    if (this.steps.some(({ step, result }) => step === "level" && result === "running")) {
      await this.env.openMicrophone(id);
      this.#loudest = 0;
    }
  }

  /** Sends what was found; again after a failure. */
  async send(): Promise<void> {
    const started = this.#started;
    if (!started || this.phase !== "done" || this.sending === "sending" || this.sending === "sent") return;
    this.sending = "sending";
    this.changed.emit();
    const reply = await this.env.report(started, this.report());
    this.sending = reply.ok ? "sent" : "failed";
    this.changed.emit();
  }

  /** As it is sent. */
  report(): PreflightReport {
    const steps = this.steps.flatMap(({ step, result, code, ms }) =>
      result === "waiting" || result === "running" ? [] : [{ step, result, code: code ?? null, ms: ms ?? null }],
    );
    return { steps, figures: this.figures, browser: this.env.browser() };
  }

  async #all(): Promise<void> {
    const secure = await this.#step("secure_context", async () =>
      this.env.secure() ? { result: "ok" } : { result: "failed", code: "insecure_context" },
    );
    const microphone = secure && (await this.#step("microphone", () => this.#microphone()));
    if (microphone) await this.#step("level", () => this.#listen());
    const server = await this.#step("server", () => this.#server());
    await this.#step("socket", async () =>
      (await this.env.socket()) ? { result: "ok" } : { result: "failed", code: "ws_unreachable" },
    );
    await this.#step("network", () => this.#network());
    if (server) await this.#step("relay", () => this.#relay());
    const connected = server && microphone && (await this.#step("connection", () => this.#connect()));
    if (connected) await this.#step("echo", () => this.#listenToEcho());
    for (const step of this.steps) if (step.result === "waiting") step.result = "skipped";
  }

  /** True unless it failed. */
  async #step(name: PreflightStep, run: () => Promise<Found>): Promise<boolean> {
    const step = this.steps.find((one) => one.step === name)!;
    step.result = "running";
    this.changed.emit();
    const began = this.env.clock.now();
    const found = await run().catch((): Found => ({ result: "failed", code: "unexpected" }));
    Object.assign(step, found, { ms: Math.round(this.env.clock.now() - began) });
    this.changed.emit();
    return found.result !== "failed";
  }

  async #microphone(): Promise<Found> {
    const opened = await this.env.openMicrophone(this.microphone);
    if (!opened.ok) return { result: "failed", code: opened.code };
    this.microphones = await this.env.microphones();
    return { result: "ok" };
  }

  async #listen(): Promise<Found> {
    for (let waited = 0; waited < LEVEL_WAIT_MS; waited += LEVEL_EVERY_MS) {
      if (this.#heard() >= HEARD_LEVEL) return { result: "ok" };
      await this.#wait(LEVEL_EVERY_MS);
    }
    return { result: "warn", code: "silent_microphone" };
  }

  #heard(): number {
    this.#loudest = Math.max(this.#loudest, this.env.level());
    this.figures.level = Math.round(this.#loudest * 100) / 100;
    return this.#loudest;
  }

  async #server(): Promise<Found> {
    const reply = await this.env.start();
    if (!reply.ok) return { result: "failed", code: reply.code };
    this.#started = reply.value;
    this.code = reply.value.code;
    return { result: "ok" };
  }

  async #network(): Promise<Found> {
    const found = await this.env.candidates(this.#started?.leg.iceServers ?? []);
    this.figures.candidates = found;
    if (found.host + found.mdns + found.srflx + found.relay === 0) return { result: "failed", code: "no_candidates" };
    if (found.host + found.mdns + found.srflx === 0) return { result: "warn", code: "relay_only" };
    return { result: "ok" };
  }

  /** Each way for itself and all at once, for what the browser would choose says nothing of the others. */
  async #relay(): Promise<Found> {
    const servers = this.#started!.leg.iceServers;
    const one = async (way: Way): Promise<PreflightWay> => {
      const only = asked(servers, way);
      if (only.length === 0) return "not_offered";
      return (await this.env.relay(only, RELAY_TIMEOUT_MS)) ? "ok" : "failed";
    };
    const [udp, tcp, tls] = await Promise.all([one("udp"), one("tcp"), one("tls")]);
    const ways: PreflightRelay = { udp, tcp, tls };
    this.figures.relay = ways;
    this.closed = WAYS.filter((way) => ways[way] === "failed").flatMap((way) => urlsOf(servers, way));
    return judged(ways);
  }

  async #connect(): Promise<Found> {
    const connected = await this.env.connect(this.#started!, CONNECT_TIMEOUT_MS);
    if (!connected.ok) return { result: "failed", code: connected.code };
    const { signallingMs, echo } = connected;
    this.#echo = echo;
    const whole = (ms: number): number => Math.max(0, Math.round(ms));
    Object.assign(this.figures, {
      signallingMs: whole(signallingMs),
      iceMs: whole(echo.iceMs),
      dtlsMs: whole(echo.dtlsMs),
      totalMs: whole(signallingMs + echo.iceMs + echo.dtlsMs),
      local: echo.local ?? null,
      path: echo.path ?? null,
    });
    if (echo.path === "tcp" || echo.path === "tls") return { result: "warn", code: "over_tcp" };
    return echo.local === "relay" ? { result: "warn", code: "over_relay" } : { result: "ok" };
  }

  async #listenToEcho(): Promise<Found> {
    const echo = this.#echo!;
    let before = await echo.read();
    const first = before;
    const seconds: Second[] = [];
    let back = 0;
    for (this.second = 0; this.second < ECHO_SECONDS; this.second++) {
      this.changed.emit();
      for (let part = 0; part < 1000; part += LEVEL_EVERY_MS) {
        await this.#wait(LEVEL_EVERY_MS);
        this.#heard();
        back = Math.max(back, echo.level());
      }
      const now = await echo.read();
      if (before && now) seconds.push(between(before, now));
      before = now ?? before;
    }
    this.#measure(seconds, first, before);
    const { mos, rttMs } = this.figures;
    if (!seconds.some((second) => second.flowing)) return { result: "failed", code: "no_echo" };
    if (typeof mos === "number" && mos < MOS_BAD) return { result: "failed", code: "bad_line" };
    if (typeof mos === "number" && mos < MOS_FAIR) return { result: "warn", code: "weak_line" };
    if (typeof rttMs === "number" && rttMs > RTT_SLOW_MS) return { result: "warn", code: "slow_line" };
    if (this.#loudest >= HEARD_LEVEL && back === 0) return { result: "warn", code: "silent_echo" };
    return { result: "ok" };
  }

  #measure(seconds: readonly Second[], first: Reading | undefined, last: Reading | undefined): void {
    // The first second of a connection is the browser's own buffer settling.
    const settled = seconds.slice(1).filter((second) => second.flowing);
    const mean = (values: readonly number[]): number | undefined =>
      values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : undefined;
    const mos = mean(settled.map((second) => second.mos));
    const rtts = seconds.flatMap((second) => second.rttMs ?? []);
    if (mos !== undefined) this.figures.mos = Math.round(mos * 100) / 100;
    const rtt = mean(rtts);
    if (rtt !== undefined) this.figures.rttMs = Math.round(rtt * 10) / 10;
    const jitter = mean(settled.map((second) => second.jitterMs));
    if (jitter !== undefined) this.figures.jitterMs = Math.round(jitter * 10) / 10;
    if (!first || !last) return;
    const lost = Math.max(0, last.lost - first.lost);
    const expected = lost + Math.max(0, last.packets - first.packets);
    if (expected > 0) this.figures.loss = Math.round((lost / expected) * 10_000) / 10_000;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((done) => this.env.clock.after(ms, done));
  }

  #reset(): void {
    this.steps = STEPS.map((step) => ({ step, result: "waiting" }));
    this.figures = { candidates: { host: 0, mdns: 0, srflx: 0, relay: 0 } };
    this.code = undefined;
    this.sending = "no";
    this.second = 0;
    this.closed = [];
    this.#started = undefined;
    this.#loudest = 0;
  }
}
